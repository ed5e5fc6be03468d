"""Compares two results of the same frame, field by field; with the table of what is not compared.

Two results of the same engine on the same back end and the same machine must be equal to the last bit. Otherwise the
tolerances of the engine's parity apply (``usassist engine verify``): they bound scores, boxes, outlines, and findings
without a partner. What is derived from an outline (sizes, descriptors) has no bound of its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from usassist.engine.findings import Findings, compare_findings
from usassist.engine.spec import ParityLimits
from usassist.frames import fill_labelmap
from usassist.records import Detections, Measurements, Result, Segmentation

__all__ = ["COMPARED", "IGNORED", "FieldDifference", "FieldVerdict", "Rules", "compare_fields"]

# field of a result, or of its message → why it is not compared
IGNORED: Mapping[str, str] = {
    "seq": "counts the messages of one publisher",
    "t_publish_ns": "a time of its own run",
    "t_capture_ns": "a time of its own run",
    "t_infer_start_ns": "a time of its own run",
    "t_infer_end_ns": "a time of its own run",
    "t_input_ns": "a time of its own run",
    "t_output_ns": "a time of its own run",
    "session_id": "every run has its own",
    "frames_dropped": "a rerun waits for the engine and drops no frame",
    "reason": "free text; the cause is compared",
    "engine_id": "decides how the other fields are compared",
    "backend": "decides how the other fields are compared",
    "follows_frame_id": "decides whether the other fields count",
}

# row of the table → the fields of a result that it compares
COMPARED: Mapping[str, tuple[str, ...]] = {
    "frame": ("source_id", "frame_id", "image_hw_px", "calibration_id"),
    "state": ("state", "cause"),
    "findings": ("detections",),  # whether each has a partner
    "score": ("detections",),
    "box": ("detections",),
    "outline": ("segmentation",),
    "sizes": ("measurements",),
    "descriptors": ("descriptors",),
}


class FieldVerdict(StrEnum):
    """Outcome of one field of one frame."""

    IDENTICAL = "identical"
    WITHIN = "within tolerance"
    DIFFERS = "differs"
    NOT_BOUNDED = "not bounded"  # different, and no tolerance applies


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldDifference:
    """Difference of one field of one frame.

    Attributes
    ----------
    verdict : outcome
    amount : of the difference: findings without a partner, difference of scores, 1 - IoU, 1 - Dice, relative
        difference of a size, difference of a probability; 0 where both are the same, None where it is no number
    """

    verdict: FieldVerdict
    amount: float | None = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How two results are compared.

    Attributes
    ----------
    limits : tolerances; None = every field must be equal to the last bit
    thresholds : label id → score from which a finding counts, on the scale of `raw`
    raw : converts published scores of one label to raw scores, for which `limits` were measured
    """

    limits: ParityLimits | None
    thresholds: Mapping[int, float]
    raw: Callable[[npt.NDArray[np.float32], int], npt.NDArray[np.float32]]


_SAME = FieldDifference(verdict=FieldVerdict.IDENTICAL)


def compare_fields(recorded: Result, again: Result, rules: Rules) -> dict[str, FieldDifference]:
    """Compare two results of the same frame.

    Parameters
    ----------
    recorded, again : of the recording, and of the rerun
    rules : how far they may differ

    Returns
    -------
    fields : row of :data:`COMPARED` → outcome; for two results without findings only the first three
    """
    fields = {"frame": _same_or_not(all(getattr(recorded, n) == getattr(again, n) for n in COMPARED["frame"]))}
    if recorded.image_hw_px != again.image_hw_px:  # nothing else is comparable then
        return fields
    same_state = (recorded.state, recorded.cause) == (again.state, again.cause)
    if not (len(recorded.detections) or len(again.detections)):
        return fields | {"state": _same_or_not(same_state), "findings": _SAME}
    if same_state and fields["frame"] is _SAME and _same_answer(recorded, again):
        return dict.fromkeys(COMPARED, _SAME)
    limits = rules.limits
    slack = 0.0 if limits is None else limits.max_score_diff
    apart = compare_findings(_findings(recorded, rules), _findings(again, rules), dict(rules.thresholds), slack)
    alone = apart.missing + apart.extra + apart.borderline
    explained = limits is not None and apart.missing == apart.extra == 0
    both_answer = recorded.state.is_answer and again.state.is_answer
    fields["state"] = _bounded(same_state, None, within=explained and both_answer)
    same_set = alone == 0 and _same_set(recorded.detections, again.detections)
    fields["findings"] = _bounded(same_set, float(alone), within=explained)
    if apart.max_score_diff is None or apart.min_box_iou is None or apart.min_dice is None:  # no finding has a partner
        return fields
    fields["score"] = _bounded(
        _equal(recorded.detections.score, again.detections.score),
        apart.max_score_diff,
        within=limits is not None and apart.max_score_diff <= limits.max_score_diff,
    )
    fields["box"] = _bounded(
        _equal(recorded.detections.xyxy_px, again.detections.xyxy_px),
        1.0 - apart.min_box_iou,
        within=limits is not None and apart.min_box_iou >= limits.min_box_iou,
    )
    fields["outline"] = _bounded(
        _equal(recorded.segmentation.contour_xy_px, again.segmentation.contour_xy_px)
        and _equal(recorded.segmentation.contour_start, again.segmentation.contour_start),
        1.0 - apart.min_dice,
        within=limits is not None and apart.min_dice >= limits.min_dice,
    )
    pairs = _pairs(recorded.detections, again.detections)
    fields["sizes"] = _derived(*_sizes(recorded.measurements, again.measurements, pairs), limits)
    fields["descriptors"] = _derived(*_descriptors(recorded, again, pairs), limits)
    return fields


