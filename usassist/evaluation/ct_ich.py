"""``python -m usassist.evaluation.ct_ich``: what the engine ``ct_ich`` reaches on real slices, as tables and as JSON.

- *Pictures*: the held-out slices of ``ct_head_png`` on a rough scale of HU. AUC of ``slice_prob``; intervals by group
  of pictures that are alike or of one series. Which are held out is in ``recipes/ct_ich_pictures.toml``.
- *HU slices*: ``ct_head_ich_hu`` through the whole task, as ``usassist ct ich`` runs it. Dice of the outlines, all
  slices of a patient together; intervals by patient. This set is for validation only, never for training.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from usassist.config import data_dir
from usassist.engine import EngineSpec, FailoverEngine, find_engine, open_engine
from usassist.engine.base import Engine
from usassist.errors import ConfigError, UsAssistError
from usassist.evaluation.ct_ich_figures import (
    PictureScore,
    SliceOverlap,
    dice_by_patient,
    measure_pictures,
    measure_slices,
)
from usassist.evaluation.metrics import Figure
from usassist.evaluation.report_files import describe_command, write_json
from usassist.modalities.ct.haemorrhage.pictures import to_hu
from usassist.modalities.ct.haemorrhage.preprocess import place_back, prepare_plane, prepare_slice
from usassist.pipeline import make_study_task, run_study
from usassist.records import ResultState
from usassist.volumes import Volume

__all__ = ["main"]

PICTURES, HU_SLICES = "ct_head_png", "ct_head_ich_hu"
_SPLIT = Path(__file__).resolve().parents[2] / "recipes" / "ct_ich_pictures.toml"
_MASK_LEVEL = 0.5


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m usassist.evaluation.ct_ich", description=__doc__.split("\n")[0])
    parser.add_argument("--engine", default="ct_ich", help="name, or name@version")
    parser.add_argument("--engines", type=Path, help="folder of engines (default: the shipped ones)")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads, 0 = all")
    parser.add_argument("--split", type=Path, default=_SPLIT, help="which pictures are held out")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to this file")
    given = sys.argv[1:] if arguments is None else arguments
    options = parser.parse_args(given)
    try:
        spec = find_engine(options.engine, options.engines)
        data_root = data_dir()
        with open_engine(spec, options.backend, options.threads, precision="fp32") as engine:
            pictures = list(_score_pictures(engine, data_root, options.split))
            with FailoverEngine.open(spec, options.backend, options.threads, "fp32") as runner:
                overlaps = list(_score_slices(spec, engine, runner, data_root))
        report = _measure(spec, pictures, overlaps)
        report["command"] = describe_command("python -m usassist.evaluation.ct_ich", given)
        _print(report)
        if options.json is not None:
            write_json(options.json, report)
    except UsAssistError as error:
        Console(stderr=True).print(f"error: {error}", style="red", markup=False, soft_wrap=True)
        return error.exit_code
    return 0


def _measure(spec: EngineSpec, pictures: list[PictureScore], overlaps: list[SliceOverlap]) -> dict[str, Any]:
    threshold = spec.labels[0].score_threshold
    return {
        "engine": spec.engine_id,
        "threshold": threshold,
        "pictures": measure_pictures(pictures, threshold),
        "slices": measure_slices(overlaps, threshold),
        "dice_by_patient": dice_by_patient(overlaps),
        "each_picture": pictures,
        "each_slice": overlaps,
    }


def _score_pictures(engine: Engine, data_root: Path, split: Path) -> Iterator[PictureScore]:
    """The held-out pictures, one after the other."""
    try:
        groups = tomllib.loads(split.read_text(encoding="utf-8"))["held_out"]
        with (data_root / PICTURES / "labels.csv").open(encoding="utf-8") as lines:
            rows = [{key.strip(): value.strip() for key, value in row.items()} for row in csv.DictReader(lines)]
    except (OSError, KeyError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"the held-out pictures cannot be read: {error}; see --split and USASSIST_DATA") from error
    labels = {row["id"]: row["hemorrhage"] == "1" for row in rows}
    for group, names in enumerate(groups):
        for name in names:
            grey = cv2.imread(str(data_root / PICTURES / f"{name}.png"), cv2.IMREAD_GRAYSCALE)
            if grey is None or name not in labels:
                raise ConfigError(f"picture {name} of {PICTURES} cannot be read; fetch the data set again")
            hu, square = to_hu(np.asarray(grey, np.uint8))
            scores = engine.infer({"image": prepare_plane(hu, square)[None]})["slice_prob"]
            yield PictureScore(name=name, group=group, has_blood=labels[name], score=float(scores[0, 0]))


def _score_slices(spec: EngineSpec, engine: Engine, runner: FailoverEngine, data_root: Path) -> Iterator[SliceOverlap]:
    """The HU slices, one after the other, through the task of the modality."""
    paths = sorted((data_root / HU_SLICES).glob("*.npz"))
    if not paths:
        raise ConfigError(f"there are no slices in {HU_SLICES}; set USASSIST_DATA to the folder of the data")
    task = make_study_task(spec)
    for path in paths:
        with np.load(path) as stored:
            hu, truth = stored["hu"].astype(np.int16), stored["mask"].astype(np.bool_)
        volume = _as_volume(hu, path.stem)
        result = run_study(volume, task, runner)
        if result.state == ResultState.NO_RESULT or result.answer is None:
            raise ConfigError(f"slice {path.stem} has no result: {result.reason}")
        outlined = np.zeros(hu.shape, np.bool_)
        if result.answer.labelmap is not None:
            outlined = result.answer.labelmap[0] > 0
        tensor, square = prepare_slice(hu)
        outputs = engine.infer({"image": tensor[None]})
        mask = place_back(outputs["mask_prob"][0, 0], square, hu.shape) >= _MASK_LEVEL
        yield SliceOverlap(
            name=path.stem,
            patient=path.stem.partition("_")[0],
            truth_px=int(truth.sum()),
            found_px=int(outlined.sum()),
            shared_px=int((outlined & truth).sum()),
            mask_px=int(mask.sum()),
            mask_shared_px=int((mask & truth).sum()),
            score=float(outputs["slice_prob"][0, 0]),
        )


def _as_volume(hu: npt.NDArray[np.int16], name: str) -> Volume:
    """A slice of unknown spacing."""
    return Volume(
        session_id="evaluation",
        source_id="ct0",
        series_id=name,
        modality="CT",
        voxels=hu[None],
        affine_ijk_to_lps_mm=np.eye(4),
        unit="HU",
        spacing_is_known=False,
    )


def _print(report: dict[str, Any]) -> None:
    console = Console()
    table = Table(title=f"{report['engine']}, threshold {report['threshold']:.2f}")
    for column in ("what", "value", "95 % interval", "of"):
        table.add_column(column)
    for part, units in (("pictures", "pictures"), ("slices", "patients or slices")):
        figures: dict[str, Figure] = report[part]
        for name, figure in figures.items():
            interval = f"{figure.low:.3f} to {figure.high:.3f}"
            table.add_row(f"{part}: {name}", f"{figure.value:.3f}", interval, f"{figure.count} {units}")
    console.print(table)
    patients = Table(title="Dice by patient")
    for column in ("patient", "outlines", "mask alone"):
        patients.add_column(column)
    for name, (outlined, mask) in report["dice_by_patient"].items():
        patients.add_row(name, f"{outlined:.3f}", f"{mask:.3f}")
    console.print(patients)


if __name__ == "__main__":
    sys.exit(main())
