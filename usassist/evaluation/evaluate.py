"""Run labelled frames through the whole live path and count: crop, preprocess, engine, decode, and back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from usassist.errors import ScanAreaError
from usassist.evaluation.folders import LabelledFrame
from usassist.evaluation.metrics import Figure, bootstrap_by_case, dice, iou, longest_diameter_px, match, regions
from usassist.frames import fill_labelmap, find_scan_area, measure
from usassist.modalities.ultrasound import decode, preprocess
from usassist.records import LabelSpec

__all__ = ["FrameOutcome", "Nodule", "choose_threshold", "evaluate", "evaluate_negatives", "run_frames"]

Array = npt.NDArray[Any]
BoolArray = npt.NDArray[np.bool_]
Infer = Callable[[Mapping[str, Array]], Mapping[str, Array]]

LEAST_TRUTH_PX = 50
LEAST_IOU = 0.3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FrameOutcome:
    """What the engine found in one frame, in pixels of the whole frame.

    Attributes
    ----------
    name, case : of the frame
    truth : bool (H, W)
    found : one bool (H, W) per detection, by falling score
    score : float64 (N,)
    diameter_px : float64 (N,), longest diameter as the live path gives it
    elapsed_ms : preprocess, engine and decode; the crop is found once per stream and not counted
    cropped : False when no scan area was found and the frame was used whole
    """

    name: str
    case: str
    truth: BoolArray
    found: tuple[BoolArray, ...]
    score: Array
    diameter_px: Array
    elapsed_ms: float
    cropped: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Nodule:
    """One marked nodule: was it found, and how far off was its longest diameter, as a share of the true one."""

    case: str
    hit: bool
    diameter_rel_error: float


def run_frames(
    infer: Infer,
    size_hw_px: tuple[int, int],
    labels: tuple[LabelSpec, ...],
    frames: Iterable[LabelledFrame],
) -> list[FrameOutcome]:
    """Put frames through the live path.

    Detections below a higher threshold can be left out afterwards with the same result, because a detection never
    depends on one with a lower score.

    Parameters
    ----------
    infer : the engine: named tensors to named tensors
    size_hw_px : its input
    labels : with the lowest threshold of interest
    frames : not cropped
    """
    outcomes: list[FrameOutcome] = []
    for frame in frames:
        height_px, width_px = frame.image.shape
        cropped = True
        try:
            x1, y1, x2, y2 = find_scan_area([frame.image]).xyxy_px
        except ScanAreaError:
            x1, y1, x2, y2, cropped = 0, 0, width_px, height_px, False
        image = np.ascontiguousarray(frame.image[y1:y2, x1:x2])
        started_s = time.perf_counter()
        tensor, image_to_input = preprocess(image, size_hw_px)
        detections, segmentation = decode(infer({"image": tensor}), image_to_input, (y2 - y1, x2 - x1), labels)
        elapsed_ms = 1e3 * (time.perf_counter() - started_s)
        labelmap = np.zeros((height_px, width_px), np.uint8)
        labelmap[y1:y2, x1:x2] = fill_labelmap(segmentation, (y2 - y1, x2 - x1))
        outcomes.append(
            FrameOutcome(
                name=frame.name,
                case=frame.case,
                truth=frame.truth,
                found=tuple(labelmap == index + 1 for index in range(len(detections))),
                score=detections.score.astype(np.float64),
                diameter_px=measure(segmentation).major_px.astype(np.float64),
                elapsed_ms=elapsed_ms,
                cropped=cropped,
            )
        )
    return outcomes


def evaluate(outcomes: Sequence[FrameOutcome], threshold: float) -> dict[str, Figure]:
    """Figures on frames with nodules, each with a 95 % confidence interval by case.

    Parameters
    ----------
    outcomes : of :func:`run_frames`
    threshold : detections with a lower score are left out

    Returns
    -------
    ``dice_mean``, ``dice_median``, ``iou_mean`` : per frame, all detections together against all nodules together
    ``sensitivity`` : share of the nodules (connected regions of 50 px or more) met by a detection with IoU 0.3 or more
    ``false_positives_per_frame`` : detections that meet none
    ``diameter_rel_bias``, ``diameter_rel_sd`` : of the relative error of the longest diameter of the nodules met
    """
    judged = [_judge(outcome, threshold) for outcome in outcomes]
    rows = [row for row, _ in judged]
    nodules = [nodule for _, of_frame in judged for nodule in of_frame]
    hits = [nodule for nodule in nodules if nodule.hit]
    return {
        "dice_mean": _figure(rows, lambda drawn: _mean([row.dice for row in drawn])),
        "dice_median": _figure(rows, lambda drawn: float(np.median([row.dice for row in drawn])) if drawn else np.nan),
        "iou_mean": _figure(rows, lambda drawn: _mean([row.iou for row in drawn])),
        "sensitivity": _figure(nodules, lambda drawn: _mean([nodule.hit for nodule in drawn])),
        "false_positives_per_frame": _figure(rows, lambda drawn: _mean([row.false_positives for row in drawn])),
        "diameter_rel_bias": _figure(hits, lambda drawn: _mean([nodule.diameter_rel_error for nodule in drawn])),
        "diameter_rel_sd": _figure(hits, lambda drawn: _sd([nodule.diameter_rel_error for nodule in drawn])),
    }


def evaluate_negatives(outcomes: Sequence[FrameOutcome], threshold: float) -> dict[str, Figure]:
    """False alarms on frames without a marked nodule: per frame, and the share of frames with any."""
    rows = [(outcome.case, int((outcome.score >= threshold).sum())) for outcome in outcomes]

    def figure(statistic: Callable[[Sequence[tuple[str, int]]], float]) -> Figure:
        value, low, high = bootstrap_by_case(rows, lambda row: row[0], statistic)
        return Figure(value=value, low=low, high=high, count=len(rows))

    return {
        "false_alarms_per_frame": figure(lambda drawn: _mean([count for _, count in drawn])),
        "frames_with_false_alarm": figure(lambda drawn: _mean([count > 0 for _, count in drawn])),
    }


def choose_threshold(outcomes: Sequence[FrameOutcome], candidates: Sequence[float]) -> tuple[float, dict[float, float]]:
    """The threshold with the best F1 of nodules met against false positives; of equals the highest.

    Returns
    -------
    threshold, F1 at every candidate
    """
    f1: dict[float, float] = {}
    for threshold in candidates:
        judged = [_judge(outcome, threshold) for outcome in outcomes]
        hits = sum(nodule.hit for _, of_frame in judged for nodule in of_frame)
        misses = sum(not nodule.hit for _, of_frame in judged for nodule in of_frame)
        false_positives = sum(row.false_positives for row, _ in judged)
        f1[threshold] = 2 * hits / max(1, 2 * hits + misses + false_positives)
    return max(candidates, key=lambda threshold: (f1[threshold], threshold)), f1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    case: str
    dice: float
    iou: float
    false_positives: int


def _judge(outcome: FrameOutcome, threshold: float) -> tuple[_Row, list[Nodule]]:
    kept = [index for index, score in enumerate(outcome.score) if score >= threshold]
    found = [outcome.found[index] for index in kept]
    together = np.zeros(outcome.truth.shape, np.bool_)
    for region in found:
        together |= region
    truth = regions(outcome.truth, LEAST_TRUTH_PX)
    pairs = match(found, truth, LEAST_IOU)
    partner = {second: first for first, second in pairs}
    nodules = []
    for index, region in enumerate(truth):
        error = float("nan")
        if index in partner:
            true_px = longest_diameter_px(region)
            error = float(outcome.diameter_px[kept[partner[index]]]) / true_px - 1.0
        nodules.append(Nodule(case=outcome.case, hit=index in partner, diameter_rel_error=error))
    row = _Row(
        case=outcome.case,
        dice=dice(together, outcome.truth),
        iou=iou(together, outcome.truth),
        false_positives=len(found) - len(pairs),
    )
    return row, nodules


def _figure(items: Sequence[Any], statistic: Callable[[Sequence[Any]], float]) -> Figure:
    value, low, high = bootstrap_by_case(items, lambda item: item.case, statistic)
    return Figure(value=value, low=low, high=high, count=len(items))


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


def _sd(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
