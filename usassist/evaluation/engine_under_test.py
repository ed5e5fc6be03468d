"""The engine under test, with its score calibration and threshold."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2

from usassist.calibrate import DEFAULT_POINT, AssociationRule, ScoreCalibration, load_score_calibration
from usassist.engine import EngineSpec, find_engine, open_engine
from usassist.errors import UsageError
from usassist.evaluation.association import associate, identify
from usassist.evaluation.folders import LabelledFrame
from usassist.evaluation.run import FrameOutcome, Infer, SettledArea, run_frames
from usassist.modalities.ultrasound import NoduleTracker, SweepTracker, check_outputs

__all__ = ["MIN_SCORE", "EngineOptions", "EngineUnderTest", "open_engine_under_test"]

MIN_SCORE = 0.05
"""Minimum raw score; lower detections are ignored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """The engine options of the command line.

    Attributes
    ----------
    name : name, or name@version
    engines : folder of engines; None = the shipped ones
    backend, threads, precision : as for :func:`usassist.engine.open_engine`
    point : operating point of the score calibration; None = the default point, if there is a calibration
    threshold : instead of a point, on the scores in use
    raw : ignore a score calibration
    associated : findings are associated over the frames of a clip, where the operating point has a rule for that
    """

    name: str = "thyroid_nodule"
    engines: Path | None = None
    backend: str = "auto"
    threads: int = 0
    precision: str = "auto"
    point: str | None = None
    threshold: float | None = None
    raw: bool = False
    associated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineUnderTest:
    """An open engine with the threshold in use.

    Attributes
    ----------
    spec, backend : of the engine
    infer : its inference function
    threshold : on the scores in use
    threshold_from : origin of the threshold, in words
    calibration : of the scores; None = they are raw
    association : over the frames of a clip, instead of the threshold; None = each frame is answered alone
    make_tracker : of what gives the findings of one clip their identities; None = nothing does
    """

    spec: EngineSpec
    backend: str
    infer: Infer
    threshold: float
    threshold_from: str
    calibration: ScoreCalibration | None
    association: AssociationRule | None = None
    make_tracker: Callable[[], NoduleTracker] | None = None

    @property
    def least_score(self) -> float:
        """Nothing with a lower score is shown: the threshold, or where findings are associated, the release."""
        return self.threshold if self.association is None else self.association.release

    @property
    def scores(self) -> str:
        """Which scores are in use, in words."""
        return "raw" if self.calibration is None else f"calibrated, {self.calibration.calibration_id}"

    def run(self, frames: Iterable[LabelledFrame], area: SettledArea | None = None) -> Iterator[FrameOutcome]:
        """Run frames through the live path, see :func:`usassist.evaluation.run.run_frames`."""
        height_px, width_px = self.spec.inputs[0].shape[2:]
        if height_px is None or width_px is None:
            raise UsageError(f"{self.spec.engine_id} has an input without a fixed size; choose another engine")
        lowest = tuple(dataclasses.replace(label, score_threshold=self._lowest(label.id)) for label in self.spec.labels)
        size_hw_px = (height_px, width_px)
        spec = self.spec
        return run_frames(
            self.infer, size_hw_px, lowest, frames, self.calibration, area, spec.domain, spec.diameter_rel_sd
        )

    def run_clip(self, frames: Iterable[LabelledFrame], area: SettledArea, rate_hz: float) -> Iterator[FrameOutcome]:
        """Run the frames of one clip in order, as a stream: associated and with identities, where these are in use."""
        outcomes = self.run(frames, area)
        if self.association is not None:
            outcomes = associate(outcomes, self.association)
            if self.make_tracker is not None:
                outcomes = identify(outcomes, self.make_tracker(), rate_hz)
        return outcomes

    def _lowest(self, label_id: int) -> float:
        """The lowest raw score of interest."""
        if self.calibration is None or self.association is None:
            return MIN_SCORE
        return min(MIN_SCORE, self.calibration.raw_score(self.association.release, label_id))


@contextmanager
def open_engine_under_test(options: EngineOptions) -> Iterator[EngineUnderTest]:
    """Open the engine that the command line selects.

    Raises
    ------
    UsageError
        If point and threshold are both given, or a point without a score calibration.
    EngineError
        If the engine cannot be found or opened, or has other outputs than an ultrasound engine.
    """
    if options.point is not None and options.threshold is not None:
        raise UsageError("--point and --threshold cannot go together; leave one out")
    spec = find_engine(options.name, options.engines)
    check_outputs(spec)
    calibration = None if options.raw else load_score_calibration(spec.engine_id)
    if calibration is not None:
        calibration.check_labels([label.name for label in spec.labels])
    threshold, origin = _threshold(options, spec, calibration)
    cv2.setNumThreads(1)
    with open_engine(spec, options.backend, options.threads, options.precision) as engine:
        yield EngineUnderTest(
            spec=spec,
            backend=engine.backend,
            infer=engine.infer,
            threshold=threshold,
            threshold_from=origin,
            calibration=calibration,
            association=_association(options, calibration),
            make_tracker=SweepTracker,
        )


def _association(options: EngineOptions, calibration: ScoreCalibration | None) -> AssociationRule | None:
    if not options.associated or calibration is None or options.threshold is not None:
        return None
    return calibration.point(options.point or DEFAULT_POINT).association


def _threshold(options: EngineOptions, spec: EngineSpec, calibration: ScoreCalibration | None) -> tuple[float, str]:
    if options.threshold is not None:
        return options.threshold, "--threshold"
    if calibration is not None:
        point = calibration.point(options.point or DEFAULT_POINT)
        return float(point.min_score), f"point {point.name}"
    if options.point is not None:
        raise UsageError(
            f"{spec.engine_id} has no score calibration, so there is no point {options.point}; "
            "use --threshold, or make one with usassist eval calibrate"
        )
    return spec.labels[0].score_threshold, "engine.toml"
