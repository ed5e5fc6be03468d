"""With which engine a session is run again, and what two results of it may differ by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from usassist.app.rerun.fields import Rules
from usassist.app.runtime.open_stream import StreamOptions
from usassist.bus import EngineBody
from usassist.calibrate import LabelScale, load_score_calibration
from usassist.engine import PRECISIONS, EngineSpec, find_engine, get_backend, list_backends, list_engines, why_not
from usassist.errors import EngineNotFoundError, SessionError
from usassist.records import Result

__all__ = ["Wishes", "make_rules", "plan_rerun", "split_backend"]

Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What was asked for on the command line; None = as it was recorded.

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
    folder: Path, engines: Sequence[EngineBody], results: Sequence[Result], wishes: Wishes
) -> tuple[StreamOptions, EngineSpec, list[str]]:
    """How the frames of a session are run again: as they were recorded, except for what was wished.

    Parameters
    ----------
    folder : of the session
    engines : as they were announced in it
    results : in it; the engine that gave most of them counts
    wishes : of the user

    Returns
    -------
    options : of the stream
    spec : of the engine
    notes : what is not as it was recorded, and why, one line each

    Raises
    ------
    EngineNotFoundError
        If the engine is not installed; the message says which was recorded and which there are.
    SessionError
        If the session names no engine, and none was wished.
    """
    asked = Counter((result.engine_id, result.backend) for result in results if result.t_infer_start_ns is not None)
    announced = [(body.engine_id, body.backend) for body in engines]
    recorded_id, recorded_backend = next((pair for pair, _ in asked.most_common()), (announced or [("", "")])[-1])
    spec = _find(recorded_id, wishes)
    runtime, recorded_precision = split_backend(recorded_backend)
    notes: list[str] = []
    if recorded_id and spec.engine_id != recorded_id:
        notes.append(f"recorded with {recorded_id}, run again with {spec.engine_id}")
    backend, precision = wishes.backend or runtime, wishes.precision
    if precision is None:
        usable = recorded_precision in spec.precisions and (
            backend not in list_backends() or recorded_precision in get_backend(backend).precisions
        )
        precision = recorded_precision if usable else "auto"
    if wishes.backend is None:
        reason = None
        if backend not in list_backends():
            reason = "no back end of this usassist answered in it"
        elif precision != "auto":
            reason = why_not(backend, spec, precision)
        if reason is not None:
            notes.append(f"recorded on {recorded_backend or 'no back end'}, run again on the first that can: {reason}")
            backend = "auto"
    options = StreamOptions(
        source=f"session:{folder}",
        bus="",
        engine=f"{spec.name}@{spec.version}",
        backend=backend,
        precision=precision,
        point=wishes.point or _recorded_point(spec, engines, notes),
        threads=wishes.threads,
        engines=None if wishes.engines is None else str(wishes.engines.resolve()),
        fast=True,
    )
    return options, spec, notes


def split_backend(label: str) -> tuple[str, str]:
    """Back end and precision of what a result calls its back end: ``openvino-int8`` → ``openvino``, ``int8``."""
    for precision in PRECISIONS:
        if label.endswith(f"-{precision}"):
            return label.removesuffix(f"-{precision}"), precision
    return label, "fp32"


def make_rules(spec: EngineSpec, engine: EngineBody | None, backends: Sequence[str]) -> tuple[Rules, Rules]:
    """The rules for results that must be the same, and for those within the engine's parity.

    Parameters
    ----------
    spec : of the engine that ran again
    engine : as it was announced in the recording; its thresholds and its score calibration count
    backends : as results name them; the coarsest of their precisions decides
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


def _find(recorded_id: str, wishes: Wishes) -> EngineSpec:
    name = wishes.engine or recorded_id.partition("+")[0]
    if not name:
        raise SessionError("the session does not say which engine it was recorded with; name one with --engine")
    try:
        return find_engine(name, wishes.engines)
    except EngineNotFoundError as error:
        if wishes.engine is not None:
            raise
        there = ", ".join(f"{spec.name}@{spec.version}" for spec in list_engines(wishes.engines)) or "none"
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
