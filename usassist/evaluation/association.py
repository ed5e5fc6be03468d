"""Association over the frames of a clip, for an evaluation: the frames in order through the class of the live path."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

import numpy as np

from usassist.calibrate import AssociationRule
from usassist.evaluation.run import FrameOutcome
from usassist.frames import compute_thumbnail, goes_on
from usassist.modalities.ultrasound import SweepAssociation
from usassist.records import Detections

__all__ = ["associate"]


def associate(outcomes: Iterable[FrameOutcome], rule: AssociationRule) -> Iterator[FrameOutcome]:
    """Keep of the frames of one clip what a stream shows with the association of an operating point.

    What is left has a score of ``rule.release`` or more, so any threshold up to that keeps all of it. As in a stream,
    all is forgotten where the engine abstains, and where the image is another one.

    Parameters
    ----------
    outcomes : all frames of one clip in order, of one size, with calibrated scores and all detections down to
        ``rule.release``
    rule : of the operating point
    """
    association = SweepAssociation(rule)
    before = None
    for outcome in outcomes:
        if outcome.abstained:
            association.reset()
            yield outcome
        else:
            thumbnail = compute_thumbnail(outcome.scan)
            if before is not None and not goes_on(before, thumbnail):
                association.reset()
            before = thumbnail
            yield _keep(outcome, association.update(_candidates(outcome)).tolist())


def _candidates(outcome: FrameOutcome) -> Detections:
    """The detections, with boxes in pixels of the whole frame."""
    count = len(outcome.score)
    return Detections(
        xyxy_px=outcome.box_xyxy_px.astype(np.float32),
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
        outcome,
        labelmap=numbers[outcome.labelmap],
        score=outcome.score[rows],
        box_xyxy_px=outcome.box_xyxy_px[rows],
        diameter_px=outcome.diameter_px[rows],
    )
