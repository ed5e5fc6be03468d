"""Which engine and options a rerun uses, and how far its results may differ."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from usassist.app.rerun.fields import Rules
from usassist.app.runtime.open_stream import StreamOptions
from usassist.bus import AssociationBody, EngineBody
from usassist.calibrate import DEFAULT_POINT, LabelScale, load_score_calibration
from usassist.engine import PRECISIONS, EngineSpec, find_engine, get_backend, list_backends, list_engines, why_not
from usassist.errors import EngineNotFoundError, SessionError
from usassist.records import Result

__all__ = ["Overrides", "make_rules", "plan_rerun", "split_backend"]

Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """Options of the user; None = as recorded.

    Attributes
    ----------
    engine, backend, precision, point : see ``StreamOptions``
    threads : of the engine; 0 = all
    engines : folder of engines; None = those that ship
    """

    engine: str | None = None
    backend: str | None = None
    precision: str | None = None
    point: str | None = None
    threads: int = 0
    engines: Path | None = None


def plan_rerun(
    folder: Path, engines: Sequence[EngineBody], results: Sequence[Result], overrides: Overrides
) -> tuple[StreamOptions, EngineSpec, list[str]]:
    """Options of the rerun: as recorded, except for what the user overrides.

    Parameters
    ----------
    folder : of the session
    engines : as announced in the session
    results : of the session; the engine that gave most of them is used
    overrides : of the user

    Returns
    -------
    options : of the stream
    spec : of the engine
    notes : what is not as recorded, and why, one line each

    Raises
    ------
    EngineNotFoundError
        If the engine is not installed; the message says which was recorded and which there are.
    SessionError
        If neither session nor user names an engine.
    """
    asked = Counter((result.engine_id, result.backend) for result in results if result.t_infer_start_ns is not None)
    announced = [(body.engine_id, body.backend) for body in engines]
    recorded_id, recorded_backend = next((pair for pair, _ in asked.most_common()), (announced or [("", "")])[-1])
    spec = _find(recorded_id, overrides)
    runtime, recorded_precision = split_backend(recorded_backend)
    notes: list[str] = []
    if recorded_id and spec.engine_id != recorded_id:
        notes.append(f"recorded with {recorded_id}, rerun with {spec.engine_id}")
    backend, precision = overrides.backend or runtime, overrides.precision
    if precision is None:
        usable = recorded_precision in spec.precisions and (
            backend not in list_backends() or recorded_precision in get_backend(backend).precisions
        )
        precision = recorded_precision if usable else "auto"
    if overrides.backend is None:
        reason = None
        if backend not in list_backends():
            reason = "this usassist does not have that back end"
        elif precision != "auto":
            reason = why_not(backend, spec, precision)
        if reason is not None:
            notes.append(f"recorded on {recorded_backend or 'no back end'}, rerun on the first that can: {reason}")
            backend = "auto"
    point = overrides.point or _recorded_point(spec, engines, notes)
    alone, as_recorded = _recorded_association(spec, engines, overrides, point, notes)
    options = StreamOptions(
        source=f"session:{folder}",
        bus="",
        engine=f"{spec.name}@{spec.version}",
        backend=backend,
        precision=precision,
        point=point,
        each_frame_alone=alone,
        as_recorded=as_recorded,
        threads=overrides.threads,
        engines=None if overrides.engines is None else str(overrides.engines.resolve()),
        fast=True,
    )
    return options, spec, notes


def split_backend(label: str) -> tuple[str, str]:
    """Back end and precision from the back end field of a result: ``openvino-int8`` → ``openvino``, ``int8``."""
    for precision in PRECISIONS:
        if label.endswith(f"-{precision}"):
            return label.removesuffix(f"-{precision}"), precision
    return label, "fp32"


def make_rules(spec: EngineSpec, engine: EngineBody | None, backends: Sequence[str]) -> tuple[Rules, Rules]:
    """Rules for results that must be equal, and for those within the engine's parity.

    Parameters
    ----------
    spec : of the engine of the rerun
    engine : as announced in the recording; for its thresholds and score calibration
    backends : as in results; the coarsest of their precisions decides
    """
    precision = max((split_backend(label)[1] for label in backends), key=PRECISIONS.index, default="fp32")
    scores = load_score_calibration(spec.engine_id)
    scales: Mapping[int, LabelScale] = {}
    if scores is not None and engine is not None and engine.score_calibration_id == scores.calibration_id:
        scales = dict(enumerate(scores.labels))
    raw = _to_raw(scales)
    labels = engine.labels if engine is not None else ()
    thresholds = {label.id: float(raw(np.array([label.score_threshold], np.float32), label.id)[0]) for label in labels}
    limits = spec.parity_limits(precision)
    return Rules(limits=None, thresholds=thresholds, raw=raw), Rules(limits=limits, thresholds=thresholds, raw=raw)


def _find(recorded_id: str, overrides: Overrides) -> EngineSpec:
    name = overrides.engine or recorded_id.partition("+")[0]
    if not name:
        raise SessionError("the session does not name its engine; name one with --engine")
    try:
        return find_engine(name, overrides.engines)
    except EngineNotFoundError as error:
        if overrides.engine is not None:
            raise
        there = ", ".join(f"{spec.name}@{spec.version}" for spec in list_engines(overrides.engines)) or "none"
        raise EngineNotFoundError(
            f"the session was recorded with {name}, which is not installed (installed: {there}); install it, or name "
            "another engine with --engine"
        ) from error


def _recorded_point(spec: EngineSpec, engines: Sequence[EngineBody], notes: list[str]) -> str:
    point = next((body.point.name for body in reversed(engines) if body.point is not None), None)
    scores = load_score_calibration(spec.engine_id)
    before = next((body.score_calibration_id for body in reversed(engines) if body.score_calibration_id), None)
    now = None if scores is None else scores.calibration_id
    if before != now:
        notes.append(f"scores were calibrated with {before or 'nothing'}, now with {now or 'nothing'}")
    return point if point is not None and scores is not None and point in scores.points else "auto"


def _recorded_association(
    spec: EngineSpec, engines: Sequence[EngineBody], overrides: Overrides, point: str, notes: list[str]
) -> tuple[bool, bool]:
    """Whether each frame is answered alone, and whether the frames are remembered that were when it was recorded."""
    before = engines[-1].association if engines else None
    if overrides.engine is not None or overrides.point is not None:
        return False, before is not None
    scores = load_score_calibration(spec.engine_id)
    rule = None if scores is None else scores.point(DEFAULT_POINT if point == "auto" else point).association
    now = None if rule is None else AssociationBody(**dataclasses.asdict(rule))
    if before is not None and before != now:
        words = "each frame is answered alone" if now is None else f"now {now.words}"
        notes.append(f"findings were associated {before.words}; {words}")
    return before is None, before is not None


def _to_raw(scales: Mapping[int, LabelScale]) -> Callable[[Float32Array, int], Float32Array]:
    """The inverse of ``ScoreCalibration.calibrated``, label by label; where there is no scale, scores are raw."""

    def raw(score: Float32Array, label_id: int) -> Float32Array:
        scale = scales.get(label_id)
        if scale is None:
            return score
        share: npt.NDArray[Any] = score.astype(np.float64)
        with np.errstate(divide="ignore", over="ignore"):
            logit = (np.log(share) - np.log1p(-share) - scale.intercept) / scale.slope
            return np.asarray(1.0 / (1.0 + np.exp(-logit)), np.float32)

    return raw
