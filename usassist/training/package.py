"""``python -m usassist.training.package RECIPE --run DIR --engines DIR``: make an engine folder from a trained ONNX.

The score threshold and the uncertainty of diameters come from a report of ``python -m usassist.evaluation``. Without
one, the engine is provisional: its threshold is 0.5, and it reports no millimetres.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console

from usassist.errors import ConfigError, UsAssistError
from usassist.modalities.ultrasound import preprocess
from usassist.training.export import EngineText, write_engine, write_golden
from usassist.training.recipe import Recipe, load_recipe

__all__ = ["main", "make_golden_input", "write_engine_folder"]

GOLDEN_SEED = 3
_GOLDEN_S = 5.0  # the plane shows a nodule
_NODULE_SET = "DDTI val"


def make_golden_input(size_hw_px: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Input tensor of the golden sample: a simulated frame, so that no patient data ships with the engine."""
    from usassist.phantom import PhantomConfig, PhantomScanner

    scan = PhantomScanner(PhantomConfig(seed=GOLDEN_SEED)).render_scan(_GOLDEN_S)
    tensor, _ = preprocess(np.array(scan.scan), size_hw_px)
    return tensor


def write_engine_folder(
    recipe: Recipe,
    run_dir: Path,
    engines_dir: Path,
    report: dict[str, Any] | None,
    golden: npt.NDArray[np.float32] | None = None,
    domain: dict[str, Any] | None = None,
    sizes: Sequence[dict[str, Any]] = (),
    ratios: Sequence[dict[str, Any]] = (),
) -> Path:
    """Write ``engines_dir/<name>/<version>`` with the model, ``engine.toml`` and the golden sample.

    Parameters
    ----------
    recipe : with name and version of the engine
    run_dir : contains ``model.onnx``
    engines_dir : the folder of engines
    report : of the evaluation, or None for a provisional engine
    golden : float32 (1, 1, H, W); None = a simulated frame
    domain : report of ``usassist eval domain``, whose proposed threshold is taken; None = the engine never abstains
    sizes : reports of ``usassist eval nodule`` or ``sweep`` on several scanners; the largest uncertainty of their
        diameters is taken, before that of `report`
    ratios : reports of ``python -m tools.size_report`` on labelled frames; the largest uncertainty of the AP/T ratio is
        taken

    Returns
    -------
    the engine's folder

    Raises
    ------
    ConfigError
        When the model is missing or the report is about another engine.
    """
    model = run_dir / "model.onnx"
    if not model.is_file():
        raise ConfigError(f"there is no model.onnx in {run_dir}; train first")
    for measured in (report, domain, *sizes, *ratios):
        if measured is not None and not str(measured.get("engine", "")).startswith(
            f"{recipe.engine}@{recipe.version}+"
        ):
            raise ConfigError(f"the report is about {measured.get('engine')}, not {recipe.engine}@{recipe.version}")
    if domain is not None and domain.get("proposed") is None:
        raise ConfigError("the report of the domain proposes no threshold; give it frames of the thyroid")
    folder = engines_dir / recipe.engine / recipe.version
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(model, folder / "model.onnx")
    write_golden(
        folder / "model.onnx",
        make_golden_input(recipe.size_hw_px) if golden is None else golden,
        folder / "golden" / "golden.npz",
    )
    diameter_rel_sd, measured_by = None, ""
    if report is not None:
        diameter_rel_sd, measured_by = _diameter_rel_sd(report["sets"][_NODULE_SET]), str(report["command"])
    if sizes:
        diameter_rel_sd = max(_diameter_rel_sd(item["figures"]) for item in sizes)
        measured_by = "largest of: " + "; ".join(str(item["command"]) for item in sizes)
    text = EngineText(
        name=recipe.engine,
        version=recipe.version,
        licence=recipe.licence,
        intended_use=recipe.intended_use,
        score_threshold=0.5 if report is None else round(float(report["threshold"]), 4),
        diameter_rel_sd=diameter_rel_sd,
        measured_by=measured_by,
        domain_threshold=0.0 if domain is None else round(float(domain["proposed"]["threshold"]), 4),
        domain_measured_by="not measured" if domain is None else str(domain["command"]),
        ap_t_rel_sd=max((float(item["ap_t"]["rel_sd"]) for item in ratios), default=None),
        ap_t_measured_by="largest of: " + "; ".join(str(item["command"]) for item in ratios),
    )
    (folder / "model.int8.onnx").unlink(missing_ok=True)  # of other weights, or gated at another threshold
    write_engine(folder, text, recipe.size_hw_px)
    return folder


def _diameter_rel_sd(figures: dict[str, Any]) -> float:
    """Relative standard uncertainty of a diameter: spread and bias of the relative error (JCGM 100:2008, F.2.4.5).

    The bias is not corrected, so it is included in the variance.
    """
    spread, bias = figures["diameter_rel_sd"]["value"], figures["diameter_rel_bias"]["value"]
    return round(float(np.hypot(spread, bias)), 4)


def _read_report(path: Path | None) -> dict[str, Any] | None:
    return None if path is None else json.loads(path.read_text(encoding="utf-8"))


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m usassist.training.package", description=__doc__.split("\n")[0])
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--run", type=Path, required=True, help="folder of the training run, with model.onnx")
    parser.add_argument("--engines", type=Path, required=True, help="folder of engines to write to")
    parser.add_argument("--evaluation", type=Path, help="JSON of python -m usassist.evaluation")
    parser.add_argument("--domain", type=Path, help="JSON of usassist eval domain")
    parser.add_argument("--sizes", type=Path, nargs="*", default=[], help="JSON of usassist eval nodule or eval sweep")
    parser.add_argument("--ratios", type=Path, nargs="*", default=[], help="JSON of python -m tools.size_report")
    options = parser.parse_args(arguments)
    console = Console(stderr=True)
    try:
        report, domain = (_read_report(path) for path in (options.evaluation, options.domain))
        sizes, ratios = (
            [json.loads(path.read_text(encoding="utf-8")) for path in paths]
            for paths in (options.sizes, options.ratios)
        )
        folder = write_engine_folder(
            load_recipe(options.recipe), options.run, options.engines, report, domain=domain, sizes=sizes, ratios=ratios
        )
    except UsAssistError as error:
        console.print(f"error: {error}", style="red", markup=False)
        return error.exit_code
    console.print(f"wrote {folder}", markup=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
