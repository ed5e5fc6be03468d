"""How fast every back end runs an engine here, in every precision: for ``usassist engine bench`` and for ``auto``.

Other load on the machine must hit all variants alike. So all are opened first and then take turns, a few inferences
each, in an order that rotates by one every round. A slow one ends its turn after a second. Only the ratio to the FP32
reference of the same rounds can be compared; milliseconds are valid for this machine and this run.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from usassist.engine.backend import PRECISIONS
from usassist.engine.base import Engine
from usassist.engine.opening import load_engine
from usassist.engine.probe import golden_input
from usassist.engine.registry import list_backends, why_not
from usassist.engine.spec import EngineSpec
from usassist.errors import BackendUnavailableError, EngineError, UsageError

__all__ = ["Judge", "Left", "TimingReport", "Variant", "meets_golden", "time_variants"]

REFERENCE = ("onnxruntime", "fp32")

Judge = Callable[[Engine], str | None]
"""Called once for every variant, after the timing: why it must not be used; None = it may."""

_TURN = 10  # timed inferences of one variant in one round; one more before them warms its caches
_TURN_S = 1.0  # a slow variant ends its turn then, unless `count` is given
_WARM_UP = 20  # first inferences that are examined, and no more of them than fit in _WARM_UP_S
_WARM_UP_S = 5.0
_MIN_WARM_UP = 3
_SETTLED = 1.25  # times the median of the later half of them
_COMPUTES_NOTHING = "computes nothing, so there is nothing to time"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One back end in one precision.

    Attributes
    ----------
    backend, precision : what was timed
    device : what it ran on
    rejected : why it must not be used, from the judge; None = it may
    cold_open_ms : hash, load and compile, once, without the import of the runtime
    first_ms : the first inference
    warm_up_count, warm_up_ms : inferences until the times settle, and their total time. Settled is the first that
        takes at most 1.25 times the median of the later half of the first 20
    p50_ms, p95_ms, p99_ms : of the timed inferences
    per_s : inferences per second, one after the other
    growth_mb : resident memory (10⁶ bytes) of this process added by opening and the first inference, without
        memory of a GPU; None = cannot be read here
    ratio : p50 of a round against that of the reference in the same round, median over the rounds; less is faster
    ratio_spread : distance of its quartiles over the rounds, as a fraction of the median
    count : timed inferences
    """

    backend: str
    precision: str
    device: str
    rejected: str | None
    cold_open_ms: float
    first_ms: float
    warm_up_count: int
    warm_up_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    per_s: float
    growth_mb: float | None
    ratio: float
    ratio_spread: float
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """A variant that cannot run here, or failed, and why."""

    backend: str
    precision: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TimingReport:
    """What was measured.

    Attributes
    ----------
    engine_id : which engine
    threads : CPU threads; 0 = as many as the process may use
    rounds : turns of each variant
    reference : back end and precision that ratios are against
    variants : by ratio, fastest first
    left_out : those that did not run
    judged_by : what a variant had to pass to be called the fastest, for people
    fastest : back end and precision of the fastest that passed; None = none did
    """

    engine_id: str
    threads: int
    rounds: int
    reference: tuple[str, str]
    variants: tuple[Variant, ...]
    left_out: tuple[Left, ...]
    judged_by: str
    fastest: tuple[str, str] | None


@dataclass(slots=True, kw_only=True)
class _Run:
    engine: Engine
    cold_open_ms: float
    first_ms: list[float]
    growth_mb: float | None
    rejected: str | None = None
    turns: list[npt.NDArray[np.float64]] = field(default_factory=list)


def meets_golden(engine: Engine) -> str | None:
    """The default judge: why an engine misses its golden output; None = it meets it."""
    try:
        engine.verify()
    except EngineError as error:
        return str(error)
    return None


def time_variants(
    spec: EngineSpec,
    backends: Iterable[str] | None = None,
    precisions: Iterable[str] = PRECISIONS,
    *,
    pairs: Iterable[tuple[str, str]] | None = None,
    threads: int = 0,
    seconds: float = 10.0,
    count: int | None = None,
    judge: Judge = meets_golden,
    judged_by: str = "answered its golden input",
    clock: Callable[[], float] = time.perf_counter,
) -> TimingReport:
    """Open every variant that can run here, let them take turns on the golden input, and compare.

    Parameters
    ----------
    spec : from ``find_engine``
    backends, precisions : what to try, each with each; no back ends = all
    pairs : back ends and precisions to try instead
    threads : CPU threads; 0 = as many as the process may use
    seconds : duration after all are open; at least one round is done
    count : inferences of each variant instead
    judge : decides which variants may be called the fastest
    judged_by : what `judge` checks, for people
    clock : seconds, monotonic

    Raises
    ------
    EngineNotFoundError
        If there is no back end of that name.
    UsageError
        If there is no precision of that name.
    BackendUnavailableError
        If none of the variants can run here; the message says why each cannot.
    """
    left: list[Left] = []
    runs: list[_Run] = []
    inputs = golden_input(spec)
    try:
        for backend, precision in pairs or _variants(spec, tuple(backends or list_backends()), tuple(precisions)):
            reason = why_not(backend, spec, precision) or (_COMPUTES_NOTHING if backend == "null" else None)
            if reason is None:
                try:
                    runs.append(_open(spec, backend, precision, threads, inputs, clock))
                    continue
                except EngineError as error:
                    reason = str(error)
            left.append(Left(backend=backend, precision=precision, reason=reason))
        if not runs:
            reasons = " | ".join(f"{item.backend} {item.precision}: {item.reason}" for item in left)
            raise BackendUnavailableError(f"nothing can run {spec.engine_id} here: {reasons}")
        end_s, rounds = clock() + seconds, 0
        while rounds == 0 or (clock() < end_s if count is None else rounds * _TURN < count):
            wanted = _TURN if count is None else min(_TURN, count - rounds * _TURN)
            for index in range(len(runs)):
                run = runs[(index + rounds) % len(runs)]
                run.turns.append(_turn(run.engine, inputs, wanted, _TURN_S if count is None else math.inf, clock))
            rounds += 1
        for run in runs:
            run.rejected = judge(run.engine)
    finally:
        for run in runs:
            run.engine.close()
    return _report(spec, threads, rounds, runs, left, judged_by)


