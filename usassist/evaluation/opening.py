"""An engine opened for measuring: with its calibration of scores and the threshold in use."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2

from usassist.calibrate import DEFAULT_POINT, ScoreCalibration, load_score_calibration
from usassist.engine import EngineSpec, find_engine, open_engine
from usassist.errors import UsageError
from usassist.evaluation.folders import LabelledFrame
from usassist.evaluation.run import FrameOutcome, Infer, run_frames

__all__ = ["LOWEST_SCORE", "EngineChoice", "Measured", "open_measured"]

LOWEST_SCORE = 0.05
"""Raw score below which nothing is looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineChoice:
    """What the command line says about the engine.

    Attributes
    ----------
    name : name, or name@version
    engines : folder of engines; None = those that ship
    backend, threads, precision : as for :func:`usassist.engine.open_engine`
    point : operating point of the calibration of scores; None = the one for every day, where there is a calibration
    threshold : instead of a point, on the scores in use
    raw : leave a calibration of scores aside
    """

    name: str = "thyroid_nodule"
    engines: Path | None = None
    backend: str = "auto"
    threads: int = 0
    precision: str = "auto"
    point: str | None = None
    threshold: float | None = None
    raw: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """An open engine.

    Attributes
    ----------
    spec, backend : what runs
    threshold : on the scores in use
    threshold_from : where it comes from, in words
    calibration : of the scores; None = they are raw
    """

    spec: EngineSpec
    backend: str
    infer: Infer
    threshold: float
    threshold_from: str
    calibration: ScoreCalibration | None

    @property
    def scores(self) -> str:
        """Which scores are in use, in words."""
        return "raw" if self.calibration is None else f"calibrated, {self.calibration.calibration_id}"

    def run(self, frames: Iterable[LabelledFrame]) -> Iterator[FrameOutcome]:
        """Put frames through the live path, see :func:`usassist.evaluation.run.run_frames`."""
        height_px, width_px = self.spec.inputs[0].shape[2:]
        if height_px is None or width_px is None:
            raise UsageError(f"{self.spec.engine_id} has an input without a fixed size; choose another engine")
        lowest = tuple(dataclasses.replace(label, score_threshold=LOWEST_SCORE) for label in self.spec.labels)
        return run_frames(self.infer, (height_px, width_px), lowest, frames, self.calibration)


@contextmanager
def open_measured(choice: EngineChoice) -> Iterator[Measured]:
    """Open the engine that the command line asks for.

    Raises
    ------
    UsageError
        If point and threshold are both given, or a point without a calibration of scores.
    EngineError
        If the engine cannot be found or opened.
    """
    if choice.point is not None and choice.threshold is not None:
        raise UsageError("--point and --threshold cannot go together; leave one out")
    spec = find_engine(choice.name, choice.engines)
    calibration = None if choice.raw else load_score_calibration(spec.engine_id)
    if calibration is not None:
        calibration.check_labels([label.name for label in spec.labels])
    threshold, origin = _threshold(choice, spec, calibration)
    cv2.setNumThreads(1)
    with open_engine(spec, choice.backend, choice.threads, choice.precision) as engine:
        yield Measured(
            spec=spec,
            backend=engine.backend,
            infer=engine.infer,
            threshold=threshold,
            threshold_from=origin,
            calibration=calibration,
        )


def _threshold(choice: EngineChoice, spec: EngineSpec, calibration: ScoreCalibration | None) -> tuple[float, str]:
    if choice.threshold is not None:
        return choice.threshold, "--threshold"
    if calibration is not None:
        point = calibration.point(choice.point or DEFAULT_POINT)
        return float(point.min_score), f"point {point.name}"
    if choice.point is not None:
        raise UsageError(
            f"{spec.engine_id} has no calibration of scores, so there is no point {choice.point}; "
            "use --threshold, or make one with usassist eval calibrate"
        )
    return spec.labels[0].score_threshold, "engine.toml"
