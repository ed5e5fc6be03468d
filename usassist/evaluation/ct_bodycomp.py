"""``python -m usassist.evaluation.ct_bodycomp``: the figures of the card of ``ct_bodycomp``, as a table and as JSON.

On simulated abdomens that were never trained on, the truth is known. On the one person of ``ct_body_totalsegmentator``
the masks are the output of another model: agreement, not truth. Every plane goes through what the command runs.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from usassist.config import data_dir
from usassist.engine import find_engine, open_engine
from usassist.engine.base import Engine
from usassist.errors import ConfigError, UsAssistError
from usassist.modalities.ct.body.outline import body_box
from usassist.modalities.ct.body.postprocess import find_compartments
from usassist.modalities.ct.body.preprocess import SIZE_YX_PX, WINDOWS_HU, place, to_picture, window_planes
from usassist.modalities.ct.body.tissues import Tissue, label_tissues
from usassist.phantom.ct.abdomen import render_plane
from usassist.phantom.ct.abdomen_plan import BODY_TYPES, draw_plan

__all__ = ["evaluate_real", "evaluate_simulated", "main", "segment_planes"]

UInt8Array = npt.NDArray[np.uint8]

FIRST_TEST_SEED = 2_000_000
"""Abdomens from this seed on are for testing: training and its validation have lower ones."""

_SHAPE_YX, _SPACING_MM = (300, 340), 1.5
_BLOCK = 5  # neighbouring planes are alike, so they are drawn again together
_DRAWS = 1000
_PAIRS = (
    (Tissue.SKELETAL_MUSCLE, "skeletal_muscle"),
    (Tissue.SUBCUTANEOUS_FAT, "subcutaneous_fat"),
    (Tissue.VISCERAL_FAT, "torso_fat"),
)


def segment_planes(engine: Engine, planes: npt.NDArray[Any], spacing_yx_mm: tuple[float, float]) -> UInt8Array:
    """Tissues of planes (Z, Y, X) in HU, rows to the back: uint8, 0 or tissue + 1."""
    placement = place(body_box(list(planes), spacing_yx_mm), spacing_yx_mm)
    image = np.empty((1, len(WINDOWS_HU), *SIZE_YX_PX), np.float32)
    labels = np.zeros(planes.shape, np.uint8)
    for z, plane in enumerate(planes):
        window_planes(to_picture(plane, placement), image[0])
        row = engine.infer({"image": image})["compartment_prob"][0]
        found = find_compartments(row, plane, placement, spacing_yx_mm[0] * spacing_yx_mm[1])
        labels[z] = label_tissues(found, plane)
    return labels


def evaluate_simulated(engine: Engine, count: int) -> dict[str, Any]:
    """Dice and relative error of the area, by tissue and body type, on `count` abdomens with one plane each."""
    names = list(BODY_TYPES)
    rows: list[tuple[str, dict[str, tuple[int, int, int]]]] = []
    for number in range(count):
        seed, body_type = FIRST_TEST_SEED + number, names[number % len(names)]
        plan = draw_plan(seed, body_type)
        rng = np.random.default_rng([seed, 0xCE])
        levels = plan.level_centres_z_mm()
        z = rng.uniform(levels["L5"] - 8, levels["T12"] + 12)
        noise = float(np.exp(rng.uniform(np.log(4), np.log(25))))
        centre_y = (plan.posterior - plan.anterior) / 2
        spacing = (_SPACING_MM, _SPACING_MM)
        hu, truth = render_plane(plan, z, _SHAPE_YX, spacing, (centre_y, 0.0), rng, noise_hu=noise)
        wanted = label_tissues(truth, hu)
        found = segment_planes(engine, hu[None], spacing)[0]
        counts = {}
        for tissue in (*[item for item, _ in _PAIRS], Tissue.INTERMUSCULAR_FAT):
            a, b = found == tissue + 1, wanted == tissue + 1
            counts[tissue.name.lower()] = int((a & b).sum()), int(a.sum()), int(b.sum())
        rows.append((body_type, counts))
    report: dict[str, Any] = {"abdomens": count}
    for group in ("all", *names):
        part = [counts for name, counts in rows if group in ("all", name)]
        report[group] = {tissue: _figures([row[tissue] for row in part]) for tissue in part[0]} if part else {}
    return report


def evaluate_real(engine: Engine, folder: Path) -> dict[str, Any]:
    """Dice against the masks of ``ct_body_totalsegmentator``, pooled over planes, with an interval by blocks of planes.

    Raises
    ------
    ConfigError
        If the set is not in the folder.
    """
    from usassist.sources.volumes import read_labelmap, read_volume

    path = folder / "ct_body_totalsegmentator" / "example_ct_sm.nii.gz"
    if not path.is_file():
        raise ConfigError("ct_body_totalsegmentator is missing from the folder in USASSIST_DATA; fetch it")
    volume = read_volume(path, session_id="evaluation").volume
    spacing = volume.spacing_zyx_mm[1:]
    found = segment_planes(engine, volume.voxels, spacing)
    report: dict[str, Any] = {"persons": 1, "planes": int(volume.shape_zyx[0])}
    for tissue, mask in _PAIRS:
        wanted = read_labelmap(path.parent / "example_seg_tissue_types" / f"{mask}.nii.gz")[0] > 0
        mine = found == tissue + 1
        rows = [(int((a & b).sum()), int(a.sum()), int(b.sum())) for a, b in zip(mine, wanted, strict=True)]
        report[tissue.name.lower()] = {"mask": mask, **_figures(rows, block=_BLOCK)}
    return report


def _figures(rows: list[tuple[int, int, int]], block: int = 1) -> dict[str, Any]:
    """Pooled Dice with its 95 % interval by bootstrap over blocks of rows (both, found, wanted), and area errors."""
    counts = np.array(rows, np.float64)
    blocks = [counts[start : start + block].sum(axis=0) for start in range(0, len(counts), block)]
    stacked = np.array(blocks)
    rng = np.random.default_rng(0)
    draws = stacked[rng.integers(len(stacked), size=(_DRAWS, len(stacked)))].sum(axis=1)
    dice = 2 * draws[:, 0] / np.maximum(draws[:, 1] + draws[:, 2], 1)
    there = counts[counts[:, 2] > 0]
    error = there[:, 1] / there[:, 2] - 1
    single = 2 * there[:, 0] / np.maximum(there[:, 1] + there[:, 2], 1)
    total = counts.sum(axis=0)
    return {
        "dice": round(float(2 * total[0] / max(total[1] + total[2], 1)), 4),
        "dice_95": [round(float(value), 4) for value in np.percentile(dice, (2.5, 97.5))],
        "dice_median": round(float(np.median(single)), 4) if len(single) else None,
        "dice_5th_percentile": round(float(np.percentile(single, 5)), 4) if len(single) else None,
        "area_bias": round(float(np.mean(error)), 4) if len(error) else None,
        "area_sd": round(float(np.std(error, ddof=1)), 4) if len(error) > 1 else None,
        "planes": len(counts),
    }


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m usassist.evaluation.ct_bodycomp", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--engine", default="ct_bodycomp", help="name, or name@version")
    parser.add_argument("--engines", type=Path, help="folder of engines (default: the shipped ones)")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--simulated", type=int, default=120, metavar="COUNT", help="abdomens; 0 = none")
    parser.add_argument("--real", action="store_true", help="also the real set in the folder USASSIST_DATA")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to this file")
    options = parser.parse_args(arguments)
    try:
        spec = find_engine(options.engine, options.engines)
        report: dict[str, Any] = {"engine": spec.engine_id}
        with open_engine(spec, options.backend, threads=options.threads) as engine:
            if options.simulated:
                report["simulated"] = evaluate_simulated(engine, options.simulated)
            if options.real:
                report["real"] = evaluate_real(engine, data_dir())
    except UsAssistError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    _print(report)
    if options.json is not None:
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 0


def _print(report: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=report["engine"], title_justify="left")
    for name in ("set", "tissue", "Dice", "95 %", "median plane", "5th percentile", "area bias", "area sd"):
        table.add_column(name)
    groups = {f"simulated, {name}": part for name, part in report.get("simulated", {}).items() if name != "abdomens"}
    real = {name: part for name, part in report.get("real", {}).items() if isinstance(part, dict)}
    groups |= {"one person, masks of another model": real} if real else {}
    for group, tissues in groups.items():
        for tissue, figures in tissues.items():
            low, high = figures["dice_95"]
            row = [figures["dice_median"], figures["dice_5th_percentile"], figures["area_bias"], figures["area_sd"]]
            texts = ["" if value is None else f"{value:.3f}" for value in row]
            table.add_row(group, tissue, f"{figures['dice']:.3f}", f"{low:.3f} to {high:.3f}", *texts)
    Console(width=140).print(table)


if __name__ == "__main__":
    sys.exit(main())
