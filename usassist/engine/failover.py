"""Failover between back ends: a stream is never without an engine while one can run.

The candidates are in order of preference; on the processor that order is measured (``engine/speed.py``). The first
that can be opened becomes active at once. Better ones that only lack a plan have it built in a child process, are
opened and checked in a thread, and take over between two frames. While a GPU is active, a back end on the processor is
kept in warm standby: a lost device takes all of its back ends with it. A back end that fails in mid-stream is closed,
and the standby, or the next candidate, takes over; after a back-off the failed one is opened and checked again beside
the stream, and returns if it meets its golden output. ``note`` says what is going on.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from usassist.common.clock import Clock, MonotonicClock
from usassist.common.closeable import Closeable
from usassist.engine.backend import Progress
from usassist.engine.background import (
    BackgroundMeasurement,
    BackgroundOpening,
    Job,
    close_in_background,
    open_or_raise,
)
from usassist.engine.base import Engine
from usassist.engine.building import BuildJob
from usassist.engine.opening import open_checked, open_first, prepared
from usassist.engine.registry import Pair, candidates, device_of, why_not
from usassist.engine.spec import EngineSpec
from usassist.engine.speed import by_speed
from usassist.errors import BackendHungError, BackendUnavailableError, EngineError, PlanMissingError

__all__ = ["Change", "FailoverEngine"]

logger = logging.getLogger(__name__)

_BACK_OFF_NS = 30_000_000_000  # before a back end that failed is retried, doubled with every failure
_MAX_BACK_OFF_NS = 600_000_000_000
_NONE_BACK_OFF_NS = 1_000_000_000  # the same while no back end is active
_MAX_NONE_BACK_OFF_NS = 30_000_000_000
_CLOSE_S = 5.0
_OPEN_DEADLINE_NS = 120_000_000_000  # opening hangs if it takes longer


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change of the active back end.

    Attributes
    ----------
    t_ns : monotonic
    before, after : back ends as results name them; ``none`` where none is active
    reason : why
    """

    t_ns: int
    before: str
    after: str
    reason: str


@dataclass(slots=True)
class _Candidate:
    backend: str
    precision: str
    retry_ns: int | None = None  # it may be opened from then on; None = not in this run
    needs_build: bool = False
    failures: int = 0
    on_gpu: bool = field(init=False)

    @property
    def label(self) -> str:
        return f"{self.backend} {self.precision}"

    def __post_init__(self) -> None:
        self.on_gpu = device_of(self.backend) == "cuda"  # read every frame


