"""``python -m tools.ablation FOLDER --out DIR``: train every recipe of a folder and compare what came out.

Runs and reports that exist are not repeated, so an interrupted comparison resumes. The score threshold of each variant
is the one with the best F1 on the validation frames, so that no variant is judged at the threshold of another.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from usassist.config import data_dir
from usassist.errors import ConfigError, UsAssistError
from usassist.evaluation.__main__ import main as evaluate
from usassist.training.package import write_engine_folder
from usassist.training.recipe import Recipe, load_recipe
from usassist.training.run import prepare, run_recipe

__all__ = ["compare", "main"]

_FIRST = "everything"  # the variant that the others are compared with
_COLUMNS = (
    ("mean Dice", "DDTI val", "dice_mean"),
    ("median Dice", "DDTI val", "dice_median"),
    ("sensitivity", "DDTI val", "sensitivity"),
    ("FP / frame", "DDTI val", "false_positives_per_frame"),
    ("alarms / TG3K frame", "TG3K val, all sweeps", "false_alarms_per_frame"),
    ("phantom Dice", "phantom, with nodule", "dice_mean"),
)


def compare(folder: Path, out_dir: Path, console: Console) -> str:
    """Train and measure every recipe of ``folder``.

    Returns
    -------
    a table in Markdown, the variant ``everything`` first

    Raises
    ------
    ConfigError
        When there are no recipes, or the data sets are missing.
    """
    paths = sorted(folder.glob("*.toml"), key=lambda path: (path.stem != _FIRST, path.stem))
    if not paths:
        raise ConfigError(f"folder {folder} holds no recipes; give another one")
    data_dir()  # fails early where it is not set
    reports = {}
    for path in paths:
        # Every variant is an engine of its own, so that reports cannot be mixed up.
        recipe = dataclasses.replace(load_recipe(path), engine=f"ablation_{path.stem}", version="0.0.0")
        console.print(f"==> {path.stem}", markup=False)
        reports[path.stem] = _measured(recipe, out_dir, path.stem)
    return table(reports)


def table(reports: dict[str, dict[str, Any]]) -> str:
    """The figures of all variants in Markdown, with their 95 % intervals."""
    head = ["variant", *(title for title, _, _ in _COLUMNS)]
    lines = [f"| {' | '.join(head)} |", f"| --- |{' ---: |' * len(_COLUMNS)}"]
    for name, report in reports.items():
        cells = []
        for _, where, what in _COLUMNS:
            figure = report["sets"][where][what]
            cells.append(f"{figure['value']:.3f} ({figure['low']:.3f} to {figure['high']:.3f})")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _measured(recipe: Recipe, out_dir: Path, name: str) -> dict[str, Any]:
    run_dir, report_path = out_dir / name, out_dir / f"{name}.json"
    if not (run_dir / "model.onnx").is_file():
        run_recipe(recipe, run_dir, data=prepare(recipe, out_dir / "cache"))
    if not report_path.is_file():
        write_engine_folder(recipe, run_dir, out_dir / "engines", None)
        options = ["--engine", recipe.engine, "--engines", str(out_dir / "engines"), "--backend", "onnxruntime"]
        options += ["--choose-threshold", "--phantom", "100", "--json", str(report_path)]
        if evaluate(options):
            raise ConfigError(f"variant {name} could not be measured; see the line above")
    report: dict[str, Any] = json.loads(report_path.read_text(encoding="utf-8"))
    return report


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.ablation", description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="folder of recipes, for example recipes/ablation")
    parser.add_argument("--out", type=Path, default=Path("out", "ablation"), help="runs and reports")
    options = parser.parse_args(arguments)
    console = Console(stderr=True)
    try:
        sys.stdout.write(compare(options.folder, options.out, console) + "\n")
    except UsAssistError as error:
        console.print(f"error: {error}", style="red", markup=False)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