def _same_or_not(same: bool) -> FieldDifference:
    return _SAME if same else FieldDifference(verdict=FieldVerdict.DIFFERS, amount=None)


def _bounded(same: bool, amount: float | None, *, within: bool) -> FieldDifference:
    if same:
        return _SAME
    return FieldDifference(verdict=FieldVerdict.WITHIN if within else FieldVerdict.DIFFERS, amount=amount)


def _derived(same: bool, amount: float | None, limits: ParityLimits | None) -> FieldDifference:
    """For what is derived from an outline: reported without a bound, unless both must be equal."""
    if same:
        return _SAME
    return FieldDifference(verdict=FieldVerdict.DIFFERS if limits is None else FieldVerdict.NOT_BOUNDED, amount=amount)


def _findings(result: Result, rules: Rules) -> Findings:
    """With raw scores, and each outline filled separately, because outlines may overlap."""
    found = result.detections
    score = found.score.copy()
    for label_id in np.unique(found.label_id):
        rows = found.label_id == label_id
        score[rows] = rules.raw(found.score[rows], int(label_id))
    masks = tuple(fill_labelmap(Segmentation.of([outline]), result.image_hw_px) > 0 for outline in result.segmentation)
    return Findings(label_id=found.label_id, score=score, boxes=found.xyxy_px, masks=masks)


def _same_answer(recorded: Result, again: Result) -> bool:
    """Whether the findings are equal to the last bit; no region has to be filled to compare them then."""
    sizes, sizes_again = recorded.measurements, again.measurements
    return (
        recorded.descriptors == again.descriptors
        and sizes.calibrated == sizes_again.calibrated
        and all(_equal(getattr(sizes, name), getattr(sizes_again, name)) for name in _recorded(sizes))
        and all(
            _equal(getattr(getattr(recorded, part), field.name), getattr(getattr(again, part), field.name))
            for part in ("detections", "segmentation")
            for field in dataclasses.fields(getattr(recorded, part))
        )
    )


def _same_set(first: Detections, second: Detections) -> bool:
    return _equal(first.label_id, second.label_id) and _equal(first.track_id, second.track_id)


def _equal(first: npt.NDArray[Any] | None, second: npt.NDArray[Any] | None) -> bool:
    """Equal to the last bit, and there or not there at all."""
    if first is None or second is None:
        return first is second
    return first.shape == second.shape and first.tobytes() == second.tobytes()


def _pairs(first: Detections, second: Detections) -> list[tuple[int, int]]:
    """Rows that are partners: of one label, the best overlap of boxes first."""
    left, right = first.xyxy_px[:, None].astype(np.float64), second.xyxy_px[None].astype(np.float64)
    sides = np.clip(np.minimum(left, right)[..., 2:] - np.maximum(left, right)[..., :2], 0.0, None)
    shared = sides.prod(axis=-1)
    areas = [np.diff(box.reshape(*box.shape[:-1], 2, 2), axis=-2)[..., 0, :].prod(axis=-1) for box in (left, right)]
    overlap = np.where(first.label_id[:, None] == second.label_id[None], shared / (areas[0] + areas[1] - shared), 0.0)
    pairs: list[tuple[int, int]] = []
    for i, j in sorted(zip(*np.nonzero(overlap), strict=True), key=lambda pair: (-overlap[pair], pair)):
        if all(i != a and j != b for a, b in pairs):
            pairs.append((int(i), int(j)))
    return pairs


def _sizes(first: Measurements, second: Measurements, pairs: list[tuple[int, int]]) -> tuple[bool, float | None]:
    """Whether all columns are the same, and the largest relative difference; None where one has no millimetres."""
    if first.calibrated != second.calibrated:
        return False, None
    same, worst = True, 0.0
    for name in _recorded(first):
        before, after = getattr(first, name), getattr(second, name)
        same = same and _equal(before, after)
        if after is None:
            return False, None
        for i, j in () if name == "cut" or name in first.ENDS_COLUMNS else pairs:
            worst = max(worst, abs(float(after[j]) - float(before[i])) / max(float(before[i]), 1e-9))
    return same, worst


def _recorded(sizes: Measurements) -> list[str]:
    """The columns that a recording has; those that came later than it are not compared."""
    return [name for name in sizes.COLUMNS if getattr(sizes, name) is not None]


def _descriptors(recorded: Result, again: Result, pairs: list[tuple[int, int]]) -> tuple[bool, float | None]:
    """Whether they are the same, and the largest difference of a probability; None where a value is another."""
    if recorded.descriptors == again.descriptors:
        return True, 0.0
    if not (recorded.descriptors and again.descriptors):
        return False, None
    worst = 0.0
    for i, j in pairs:
        before = {item.name: item for item in recorded.descriptors[i]}
        after = {item.name: item for item in again.descriptors[j]}
        if {name: item.value for name, item in before.items()} != {name: item.value for name, item in after.items()}:
            return False, None
        worst = max([worst, *(abs(after[name].probability - item.probability) for name, item in before.items())])
    return False, worst
