"""``python -m tools.ablation FOLDER --out DIR``: train every recipe of a folder and compare what came out.

Runs and reports that exist are not repeated, so an interrupted comparison resumes. All variants are measured in FP32 on
the sets of `calibration/nodule_sets.toml` and on the real sweeps of ``thyroid_cine``. The score threshold of each is
the one with 0.15 false positives a frame on the frames with boxes, so that none is judged at the threshold of another.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from usassist.config import data_dir
from usassist.errors import ConfigError, UsAssistError
from usassist.evaluation.detection import froc
from usassist.evaluation.engine_under_test import EngineOptions, EngineUnderTest, open_engine_under_test
from usassist.evaluation.figures import compute_false_alarms, compute_figures
from usassist.evaluation.images import Skipped
from usassist.evaluation.labelled_sets import open_set, read_sets
from usassist.evaluation.run import settle_area
from usassist.evaluation.sweep_clips import list_clips, read_clip, sample_images
from usassist.evaluation.tally import FrameTally, tally
from usassist.training.package import write_engine_folder
from usassist.training.recipe import Recipe, load_recipe
from usassist.training.run import prepare, run_recipe

__all__ = ["compare", "main"]

_FIRST = "everything"  # the variant that the others are compared with
_SETS = Path(__file__).resolve().parents[1] / "calibration" / "nodule_sets.toml"
_BOXED, _CINE = "tn5000_val", "thyroid_cine"
_MAX_FALSE_POSITIVES = 0.15  # a frame, on the set with boxes
_COLUMNS = (
    ("cine: Dice", _CINE, "dice_mean"),
    ("found", _CINE, "sensitivity"),
    ("FP / frame", _CINE, "false_positives_per_frame"),
    ("TN5000: found", _BOXED, "sensitivity"),
    ("DDTI: Dice", "ddti_val", "dice_mean"),
    ("found", "ddti_val", "sensitivity"),
    ("TG3K: alarms / frame", "tg3k_val", "false_alarms_per_frame"),
)


def compare(folder: Path, out_dir: Path, console: Console, outlines: Path | None = None) -> str:
    """Train and measure every recipe of ``folder``.

    Parameters
    ----------
    folder : recipes, one of them ``everything.toml``
    out_dir : gets runs, engines and reports
    console : for progress
    outlines : that a teacher drew into the boxes; None = boxes alone

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
        reports[path.stem] = _measured(recipe, out_dir, path.stem, outlines)
    return table(reports)


def table(reports: dict[str, dict[str, Any]]) -> str:
    """The figures of all variants in Markdown, with their 95 % intervals."""
    head = ["variant", *(title for title, _, _ in _COLUMNS)]
    lines = [f"| {' | '.join(head)} |", f"| --- |{' ---: |' * len(_COLUMNS)}"]
    for name, report in reports.items():
        cells = []
        for _, where, what in _COLUMNS:
            figure = report[where][what]
            cells.append(f"{figure['value']:.3f} ({figure['low']:.3f} to {figure['high']:.3f})")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _measured(recipe: Recipe, out_dir: Path, name: str, outlines: Path | None) -> dict[str, Any]:
    run_dir, report_path = out_dir / name, out_dir / f"{name}.json"
    if not (run_dir / "model.onnx").is_file():
        run_recipe(recipe, run_dir, data=prepare(recipe, out_dir / "cache", outlines))
    if not report_path.is_file():
        engines = out_dir / "engines"
        write_engine_folder(recipe, run_dir, engines, None)
        choice = EngineOptions(
            name=recipe.engine, engines=engines, backend="onnxruntime", threads=0, precision="fp32", raw=True
        )
        with open_engine_under_test(choice) as measured:
            report_path.write_text(json.dumps(_report(measured), indent=2) + "\n", encoding="utf-8")
    report: dict[str, Any] = json.loads(report_path.read_text(encoding="utf-8"))
    return report


def _report(measured: EngineUnderTest) -> dict[str, Any]:
    skipped: list[Skipped] = []
    sets = {chosen.name: chosen for chosen in read_sets(_SETS)}
    frames = {
        name: [tally(outcome) for outcome in measured.run(open_set(chosen, skipped).frames)]
        for name, chosen in sets.items()
    }
    frames[_CINE] = _cine(measured, skipped)
    threshold = _choose_threshold(frames[_BOXED])
    report: dict[str, Any] = {"threshold": threshold}
    for name, tallies in frames.items():
        negative = name in sets and sets[name].negative
        figures = (compute_false_alarms if negative else compute_figures)(tallies, threshold)
        report[name] = {what: dataclasses.asdict(figure) for what, figure in figures.items()}
    return report


def _cine(measured: EngineUnderTest, skipped: list[Skipped]) -> list[FrameTally]:
    """The frames of all clips; a clip is a case."""
    root = data_dir() / _CINE
    return [
        tally(outcome)
        for clip in list_clips(root / "images", root / "masks", skipped)
        for outcome in measured.run(read_clip(clip), settle_area(sample_images(clip)))
    ]


def _choose_threshold(frames: Sequence[FrameTally]) -> float:
    """The lowest score with no more false positives than allowed.

    Raises
    ------
    ConfigError
        If there is none.
    """
    curve = froc(frames)
    allowed = np.flatnonzero(curve.false_positives_per_frame <= _MAX_FALSE_POSITIVES)
    if not len(allowed):
        raise ConfigError(f"no threshold has {_MAX_FALSE_POSITIVES} false positives a frame; train for longer")
    return float(curve.threshold[allowed[-1]])


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.ablation", description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="folder of recipes, for example recipes/ablation")
    parser.add_argument("--out", type=Path, default=Path("out", "ablation"), help="runs and reports")
    parser.add_argument("--outlines", type=Path, help="outlines that a teacher drew into the boxes")
    options = parser.parse_args(arguments)
    console = Console(stderr=True)
    try:
        sys.stdout.write(compare(options.folder, options.out, console, options.outlines) + "\n")
    except UsAssistError as error:
        console.print(f"error: {error}", style="red", markup=False)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
