"""Association over the frames of a clip, for an evaluation: the frames in order through the class of the live path."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

import numpy as np

from usassist.calibrate import AssociationRule
from usassist.evaluation.run import FrameOutcome
from usassist.modalities.ultrasound import SweepAssociation
from usassist.records import Detections

__all__ = ["associate"]


def associate(outcomes: Iterable[FrameOutcome], rule: AssociationRule) -> Iterator[FrameOutcome]:
    """Keep of the frames of one clip what a stream shows with the association of an operating point.

    What is left has a score of ``rule.release`` or more, so any threshold up to that keeps all of it.

    Parameters
    ----------
    outcomes : all frames of one clip in order, of one size, with calibrated scores and all detections down to
        ``rule.release``
    rule : of the operating point
    """
    association = SweepAssociation(rule)
    for outcome in outcomes:
        yield _keep(outcome, association.update(_candidates(outcome)).tolist())


def _candidates(outcome: FrameOutcome) -> Detections:
    """The detections with the boxes of their regions, in pixels of the whole frame."""
    count = len(outcome.score)
    boxes = np.empty((count, 4), np.float32)
    for row in range(count):
        y, x = np.nonzero(outcome.labelmap == row + 1)
        boxes[row] = x.min(), y.min(), x.max() + 1, y.max() + 1
    return Detections(
        xyxy_px=boxes,
        score=outcome.score.astype(np.float32),
        label_id=np.zeros(count, np.int32),
        track_id=np.full(count, -1, np.int32),
    )


def _keep(outcome: FrameOutcome, rows: list[int]) -> FrameOutcome:
    """The same with these detections only, renumbered."""
    numbers = np.zeros(len(outcome.score) + 1, np.uint8)
    for number, row in enumerate(rows, 1):
        numbers[row + 1] = number
    return dataclasses.replace(
        outcome, labelmap=numbers[outcome.labelmap], score=outcome.score[rows], diameter_px=outcome.diameter_px[rows]
    )
