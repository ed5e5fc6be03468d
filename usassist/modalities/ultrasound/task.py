"""One ultrasound frame through an engine: pixels → tensor → outlines → sizes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from usassist.frames import measure
from usassist.modalities.ultrasound.postprocess import decode
from usassist.modalities.ultrasound.preprocess import preprocess
from usassist.records import Detections, Frame, LabelSpec, Measurements, Segmentation

__all__ = ["UltrasoundTask"]

Array = npt.NDArray[Any]


class _Engine(Protocol):
    def infer(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]: ...


class UltrasoundTask:
    """Detects, outlines and measures in one frame. Keeps its input buffer from frame to frame.

    Parameters
    ----------
    size_hw_px : height and width of the engine's input ``image``
    labels : of the engine
    diameter_rel_sd : relative standard uncertainty of the engine's outlines; without it nothing is given in mm
    """

    def __init__(
        self, size_hw_px: tuple[int, int], labels: tuple[LabelSpec, ...], diameter_rel_sd: float | None
    ) -> None:
        self._size_hw_px = size_hw_px
        self._labels = labels
        self._diameter_rel_sd = diameter_rel_sd
        self._tensor = np.empty((1, 1, *size_hw_px), np.float32)

    def __call__(self, frame: Frame, engine: _Engine) -> tuple[Detections, Segmentation, Measurements]:
        """Answer one frame.

        Raises
        ------
        EngineError
            If the engine fails or its output cannot be read.
        """
        tensor, image_to_input = preprocess(frame.image, self._size_hw_px, self._tensor)
        outputs = engine.infer({"image": tensor})
        detections, segmentation = decode(outputs, image_to_input, frame.image_hw_px, self._labels)
        sizes = measure(segmentation, frame.spacing_rc_mm, frame.spacing_rel_sd, self._diameter_rel_sd)
        return detections, segmentation, sizes
