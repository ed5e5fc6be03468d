"""Association over the frames of a clip, for an evaluation: the frames in order through the class of the live path."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import numpy.typing as npt

from usassist.calibrate import AssociationRule
from usassist.evaluation.run import FrameOutcome
from usassist.frames import compute_thumbnail, goes_on, may_go_on
from usassist.modalities.ultrasound import NoduleTracker, SweepAssociation
from usassist.records import Detections

Thumbnail = npt.NDArray[np.float32]

__all__ = ["associate", "identify"]


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


def identify(
    outcomes: Iterable[FrameOutcome],
    tracker: NoduleTracker,
    rate_hz: float,
    is_same_image: Callable[[Thumbnail, Thumbnail], bool] = may_go_on,
) -> Iterator[FrameOutcome]:
    """Give what is shown of one clip its identities, as a stream does.

    A frame on which the engine abstains is none that the tracker sees.

    Parameters
    ----------
    outcomes : all frames of one clip in order, of which all that is left is shown
    tracker : of this clip alone; it is reset where the image is another one
    rate_hz : frames a second
    is_same_image : of the thumbnails of a frame and the last before it; False where it is another image
    """
    before = None
    for number, outcome in enumerate(outcomes):
        if outcome.abstained:
            yield dataclasses.replace(outcome, track_id=np.empty(0, np.int32))
            continue
        thumbnail = compute_thumbnail(outcome.scan)
        if before is not None and not is_same_image(before, thumbnail):
            tracker.reset()
        before = thumbnail
        shown = _candidates(outcome, outcome.scan_xyxy_px[:2])
        yield dataclasses.replace(outcome, track_id=tracker.update(shown, outcome.scan, number / rate_hz))


def _candidates(outcome: FrameOutcome, origin_xy_px: tuple[int, int] = (0, 0)) -> Detections:
    """The detections, with boxes in pixels of the whole frame, or from this corner of it."""
    count = len(outcome.score)
    x, y = origin_xy_px
    return Detections(
        xyxy_px=(outcome.box_xyxy_px - (x, y, x, y)).astype(np.float32),
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
        size=None if outcome.size is None else outcome.size.take(rows),
    )
