"""Findings decoded from the outputs of two back ends, and the distance between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from usassist.errors import RecordError

__all__ = ["Apart", "Findings", "compare_findings", "no_apart"]

Array = npt.NDArray[Any]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Findings:
    """Findings in one input, in coordinates of that input.

    Attributes
    ----------
    label_id : int (N,)
    score : float (N,), 0 to 1
    boxes : float (N, 2 D), low corner then high corner, for example x1, y1, x2, y2; None = the engine has none
    masks : N bool arrays of one shape; None = the engine has none
    """

    label_id: Array
    score: Array
    boxes: Array | None = None
    masks: tuple[BoolArray, ...] | None = None

    def __post_init__(self) -> None:
        """Check that all have the same length, and that there are boxes or masks to compare by."""
        lengths = {len(part) for part in (self.label_id, self.score, self.boxes, self.masks) if part is not None}
        if len(lengths) != 1:
            raise RecordError(f"findings: label_id, score, boxes and masks differ in length: {sorted(lengths)}")
        if self.boxes is None and self.masks is None:
            raise RecordError("findings need boxes or masks, got neither; fix the decoder")

    def __len__(self) -> int:
        """How many there are."""
        return len(self.score)


@dataclass(frozen=True, slots=True, kw_only=True)
class Apart:
    """Distance of the findings of one or more inputs from those of the reference.

    Attributes
    ----------
    findings : how many the reference has
    min_dice : least Dice of the masks of a matched pair; None = there is no pair, or there are no masks
    min_box_iou : likewise of the boxes
    max_score_diff : largest difference of the scores of a matched pair; None = there is no pair
    missing, extra : unmatched findings of the reference; of the other
    borderline : unmatched and not counted above, because the score is so close to the threshold of the label that the
        allowed difference of scores explains it
    """

    findings: int
    min_dice: float | None
    min_box_iou: float | None
    max_score_diff: float | None
    missing: int
    extra: int
    borderline: int

    def __or__(self, other: Apart) -> Apart:
        """The worse of both, and the sums of the counts."""
        return Apart(
            findings=self.findings + other.findings,
            min_dice=_least(self.min_dice, other.min_dice),
            min_box_iou=_least(self.min_box_iou, other.min_box_iou),
            max_score_diff=max(_there(self.max_score_diff, other.max_score_diff), default=None),
            missing=self.missing + other.missing,
            extra=self.extra + other.extra,
            borderline=self.borderline + other.borderline,
        )


def no_apart() -> Apart:
    """The distance of no findings: the neutral element of ``|``."""
    return Apart(findings=0, min_dice=None, min_box_iou=None, max_score_diff=None, missing=0, extra=0, borderline=0)


def compare_findings(reference: Findings, found: Findings, thresholds: dict[int, float], slack: float) -> Apart:
    """Pair findings of one label one to one, the best overlap first, and compare the pairs.

    Parameters
    ----------
    reference, found : of the same input
    thresholds : label id → score from which a finding counts
    slack : allowed difference of scores; closer to its threshold than this, a finding may be missing or extra
    """
    overlap = np.zeros((len(reference), len(found)))
    covered = [[np.flatnonzero(mask) for mask in item.masks or ()] for item in (reference, found)]
    for i, j in np.argwhere(np.equal.outer(reference.label_id, found.label_id)).tolist():
        if reference.masks is not None:
            assert found.masks is not None
            overlap[i, j] = _dice(covered[0][i], found.masks[j], len(covered[1][j]))
        else:
            overlap[i, j] = _box_iou(reference, found, i, j)
    pairs: list[tuple[int, int]] = []
    for i, j in sorted(zip(*np.nonzero(overlap), strict=True), key=lambda pair: (-overlap[pair], pair)):
        if all(i != first and j != second for first, second in pairs):
            pairs.append((int(i), int(j)))
    alone = [
        [
            float(item.score[index]) - thresholds.get(int(item.label_id[index]), 0.0)
            for index in range(len(item))
            if index not in {pair[side] for pair in pairs}
        ]
        for side, item in enumerate((reference, found))
    ]
    counts = [sum(above > slack for above in side) for side in alone]
    return Apart(
        findings=len(reference),
        min_dice=min((float(overlap[pair]) for pair in pairs), default=None) if reference.masks else None,
        min_box_iou=min((_box_iou(reference, found, *pair) for pair in pairs), default=None)
        if reference.boxes is not None
        else None,
        max_score_diff=max((abs(float(reference.score[i]) - float(found.score[j])) for i, j in pairs), default=None),
        missing=counts[0],
        extra=counts[1],
        borderline=sum(len(side) for side in alone) - sum(counts),
    )


def _dice(first: Array, second: BoolArray, second_px: int) -> float:
    """2 |A and B| / (|A| + |B|) of two masks (Dice, Ecology 1945).

    Parameters
    ----------
    first : int (N,), the pixels of A, as indices into a flat array: findings are small, and there may be many
    second : bool, the mask B
    second_px : its pixels
    """
    total = len(first) + second_px
    return 2.0 * int(np.count_nonzero(second.ravel()[first])) / total if total else 1.0


def _box_iou(reference: Findings, found: Findings, i: int, j: int) -> float:
    """|A and B| / |A or B| of two boxes, in any number of dimensions."""
    assert reference.boxes is not None
    assert found.boxes is not None
    first, second = (np.asarray(box, np.float64).reshape(2, -1) for box in (reference.boxes[i], found.boxes[j]))
    shared = float(np.clip(np.minimum(first[1], second[1]) - np.maximum(first[0], second[0]), 0.0, None).prod())
    union = float((first[1] - first[0]).prod() + (second[1] - second[0]).prod()) - shared
    return shared / union if union > 0.0 else 1.0


def _least(first: float | None, second: float | None) -> float | None:
    return min(_there(first, second), default=None)


def _there(*values: float | None) -> list[float]:
    return [value for value in values if value is not None]
