"""One ultrasound frame through an engine: pixels → tensor → outlines → sizes and descriptors."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from usassist.calibrate import DEFAULT_POINT, OperatingPoint, ScoreCalibration
from usassist.frames import measure, to_grey
from usassist.modalities.ultrasound.descriptors import DescriptorModel
from usassist.modalities.ultrasound.postprocess import decode
from usassist.modalities.ultrasound.preprocess import preprocess
from usassist.records import Answer, Descriptors, Detections, Frame, LabelSpec, Segmentation

__all__ = ["UltrasoundTask"]

Array = npt.NDArray[Any]


class _Engine(Protocol):
    def infer(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]: ...


class UltrasoundTask:
    """Detects, outlines, measures and describes in one frame. Keeps its input buffer from frame to frame.

    Parameters
    ----------
    size_hw_px : height and width of the engine's input ``image``
    labels : of the engine
    diameter_rel_sd : relative standard uncertainty of the engine's outlines; without it nothing is given in mm
    scores : score calibration of the engine; without it scores stay raw and each label is cut at its own threshold
    point : operating point of `scores` at which it is cut
    descriptors : of the engine; without it nodules are not described, and no time is spent on it

    Raises
    ------
    CalibrationError
        If `scores` has other labels than the engine.
    UsageError
        If `scores` has no such point.
    """

    def __init__(
        self,
        size_hw_px: tuple[int, int],
        labels: tuple[LabelSpec, ...],
        diameter_rel_sd: float | None,
        scores: ScoreCalibration | None = None,
        point: str = DEFAULT_POINT,
        descriptors: DescriptorModel | None = None,
    ) -> None:
        self._size_hw_px = size_hw_px
        self._labels = labels
        self._diameter_rel_sd = diameter_rel_sd
        self._scores = scores
        self._descriptors = descriptors
        self._point: OperatingPoint | None = None
        if scores is not None:
            scores.check_labels([label.name for label in labels])
            self._point = scores.point(point)
            self._labels = tuple(
                dataclasses.replace(label, score_threshold=scores.raw_threshold(point, label.id)) for label in labels
            )
        self._tensor = np.empty((1, 1, *size_hw_px), np.float32)

    def __call__(self, frame: Frame, engine: _Engine) -> Answer:
        """Answer one frame, best raw score first.

        Raises
        ------
        EngineError
            If the engine fails or its output cannot be read.
        """
        tensor, image_to_input = preprocess(frame.image, self._size_hw_px, self._tensor)
        outputs = engine.infer({"image": tensor})
        detections, segmentation = decode(outputs, image_to_input, frame.image_hw_px, self._labels)
        detections = self._calibrated(detections)
        sizes = measure(segmentation, frame.spacing_rc_mm, frame.spacing_rel_sd, self._diameter_rel_sd)
        return Answer(
            detections=detections,
            segmentation=segmentation,
            measurements=sizes,
            descriptors=self._described(frame, segmentation),
        )

    def _described(self, frame: Frame, segmentation: Segmentation) -> Descriptors:
        model = self._descriptors
        if model is None or not model.tables or not len(segmentation):
            return ()
        grey = to_grey(frame.image)
        return tuple(model.estimate(grey, outline) for outline in segmentation)

    def _calibrated(self, detections: Detections) -> Detections:
        """The same with calibrated scores, none of them below the operating point."""
        if self._scores is None or self._point is None or not len(detections):
            return detections
        score = detections.score.copy()
        for label_id in set(detections.label_id.tolist()):
            rows = detections.label_id == label_id
            score[rows] = self._scores.calibrated(detections.score[rows], label_id)
        return dataclasses.replace(detections, score=np.maximum(score, self._point.min_score))