class FailoverEngine(Closeable):
    """The active engine and those that can take over. Used by one thread, the stream's loop.

    Parameters
    ----------
    spec : what is run
    pairs : back ends and precisions, best first
    opener : opens and checks one
    builder : starts building the plan of one, beside the stream; None = nothing is built
    clock : monotonic, for back-off
    first : index of the first active pair, its engine, and why those before it could not be opened, in their order
    measurement : measures the order of the back ends beside the stream; None = it is known, or not needed

    Attributes
    ----------
    engine : the active one; None while no back end runs
    note : what is going on beside the stream, for people; empty when nothing is
    changes : of the active back end, in order
    """

    def __init__(
        self,
        spec: EngineSpec,
        pairs: list[Pair],
        opener: Callable[[str, str], Engine],
        builder: Callable[[str, str], Job] | None,
        clock: Clock,
        first: tuple[int, Engine, list[EngineError]],
        measurement: BackgroundMeasurement | None = None,
    ) -> None:
        self.spec = spec
        self.note = ""
        self.changes: list[Change] = []
        self._candidates = [_Candidate(*pair) for pair in pairs]
        self._opener, self._builder, self._clock = opener, builder, clock
        self._current = first[0]
        self.engine: Engine | None = first[1]
        self._standby: tuple[int, Engine] | None = None
        self._lost: tuple[str, str] | None = None  # what failed and why, until the next one is open
        self._opening: BackgroundOpening | None = None
        self._build: tuple[int, Job] | None = None
        self._measurement = measurement
        for candidate, error in zip(self._candidates, first[2], strict=False):
            self._note_failed_open(candidate, error)
        for candidate in self._candidates[self._current :]:
            candidate.retry_ns = 0

    @classmethod
    def open(
        cls,
        spec: EngineSpec,
        backend: str = "auto",
        threads: int = 0,
        precision: str = "auto",
        *,
        clock: Clock | None = None,
        progress: Progress | None = None,
    ) -> FailoverEngine:
        """Open the best back end that is ready; better ones are built beside the stream.

        A back end that is named is used or refused: it builds its plan first, and no other is used instead.

        Parameters
        ----------
        spec, backend, threads, precision : as for :func:`usassist.engine.open_engine`
        clock : monotonic, for back-off
        progress : receives how the build of a named back end goes

        Raises
        ------
        EngineError
            As :func:`usassist.engine.open_engine`.
        """
        clock = clock or MonotonicClock()
        pairs = candidates(spec, backend, precision)
        pairs = by_speed(spec, pairs, threads) if backend == "auto" else prepared(spec, pairs, progress)
        return cls(
            spec,
            pairs,
            opener=lambda name, item: open_checked(spec, name, threads, item),
            builder=(lambda name, item: BuildJob(spec, name, item)) if backend == "auto" else None,
            clock=clock,
            first=open_first(spec, pairs, threads),
            measurement=BackgroundMeasurement.where_wanted(spec, threads, clock) if backend == "auto" else None,
        )

    @property
    def backend(self) -> str:
        """The active back end, as results name it; ``none`` while none runs."""
        return "none" if self.engine is None else self.engine.backend

    @property
    def is_opening(self) -> bool:
        """True while an engine is being opened beside the stream, which may hold the interpreter lock briefly."""
        return self._opening is not None

    def poll(self) -> bool:
        """Collect what has finished beside the stream, and start what is due; called between two frames. Never blocks.

        Returns
        -------
        changed : another engine is active from now on
        """
        before = self.engine
        self._poll_opening()
        self._poll_build()
        if self._opening is None and self._build is None:
            self._start_next()
            if self._measurement is not None and not self._candidates[self._current].on_gpu:
                self._measurement.poll()
        return self.engine is not before

    def fail(self, error: Exception, *, aside: bool = False) -> None:
        """The active engine has failed: close it, and fail over to the next.

        One that hangs is not closed, because a thread is still in it, and it is not opened again in this run while
        another can run.

        Parameters
        ----------
        error : that it failed with
        aside : where there is no standby, open the next beside the stream; until then no engine is active, and `note`
            says so. Otherwise it is opened here, and the loop blocks meanwhile.
        """
        broken, failed = self.engine, self._candidates[self._current]
        before = self.backend
        failed.failures += 1
        now_ns = self._clock.now_ns()
        failed.retry_ns = now_ns + min(_BACK_OFF_NS << (failed.failures - 1), _MAX_BACK_OFF_NS)
        if failed.on_gpu and self._standby is not None:  # everything else on that device waits as well
            for candidate in self._candidates:
                if candidate.on_gpu and candidate.retry_ns is not None:
                    candidate.retry_ns = max(candidate.retry_ns, failed.retry_ns)
        logger.warning("back end %s failed: %s", failed.label, error)
        self.engine = None
        hung = isinstance(error, BackendHungError)
        if broken is not None and not hung:
            close_in_background(broken)  # a lost device may block
        reason = f"{before} failed: {error}"
        if aside and self._standby is None:
            self._lost = before, reason
        else:
            self._take_next(before, reason)
        if hung:
            others = any(item.retry_ns is not None for item in self._candidates if item is not failed)
            failed.retry_ns = None if others else now_ns  # the only one is opened again, beside the one that hangs
            if not others and not aside:
                self._take(self._current, before, reason)
        if self.engine is None:
            self._shorten_back_off(now_ns)
            self.note = f"no back end runs, the last reason is: {error}; it is tried again"
            if self._opening is None and self._build is None:
                self._start_next()

    def another(self) -> Engine | None:
        """A second engine like the active one, to run beside it; the caller closes it.

        None where that does not help, because the active one is not on the processor, or where it cannot be opened.
        """
        candidate = self._candidates[self._current]
        if self.engine is None or candidate.on_gpu:
            return None
        try:
            return open_or_raise(functools.partial(self._opener, candidate.backend, candidate.precision))
        except EngineError as error:
            logger.warning("no second %s: %s", candidate.label, error)
            return None

    def close(self) -> None:
        """End all work beside the stream, and close every engine."""
        if self._measurement is not None:
            self._measurement.close()
        if self._build is not None:
            self._build[1].close()
            self._build = None
        opening, self._opening = self._opening, None
        if opening is not None:
            opening.join(_CLOSE_S)
            if opening.engine is not None:
                opening.engine.close()
        standby, self._standby = self._standby, None
        for engine in (self.engine, standby[1] if standby is not None else None):
            if engine is not None:
                engine.close()
        self.engine = None

    def _take_next(self, before: str, reason: str) -> None:
        """Activate the standby, else the next candidate after the one that failed."""
        standby, self._standby = self._standby, None
        if standby is not None:
            self._switch(*standby, before, reason)
            return
        for index in range(self._current + 1, len(self._candidates)):
            candidate = self._candidates[index]
            if candidate.retry_ns is None or candidate.needs_build or candidate.retry_ns > self._clock.now_ns():
                continue
            if self._take(index, before, reason):
                return

    def _take(self, index: int, before: str, reason: str) -> bool:
        """Open a candidate here and activate it; False when it cannot be opened."""
        candidate = self._candidates[index]
        try:
            engine = open_or_raise(functools.partial(self._opener, candidate.backend, candidate.precision))
        except EngineError as error:
            self._note_failed_open(candidate, error)
            return False
        self._switch(index, engine, before, reason)
        return True

    def _switch(self, index: int, engine: Engine, before: str, reason: str) -> None:
        self._current, self.engine = index, engine
        self.changes.append(Change(t_ns=self._clock.now_ns(), before=before, after=engine.backend, reason=reason))
        self.note = f"{engine.backend} took over: {reason}"
        logger.warning("%s runs instead of %s: %s", engine.backend, before, reason)

    def _start_next(self) -> None:
        """Start opening or building the best candidate that is better than the active one, and due."""
        now_ns = self._clock.now_ns()
        end = len(self._candidates) if self.engine is None else self._current
        for index, candidate in enumerate(self._candidates[:end]):
            if candidate.retry_ns is None or candidate.retry_ns > now_ns:
                continue
            if not candidate.needs_build:
                self._open_in_background(index)
                return
            if self._builder is not None:
                try:
                    self._build = index, self._builder(candidate.backend, candidate.precision)
                except EngineError as error:
                    self._give_up(candidate, str(error))
                    continue
                self.note = f"{candidate.label} is being built"
                return
            candidate.retry_ns = None
        if self.engine is not None and self._standby is None and self._candidates[self._current].on_gpu:
            self._open_standby(now_ns)

    def _open_standby(self, now_ns: int) -> None:
        for index in range(self._current + 1, len(self._candidates)):
            candidate = self._candidates[index]
            if not candidate.on_gpu and candidate.retry_ns is not None and candidate.retry_ns <= now_ns:
                self._open_in_background(index)
                return

    def _open_in_background(self, index: int) -> None:
        candidate = self._candidates[index]
        if self.engine is None or index < self._current:
            self.note = f"{candidate.label} is being opened"
        opener = functools.partial(self._opener, candidate.backend, candidate.precision)
        self._opening = BackgroundOpening(index, opener, self._clock.now_ns())

    def _poll_opening(self) -> None:
        opening = self._opening
        if opening is None:
            return
        candidate = self._candidates[opening.index]
        if opening.is_alive():
            if self._clock.now_ns() - opening.t_begin_ns > _OPEN_DEADLINE_NS:  # its thread cannot be ended
                opening.abandoned = True
                self._opening = None
                self._give_up(candidate, f"it was not open after {_OPEN_DEADLINE_NS / 1e9:.0f} s")
            return
        self._opening = None
        if opening.error is not None:
            was_built, self.note = candidate.needs_build, ""
            self._note_failed_open(candidate, opening.error)
            if candidate.needs_build and was_built:  # it was built just now, and still there is no plan
                self._give_up(candidate, str(opening.error))
            return
        assert opening.engine is not None
        if self.engine is not None and opening.index >= self._current:  # as standby
            if self._standby is None and opening.index > self._current:
                self._standby = opening.index, opening.engine
            else:  # it has become active meanwhile
                close_in_background(opening.engine)
            return
        before = self.backend
        previous = None if self.engine is None else (self._current, self.engine)
        if self._standby is not None:
            close_in_background(self._standby[1])
        self._standby = previous
        lost, self._lost = self._lost, None
        if previous is None and lost is not None and opening.index != self._current:
            self._switch(opening.index, opening.engine, *lost)
        else:
            self._switch(opening.index, opening.engine, before, "it is ready" if previous else "it runs again")

    def _poll_build(self) -> None:
        if self._build is None:
            return
        index, build = self._build
        candidate = self._candidates[index]
        state, words, share = build.poll()
        if state == "building":
            self.note = f"{candidate.label} is being built: {words} {100.0 * share:.0f} %".replace(":  ", ": ")
            return
        self._build = None
        build.close()
        if state == "done":
            self._open_in_background(index)
        else:
            self._give_up(candidate, words)

    def _note_failed_open(self, candidate: _Candidate, error: EngineError) -> None:
        if isinstance(error, PlanMissingError):
            blocked = why_not(candidate.backend, self.spec, candidate.precision, build=True)
            candidate.needs_build, candidate.retry_ns = True, 0
            if blocked is not None or self._builder is None:
                self._give_up(candidate, blocked or str(error))
        elif isinstance(error, BackendUnavailableError) or candidate.failures == 0:
            candidate.retry_ns = None  # a retry would not help
        else:  # it has run before: the failure may pass
            candidate.failures += 1
            back_off_ns = min(_BACK_OFF_NS << (candidate.failures - 1), _MAX_BACK_OFF_NS)
            candidate.retry_ns = self._clock.now_ns() + back_off_ns
            if self.engine is None:
                self._shorten_back_off(self._clock.now_ns())

    def _give_up(self, candidate: _Candidate, reason: str) -> None:
        candidate.retry_ns = None
        self.note = f"{candidate.label} cannot be used: {reason}"
        logger.warning("%s", self.note)

    def _shorten_back_off(self, now_ns: int) -> None:
        """While no back end runs, everything that could is retried soon."""
        for candidate in self._candidates:
            if candidate.retry_ns is not None:
                back_off_ns = min(_NONE_BACK_OFF_NS << max(0, candidate.failures - 1), _MAX_NONE_BACK_OFF_NS)
                candidate.retry_ns = min(candidate.retry_ns, now_ns + back_off_ns)
