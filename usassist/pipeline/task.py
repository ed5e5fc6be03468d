"""What is done with one frame, and what the bus is told of the engine that does it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy.typing as npt

from usassist.bus import EngineBody, LabelBody, PointBody
from usassist.calibrate import ScoreCalibration
from usassist.engine import EngineSpec
from usassist.errors import EngineSpecError
from usassist.modalities.ultrasound import DescriptorModel, UltrasoundTask
from usassist.records import Answer, Frame

__all__ = ["TASKS", "Inferring", "Task", "describe_engine", "make_task"]

Tensors = Mapping[str, npt.NDArray[Any]]


class Inferring(Protocol):
    """What a task asks."""

    def infer(self, inputs: Tensors) -> Tensors:
        """Run the engine once."""
        ...


class Task(Protocol):
    """What a modality does with one frame; see ``modalities/``. It may keep buffers, so each thread has its own."""

    def __call__(self, frame: Frame, engine: Inferring) -> Answer:
        """Preprocess, infer, postprocess, measure, describe."""
        ...


def _ultrasound(
    spec: EngineSpec, scores: ScoreCalibration | None, point: str, descriptors: DescriptorModel | None
) -> Task:
    image = spec.inputs[0]
    height, width = image.shape[-2:]
    if image.layout != "NCHW" or height is None or width is None or spec.color != "GRAY":
        raise EngineSpecError(
            f"engine {spec.engine_id}: ultrasound wants one grey NCHW input of fixed size, not {image}"
        )
    if (spec.input_range, spec.mean, spec.std) != ((0.0, 1.0), (0.0,), (1.0,)):
        raise EngineSpecError(
            f"engine {spec.engine_id}: ultrasound input is scaled to 0 to 1; put the rest in the graph"
        )
    return UltrasoundTask((height, width), spec.labels, spec.diameter_rel_sd, scores, point, descriptors)


# DICOM code of a modality → what it does with one frame
TASKS: Mapping[str, Callable[[EngineSpec, ScoreCalibration | None, str, DescriptorModel | None], Task]] = {
    "US": _ultrasound
}


def make_task(
    spec: EngineSpec, scores: ScoreCalibration | None, point: str, descriptors: DescriptorModel | None
) -> Task:
    """The task of an engine's modality.

    Raises
    ------
    EngineSpecError
        If that modality does not stream, or the engine does not fit it.
    """
    if spec.modality not in TASKS:
        raise EngineSpecError(f"engine {spec.engine_id} is for {spec.modality}, which does not stream")
    return TASKS[spec.modality](spec, scores, point, descriptors)


def describe_engine(
    spec: EngineSpec, scores: ScoreCalibration | None, point: str, descriptors: DescriptorModel | None
) -> EngineBody:
    """What the bus is told of the engine; thresholds are those of the scores that are published."""
    cut = None if scores is None else scores.point(point)
    labels = spec.labels
    if cut is not None:
        labels = tuple(dataclasses.replace(label, score_threshold=cut.score) for label in labels)
    return EngineBody(
        engine_id=spec.engine_id,
        backend="none",
        labels=tuple(
            LabelBody(**{name: getattr(label, name) for name in LabelBody.__struct_fields__}) for label in labels
        ),
        intended_use=spec.intended_use,
        score_calibration_id=None if scores is None else scores.calibration_id,
        point=None if cut is None else PointBody(**{name: getattr(cut, name) for name in PointBody.__struct_fields__}),
        descriptor_agreement={} if descriptors is None else descriptors.agreement,
    )
