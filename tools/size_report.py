"""Sizes of nodules compared with the truth: ``python -m tools.size_report``.

Without ``--images``, the truth is that of the simulated scanner, in mm: frames of sweeps, near the middle of each
nodule. The scale is given with an error that is drawn anew for every sweep from the uncertainty stated of it, so that
the intervals are tested as a whole. With ``--images`` and ``--masks`` the truth are marked outlines, which are measured
as those of the engine are. They have no scale, so lengths are in px and their intervals are those of the outline alone.

A finding that overlaps with a nodule (IoU 0.3 or more, as in ``usassist eval``) is its measurement.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, get_args

import cv2
import numpy as np
import numpy.typing as npt
import typer

from tools.size_figures import Truth, compare, lengths_of, shape_of, summarise
from usassist import Engine, FrameResult
from usassist.errors import ScanAreaError
from usassist.evaluation.cases import Cases
from usassist.evaluation.folders import LabelledFrame, list_pairs, read_pairs
from usassist.evaluation.metrics import regions
from usassist.evaluation.phantom_clips import SPACING_REL_SD
from usassist.evaluation.sizes import draw_scale_error
from usassist.evaluation.tally import MIN_TRUTH_PX
from usassist.frames import find_cut, measure
from usassist.phantom import NoduleTruth, PhantomConfig, PhantomScan, PhantomScanner
from usassist.phantom.config import Geometry
from usassist.records import Segmentation

__all__ = ["main"]

_SCAN_HW_PX = (480, 560)


def main(
    images: Annotated[Path | None, typer.Option(help="Folder of images, instead of the simulated scanner.")] = None,
    masks: Annotated[Path | None, typer.Option(help="Folder of their masks.")] = None,
    names: Annotated[Path | None, typer.Option(help="Only the images that this file names.")] = None,
    every: Annotated[int, typer.Option(min=1, help="Only every so many images.")] = 1,
    engine: Annotated[str, typer.Option(help="Name, or name@version.")] = "thyroid_nodule",
    backend: Annotated[str, typer.Option(help="Back end.")] = "auto",
    precision: Annotated[str, typer.Option(help="Precision.")] = "auto",
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0 = all.")] = 0,
    sweeps: Annotated[int, typer.Option(min=1, help="Simulated sweeps of each geometry.")] = 20,
    frames: Annotated[int, typer.Option(min=1, help="Frames of each simulated nodule.")] = 2,
    spacing_rel_sd: Annotated[
        float, typer.Option(min=0.0, help="Uncertainty of the simulated scale.")
    ] = SPACING_REL_SD,
    write: Annotated[Path | None, typer.Option("--json", help="Write the figures and all nodules here.")] = None,
) -> None:
    """Print errors, coverage of the intervals, and what is said of nodules that are cut."""
    if (images is None) != (masks is None):
        raise typer.BadParameter("--images and --masks go together")
    cv2.setNumThreads(1)
    options = {"backend": backend, "precision": precision, "threads": threads}
    if images is not None and masks is not None:
        chosen = None if names is None else [line.split()[0] for line in names.read_text().splitlines() if line.strip()]
        with Engine(engine, **options, spacing_mm=(1.0, 1.0), spacing_rel_sd=0.0) as opened:  # type: ignore[arg-type]
            engine_id, truths, compared = opened.engine_id, 0, []
            pairs = list_pairs(images, masks, chosen, [])[::every]
            for frame in read_pairs(pairs, Cases(), []):
                result, truth = _answer_labelled(opened, frame)
                truths += len(truth)
                compared += compare(frame.name, truth, result)
    else:
        truths, compared = 0, []
        for geometry in get_args(Geometry):
            spacing_mm = PhantomScanner(_config(0, geometry)).spacing_rc_mm
            scale = {"spacing_mm": spacing_mm, "spacing_rel_sd": spacing_rel_sd}
            with Engine(engine, **options, **scale) as opened:  # type: ignore[arg-type]
                engine_id = opened.engine_id
                for seed in range(sweeps):
                    factor = draw_scale_error(spacing_rel_sd, seed)
                    for scan in _scans(PhantomScanner(_config(seed, geometry)), frames):
                        truth = [_simulated(scan, nodule) for nodule in scan.nodules]
                        truths += len(truth)
                        name = f"{geometry} {seed} {scan.t_s:.2f} s"
                        compared += compare(name, truth, opened(scan.scan), factor)
    command = shlex.join(["python", "-m", "tools.size_report", *sys.argv[1:]])
    report = {"command": command, "engine": engine_id, "nodules": truths, **summarise(compared)}
    typer.echo(_in_words(report))
    if write is not None:
        write.write_text(json.dumps(report | {"compared": [asdict(item) for item in compared]}, indent=1) + "\n")


def _answer_labelled(engine: Engine, frame: LabelledFrame) -> tuple[FrameResult, list[Truth]]:
    """A labelled frame, cropped as the evaluation does it, with its marked regions of 50 px or more."""
    try:
        result = engine(frame.image, crop="auto")
    except ScanAreaError:
        result = engine(frame.image)
    x1, y1, x2, y2 = result.frame.roi_xyxy_px
    truth = []
    for mask in regions(frame.truth[y1:y2, x1:x2], MIN_TRUTH_PX):
        outline = _outline(mask)
        is_cut, sizes = bool(find_cut(outline, result.image, 0.0)[0]), measure(outline)
        truth.append(Truth(mask=mask, is_cut=is_cut, lengths_mm=lengths_of(sizes, 0, "px"), shape=shape_of(sizes, 0)))
    return result, truth


def _simulated(scan: PhantomScan, nodule: NoduleTruth) -> Truth:
    """AP and transverse extent are those of the pixels, which are right of a whole section."""
    x1, y1, x2, y2 = nodule.xyxy_px
    lengths_mm = {
        "major": nodule.major_mm,
        "minor": nodule.minor_mm,
        "ap": (y2 - y1) * scan.spacing_rc_mm[0],
        "transverse": (x2 - x1) * scan.spacing_rc_mm[1],
        "equivalent": float(np.sqrt(4.0 * nodule.area_mm2 / np.pi)),
    }
    mask = scan.labelmap == nodule.identity
    return Truth(mask=mask, is_cut=nodule.cropped, lengths_mm=lengths_mm, shape=shape_of(measure(_outline(mask)), 0))


def _outline(mask: npt.NDArray[np.bool_]) -> Segmentation:
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return Segmentation.of([max(outlines, key=len)[:, 0].astype(np.float32) + np.float32(0.5)])


def _config(seed: int, geometry: Geometry) -> PhantomConfig:
    return PhantomConfig(seed=1000 + seed, geometry=geometry, scan_hw_px=_SCAN_HW_PX, nodule_count=2)


def _scans(scanner: PhantomScanner, frames: int) -> Iterator[PhantomScan]:
    """Frames of every nodule, evenly within a second around its middle."""
    for nodule in scanner.nodules:
        for offset_s in (np.arange(frames) + 0.5) / frames - 0.5:
            yield scanner.render_scan(abs(scanner.crossing_s(nodule.identity) + float(offset_s)))


def _in_words(report: dict[str, Any]) -> str:
    lines = [
        report["engine"],
        f"{report['found']} of {report['nodules']} nodules on frames were found",
        "",
        "of those that are whole    nodules   bias     p50     p90   coverage of u95   half-width",
    ]
    for name, row in report["whole"].items():
        values = "  ".join(_share(row[key]) for key in ("bias", "p50", "p90"))
        last = f"{_share(row['coverage'])}           {_share(row['half_width'])}"
        lines.append(f"{name:26s} {row['count']:7d} {values}     {last}")
    for third in report["thirds"]:
        if third["up_to"] is not None:
            bias, p90 = _share(third["bias"]).strip(), _share(third["p90"]).strip()
            lines.append(f"third up to {third['up_to']:.1f}: bias of major {bias}, p90 of its error {p90}")
    ap_t, cut = report["ap_t"], report["cut"]
    rel_sd = "–" if ap_t["rel_sd"] is None else f"{ap_t['rel_sd']:.3f}"
    lines += [
        f"AP/T: relative sd {rel_sd}, coverage {_share(ap_t['coverage']).strip()}; {ap_t['taller']} taller, "
        f"{ap_t['wider']} wider, {ap_t['right']} of these right; {ap_t['uncertain']} uncertain",
        "correlation with the truth: "
        + ", ".join(f"{name} {'–' if value is None else f'{value:.2f}'}" for name, value in report["shape"].items()),
        f"cut by the border: {cut['seen']} seen, {cut['missed']} missed, {cut['invented']} invented; "
        f"the bound holds in {_share(cut['bound_holds']).strip()}",
    ]
    return "\n".join(lines)


def _share(value: float | None) -> str:
    return "    –" if value is None else f"{100.0 * value:5.1f} %"


if __name__ == "__main__":
    typer.run(main)
