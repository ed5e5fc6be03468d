"""Answers of a stream whose findings are associated over its frames.

Frames may be processed in parallel, each to its candidates; what is shown of them is chosen here, one frame after the
other. Sizes, descriptors and track ids are computed for that alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import cast

import numpy as np
import numpy.typing as npt

from usassist.calibrate import ScoreCalibration
from usassist.engine import EngineSpec
from usassist.frames import ScanBorder
from usassist.modalities.ultrasound.association import SweepAssociation
from usassist.modalities.ultrasound.descriptors import DescriptorModel
from usassist.modalities.ultrasound.task import UltrasoundTask, make_task
from usassist.modalities.ultrasound.tracking import RULE, NoduleTracker, SweepTracker
from usassist.records import Answer, Detections, Frame, Segmentation

__all__ = ["AssociatedAnswers", "choose_rows", "make_association"]


class AssociatedAnswers:
    """Turns candidates into answers, in the order of the frames. One for every stream.

    Parameters
    ----------
    association : chooses what is shown
    spec, scores, point, descriptors : of the engine, as for :func:`usassist.modalities.ultrasound.task.make_task`
    tracker : numbers what is shown; it is told of cuts, and decides by time for how long it keeps an identity

    Attributes
    ----------
    tracking : name of the tracker's rule
    """

    tracking = RULE

    def __init__(
        self,
        association: SweepAssociation,
        spec: EngineSpec,
        scores: ScoreCalibration,
        point: str,
        descriptors: DescriptorModel | None,
        tracker: NoduleTracker | None = None,
    ) -> None:
        self._association = association
        self._tracker = SweepTracker() if tracker is None else tracker
        self._tracked_place: tuple[object, ...] | None = None
        self._of_engine = spec, scores, point, descriptors
        self._task = self.make_task()  # only for sizes and descriptors, which keep nothing
        self._place: tuple[object, ...] | None = None

    def make_task(self) -> UltrasoundTask:
        """A task whose answers are candidates."""
        return make_task(*self._of_engine, candidates=True)

    def reset(self) -> None:
        """Forget all frames, but not which nodule is which: that is a matter of time and place."""
        self._association.reset()
        self._place = None

    def follows(self, frame: Frame) -> bool:
        """False where the frames before show another place: of another source, scan area or size."""
        return self._place == _place(frame)

    def complete(
        self, frame: Frame, candidates: Answer, *, t_s: float, same_image: bool = True, remember: bool = True
    ) -> Answer:
        """Choose what is shown of the next frame, measure, describe and number it; see :class:`SweepAssociation`.

        Parameters
        ----------
        frame : in the order of the stream
        candidates : what :meth:`make_task`'s task gave for it, where it did not abstain
        t_s, same_image : as in :class:`usassist.modalities.Association`
        remember : False leaves the memory as it was, and nothing gets a track id
        """
        if remember:
            self._place = _place(frame)
        shown = self._association.update(candidates.detections, remember=remember)
        detections, segmentation = choose_rows(candidates.detections, candidates.segmentation, shown)
        border = cast(Callable[[], ScanBorder] | None, candidates.on_the_way)
        answer = self._task.complete(frame, detections, segmentation, candidates.domain_prob, border)
        if not remember:
            return answer
        if not same_image or self._place != self._tracked_place:
            self._tracker.reset()
            self._tracked_place = self._place
        track_id = self._tracker.update(detections, frame.image, t_s)
        if not len(track_id):
            return answer
        return dataclasses.replace(answer, detections=dataclasses.replace(detections, track_id=track_id))


def choose_rows(
    detections: Detections, segmentation: Segmentation, rows: npt.NDArray[np.intp]
) -> tuple[Detections, Segmentation]:
    """These rows of both, in this order."""
    if len(rows) == len(detections):
        return detections, segmentation
    if not len(rows):
        return Detections.empty(), Segmentation.empty()
    names = [field.name for field in dataclasses.fields(Detections)]
    chosen = Detections(**{name: getattr(detections, name)[rows] for name in names})
    outlines = list(segmentation)
    return chosen, Segmentation.of([outlines[row] for row in rows])


def make_association(
    spec: EngineSpec, scores: ScoreCalibration | None, point: str, descriptors: DescriptorModel | None
) -> AssociatedAnswers | None:
    """For the table of modalities; None where the operating point has no association, so each frame is answered alone.

    Raises
    ------
    EngineSpecError, CalibrationError, UsageError
        As :func:`usassist.modalities.ultrasound.task.make_task`.
    """
    rule = None if scores is None else scores.point(point).association
    if scores is None or rule is None:
        return None
    return AssociatedAnswers(SweepAssociation(rule), spec, scores, point, descriptors)


def _place(frame: Frame) -> tuple[object, ...]:
    return frame.source_id, frame.roi_xyxy_px, frame.image_hw_px
