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
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, get_args

import cv2
import numpy as np
import numpy.typing as npt
import typer

from usassist import Engine, FrameResult
from usassist.errors import ScanAreaError
from usassist.evaluation.cases import Cases
from usassist.evaluation.folders import LabelledFrame, list_pairs, read_pairs
from usassist.evaluation.metrics import iou, regions
from usassist.evaluation.tally import MIN_IOU, MIN_TRUTH_PX
from usassist.frames import find_cut, measure
from usassist.phantom import NoduleTruth, PhantomConfig, PhantomScan, PhantomScanner
from usassist.phantom.config import Geometry
from usassist.records import Measurements, Segmentation

__all__ = ["Comparison", "Truth", "compare", "main", "summarise"]

_SHAPE = ("solidity", "total_curvature")
_LENGTHS = ("major", "minor", "ap", "transverse", "equivalent")
_SCAN_HW_PX = (480, 560)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Truth:
    """One nodule on one frame.

    Attributes
    ----------
    mask : bool (H, W), what is seen of it
    is_cut : the border of the scan cuts it
    lengths_mm : by name of the length
    shape : solidity and total curvature of `mask`
    """

    mask: npt.NDArray[np.bool_]
    is_cut: bool
    lengths_mm: dict[str, float]
    shape: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One nodule on one frame that was found.

    Attributes
    ----------
    frame : name of the frame
    is_cut, said_cut : whether the border of the scan cuts it, and whether the result states that
    truth_mm, measured_mm, u95_mm : by name of the length
    ap_t_low, ap_t_high, ap_t_state : as stated of the ratio
    truth_shape, measured_shape : solidity and total curvature
    """

    frame: str
    is_cut: bool
    said_cut: bool
    truth_mm: dict[str, float]
    measured_mm: dict[str, float]
    u95_mm: dict[str, float]
    ap_t_low: float
    ap_t_high: float
    ap_t_state: str | None
    truth_shape: dict[str, float]
    measured_shape: dict[str, float]

    @property
    def ap_t(self) -> float:
        """True ratio."""
        return self.truth_mm["ap"] / self.truth_mm["transverse"]

    @property
    def ap_t_error(self) -> float:
        """Error of the ratio, as the difference of logarithms."""
        return float(np.log(self.measured_mm["ap"] / self.measured_mm["transverse"] / self.ap_t))


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
    spacing_rel_sd: Annotated[float, typer.Option(min=0.0, help="Uncertainty of the simulated scale.")] = 0.01,
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
                    factor = 1.0 + spacing_rel_sd * float(np.random.default_rng(seed).standard_normal())
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


def compare(frame: str, truth: list[Truth], result: FrameResult, factor: float = 1.0) -> list[Comparison]:
    """The nodules of a frame that were found.

    Parameters
    ----------
    frame : its name
    truth, result : of it; the result has sizes in mm
    factor : measured lengths are multiplied by it, to simulate an error of the scale
    """
    compared, masks = [], result.masks
    for nodule in truth:
        overlap = [iou(mask, nodule.mask) for mask in masks]
        if not overlap or max(overlap) < MIN_IOU:
            continue
        row = int(np.argmax(overlap))
        sizes = result.sizes
        state = sizes.ap_t_state(row)
        assert sizes.ap_t_low is not None  # the engine was given a scale
        assert sizes.ap_t_high is not None
        compared.append(
            Comparison(
                frame=frame,
                is_cut=nodule.is_cut,
                said_cut=sizes.is_cut(row),
                truth_mm=nodule.lengths_mm,
                measured_mm=_lengths(sizes, row, "mm", factor),
                u95_mm=_lengths(sizes, row, "u95_mm", factor),
                ap_t_low=float(sizes.ap_t_low[row]),
                ap_t_high=float(sizes.ap_t_high[row]),
                ap_t_state=None if state is None else str(state),
                truth_shape=nodule.shape,
                measured_shape=_shape(sizes, row),
            )
        )
    return compared


def summarise(compared: list[Comparison]) -> dict[str, Any]:
    """Figures of the nodules that were found.

    Returns
    -------
    ``found`` : number of nodules
    ``whole`` : by name of the length: ``count``, ``bias``, ``p50`` and ``p90`` of the relative error, ``coverage`` of
        the intervals, and ``half_width``, their median relative half-width; of nodules that are whole and shown as such
    ``thirds`` : of the same, the smallest, middle and largest third by true longest diameter: ``up_to``, ``bias`` and
        ``p90`` of its error
    ``ap_t`` : of the same: ``rel_sd``, root mean square of the error of its logarithm, ``coverage`` of the intervals,
        how many are stated as ``taller``, ``wider`` and ``uncertain``, and how many of the first two are ``right``
    ``shape`` : of the same: correlation of solidity and total curvature with those of the truth
    ``cut`` : ``seen``, ``missed`` and ``invented`` cuts, and ``bound_holds``, the share of the nodules shown as "at
        least" whose longest diameter is at least that
    """
    whole = [item for item in compared if not item.is_cut and not item.said_cut]
    lengths = {}
    for name in _LENGTHS:
        truth, measured, u95 = (
            np.array([getattr(item, field)[name] for item in whole]) for field in ("truth_mm", "measured_mm", "u95_mm")
        )
        error = measured / truth - 1.0
        lengths[name] = {
            "count": len(whole),
            "bias": _mean(error),
            "p50": _percentile(np.abs(error), 50),
            "p90": _percentile(np.abs(error), 90),
            "coverage": _mean(np.abs(measured - truth) <= u95),
            "half_width": _percentile(u95 / measured, 50),
        }
    states = [item.ap_t_state for item in whole]
    right = {"taller": lambda ratio: ratio > 1.0, "wider": lambda ratio: ratio < 1.0}
    mean_square = _mean(np.array([item.ap_t_error**2 for item in whole]))
    bounds = np.array([item.measured_mm["major"] <= item.truth_mm["major"] for item in compared if item.said_cut])
    return {
        "found": len(compared),
        "whole": lengths,
        "thirds": _thirds(whole),
        "ap_t": {
            "rel_sd": None if mean_square is None else round(float(np.sqrt(mean_square)), 4),
            "coverage": _mean(np.array([item.ap_t_low <= item.ap_t <= item.ap_t_high for item in whole])),
            **{state: states.count(state) for state in ("taller", "wider", "uncertain")},
            "right": sum(item.ap_t_state in right and right[item.ap_t_state](item.ap_t) for item in whole),
        },
        "shape": {name: _correlation(whole, name) for name in _SHAPE},
        "cut": {
            "seen": sum(item.is_cut and item.said_cut for item in compared),
            "missed": sum(item.is_cut and not item.said_cut for item in compared),
            "invented": sum(item.said_cut and not item.is_cut for item in compared),
            "bound_holds": _mean(bounds),
        },
    }


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
        truth.append(Truth(mask=mask, is_cut=is_cut, lengths_mm=_lengths(sizes, 0, "px"), shape=_shape(sizes, 0)))
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
    return Truth(mask=mask, is_cut=nodule.cropped, lengths_mm=lengths_mm, shape=_shape(measure(_outline(mask)), 0))


def _outline(mask: npt.NDArray[np.bool_]) -> Segmentation:
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return Segmentation.of([max(outlines, key=len)[:, 0].astype(np.float32) + np.float32(0.5)])


def _lengths(sizes: Measurements, row: int, unit: str, factor: float = 1.0) -> dict[str, float]:
    return {name: factor * float(getattr(sizes, f"{name}_{unit}")[row]) for name in _LENGTHS}


def _shape(sizes: Measurements, row: int) -> dict[str, float]:
    return {name: float(getattr(sizes, name)[row]) for name in _SHAPE}


def _thirds(whole: list[Comparison]) -> list[dict[str, float | None]]:
    ordered = sorted((item.truth_mm["major"], item.measured_mm["major"]) for item in whole)
    thirds = []
    for part in np.array_split(np.array(ordered).reshape(-1, 2), 3):
        error = part[:, 1] / part[:, 0] - 1.0
        up_to = float(part[-1, 0]) if len(part) else None
        thirds.append({"up_to": up_to, "bias": _mean(error), "p90": _percentile(np.abs(error), 90)})
    return thirds


def _correlation(compared: list[Comparison], name: str) -> float | None:
    if len(compared) < 3:
        return None
    pairs = [(item.truth_shape[name], item.measured_shape[name]) for item in compared]
    return float(np.corrcoef(np.array(pairs).T)[0, 1])


def _config(seed: int, geometry: Geometry) -> PhantomConfig:
    return PhantomConfig(seed=1000 + seed, geometry=geometry, scan_hw_px=_SCAN_HW_PX, nodule_count=2)


def _scans(scanner: PhantomScanner, frames: int) -> Iterator[PhantomScan]:
    """Frames of every nodule, evenly within a second around its middle."""
    for nodule in scanner.nodules:
        for offset_s in (np.arange(frames) + 0.5) / frames - 0.5:
            yield scanner.render_scan(abs(scanner.crossing_s(nodule.identity) + float(offset_s)))


def _mean(values: npt.NDArray[Any]) -> float | None:
    return float(values.mean()) if len(values) else None


def _percentile(values: npt.NDArray[Any], percent: float) -> float | None:
    return float(np.percentile(values, percent)) if len(values) else None


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