def _variants(spec: EngineSpec, backends: tuple[str, ...], precisions: tuple[str, ...]) -> list[tuple[str, str]]:
    unknown = [name for name in precisions if name not in PRECISIONS]
    if unknown:
        raise UsageError(f"no precision {unknown[0]}; known: all, {', '.join(sorted(PRECISIONS))}")
    # A precision that the engine does not have is a variant only when it is named.
    wanted = [name for name in precisions if len(precisions) == 1 or name in spec.precisions or name == "int8"]
    return [(backend, precision) for backend in backends for precision in sorted(wanted)]


def _open(
    spec: EngineSpec,
    backend: str,
    precision: str,
    threads: int,
    inputs: dict[str, npt.NDArray[Any]],
    clock: Callable[[], float],
) -> _Run:
    before_mb, start_s = _resident_mb(), clock()
    engine = load_engine(spec, backend, threads, precision)
    opened_s = clock()
    try:
        engine.infer(inputs)
        first_s, after_mb = clock(), _resident_mb()
        later_s = [clock()]
        while len(later_s) < _WARM_UP and (len(later_s) < _MIN_WARM_UP or later_s[-1] - later_s[0] < _WARM_UP_S):
            engine.infer(inputs)
            later_s.append(clock())
    except EngineError:
        engine.close()
        raise
    return _Run(
        engine=engine,
        cold_open_ms=1e3 * (opened_s - start_s),
        first_ms=[1e3 * (first_s - opened_s), *(1e3 * np.diff(np.array(later_s, np.float64))).tolist()],
        growth_mb=None if before_mb is None or after_mb is None else after_mb - before_mb,
    )


def _warm_up(times_ms: list[float]) -> tuple[int, float]:
    """Number of inferences before the first settled one, and their total time, ms."""
    settled_ms = _SETTLED * float(np.median(times_ms[len(times_ms) // 2 :]))
    count = next(index for index, time_ms in enumerate(times_ms) if time_ms <= settled_ms)
    return count, sum(times_ms[:count])


def _turn(
    engine: Engine, inputs: dict[str, npt.NDArray[Any]], count: int, seconds: float, clock: Callable[[], float]
) -> npt.NDArray[np.float64]:
    engine.infer(inputs)
    times_s = [clock()]
    while len(times_s) == 1 or (len(times_s) <= count and times_s[-1] - times_s[0] < seconds):
        engine.infer(inputs)
        times_s.append(clock())
    return 1e3 * np.diff(np.array(times_s, np.float64))


def _report(
    spec: EngineSpec, threads: int, rounds: int, runs: list[_Run], left: list[Left], judged_by: str
) -> TimingReport:
    def name(run: _Run) -> tuple[str, str]:
        return run.engine.runtime, run.engine.precision

    reference = next((run for run in runs if name(run) == REFERENCE), None)
    reference = reference or next((run for run in runs if run.engine.precision == "fp32"), runs[0])
    per_round = np.array([np.median(turn) for turn in reference.turns])
    variants = []
    for run in runs:
        every = np.concatenate(run.turns)
        p50, p95, p99 = (float(value) for value in np.percentile(every, [50, 95, 99]))
        warm_up_count, warm_up_ms = _warm_up(run.first_ms)
        ratios = np.array([np.median(turn) for turn in run.turns]) / per_round
        low, middle, high = (float(value) for value in np.percentile(ratios, [25, 50, 75]))
        variants.append(
            Variant(
                backend=run.engine.runtime,
                precision=run.engine.precision,
                device=run.engine.device,
                rejected=run.rejected,
                cold_open_ms=run.cold_open_ms,
                first_ms=run.first_ms[0],
                warm_up_count=warm_up_count,
                warm_up_ms=warm_up_ms,
                p50_ms=p50,
                p95_ms=p95,
                p99_ms=p99,
                per_s=1e3 * len(every) / float(every.sum()),
                growth_mb=run.growth_mb,
                ratio=middle,
                ratio_spread=(high - low) / middle,
                count=len(every),
            )
        )
    variants.sort(key=lambda item: item.ratio)
    fastest = next((item for item in variants if item.rejected is None), None)
    return TimingReport(
        engine_id=spec.engine_id,
        threads=threads,
        rounds=rounds,
        reference=name(reference),
        variants=tuple(variants),
        left_out=tuple(left),
        judged_by=judged_by,
        fastest=None if fastest is None else (fastest.backend, fastest.precision),
    )


def _resident_mb() -> float | None:
    """Resident memory of this process in 10⁶ bytes; None where it cannot be read."""
    if sys.platform != "linux":
        return None
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    return None
