"""Which back end answers now, and which takes over: a stream is never left without an engine while one can run.

The candidates stand in the order of preference; for the processor it is measured (``engine/speed.py``). The first that
can be opened answers at once. Those before it that only lack a plan have it built in a child process, are opened and
checked in a thread, and take over between two frames. While a GPU answers, a back end on the processor stands by: a
device that is lost takes all of its back ends with it. A back end that fails in mid-stream is closed, and the one that
stands by, or the next, takes over; after a pause the failed one is opened and checked again beside the stream, and
comes back if it answers its golden input. All of it is told in ``note``.
"""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from usassist.common.clock import Clock, MonotonicClock
from usassist.common.closeable import Closeable
from usassist.engine.backend import Progress
from usassist.engine.base import Engine
from usassist.engine.building import BuildJob
from usassist.engine.measuring import Measuring
from usassist.engine.opening import open_checked, open_first, prepared
from usassist.engine.registry import Pair, candidates, device_of, why_not
from usassist.engine.spec import EngineSpec
from usassist.engine.speed import by_speed
from usassist.errors import BackendHungError, BackendUnavailableError, EngineError, PlanMissingError

__all__ = ["Build", "Change", "FailoverEngine"]

logger = logging.getLogger(__name__)

_PAUSE_NS = 30_000_000_000  # before a back end that failed is tried again, doubled with every failure
_LONGEST_PAUSE_NS = 600_000_000_000
_NOTHING_RUNS_PAUSE_NS = 1_000_000_000  # the same while no other back end answers
_NOTHING_RUNS_LONGEST_NS = 30_000_000_000
_CLOSE_S = 5.0
_OPEN_DEADLINE_NS = 120_000_000_000  # an engine that has not been opened by then never will be


class Build(Protocol):
    """A build that goes on beside the stream; see :class:`usassist.engine.building.BuildJob`."""

    def poll(self) -> tuple[str, str, float]:
        """State (``building``, ``done`` or ``failed``), stage or reason, and share done. Never waits."""
        ...

    def close(self) -> None:
        """End it; nothing half-built stays behind."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One take-over.

    Attributes
    ----------
    t_ns : monotonic
    before, after : back ends as results name them; ``none`` where nothing answers
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
    again_ns: int | None = None  # it may be tried from then on; None = not in this run
    needs_build: bool = False
    failures: int = 0

    @property
    def label(self) -> str:
        return f"{self.backend} {self.precision}"

    @property
    def on_gpu(self) -> bool:
        return device_of(self.backend) == "cuda"


class _Opening(threading.Thread):
    """Opens and checks an engine beside the stream."""

    def __init__(self, index: int, opener: Callable[[], Engine], now_ns: int) -> None:
        super().__init__(name="open-engine", daemon=True)
        self.index = index
        self.t_begin_ns = now_ns
        self.engine: Engine | None = None
        self.error: EngineError | None = None
        self.abandoned = False
        self._opener = opener
        self.start()

    def run(self) -> None:
        try:
            engine = _checked(self._opener)
        except EngineError as error:
            self.error = error
            return
        if self.abandoned:
            engine.close()
        else:
            self.engine = engine


class FailoverEngine(Closeable):
    """The engine that answers now, and those that take over. Used by one thread, the stream's loop.

    Parameters
    ----------
    spec : what is run
    pairs : back ends and precisions, best first
    opener : opens and checks one
    builder : starts to build what one needs, beside the stream
    clock : for pauses
    first : the pair that answers from the start, opened; and why those before it do not, in their order
    measuring : finds out beside the stream which back end is the fastest here; None = that is known, or not asked

    Attributes
    ----------
    engine : the one to ask, or None while nothing runs
    note : what goes on beside the stream, in words; empty when nothing does
    changes : every take-over, in order
    """

    def __init__(
        self,
        spec: EngineSpec,
        pairs: list[Pair],
        opener: Callable[[str, str], Engine],
        builder: Callable[[str, str], Build] | None,
        clock: Clock,
        first: tuple[int, Engine, list[EngineError]],
        measuring: Measuring | None = None,
    ) -> None:
        self.spec = spec
        self.note = ""
        self.changes: list[Change] = []
        self._candidates = [_Candidate(*pair) for pair in pairs]
        self._opener, self._builder, self._clock = opener, builder, clock
        self._current = first[0]
        self.engine: Engine | None = first[1]
        self._standby: tuple[int, Engine] | None = None
        self._lost: tuple[str, str] | None = None  # what failed and why, until the next that is opened aside answers
        self._opening: _Opening | None = None
        self._build: tuple[int, Build] | None = None
        self._measuring = measuring
        for candidate, error in zip(self._candidates, first[2], strict=False):
            self._note_failed_open(candidate, error)
        for candidate in self._candidates[self._current :]:
            candidate.again_ns = 0

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
        """Open the best back end that is ready, and let better ones be built beside the stream.

        A back end that is named is used or refused: it builds its plan first, and no other takes its place.

        Parameters
        ----------
        spec, backend, threads, precision : as for :func:`usassist.engine.open_engine`
        clock : for pauses
        progress : told how the build of a named back end goes

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
            measuring=Measuring.where_wanted(spec, threads, clock) if backend == "auto" else None,
        )

    @property
    def backend(self) -> str:
        """What answers now, as results name it; ``none`` while nothing runs."""
        return "none" if self.engine is None else self.engine.backend

    @property
    def is_opening(self) -> bool:
        """True while an engine is being opened beside the stream, which may keep the interpreter for a moment."""
        return self._opening is not None

    def poll(self) -> bool:
        """Look after what goes on beside the stream; between two frames. Never waits.

        Returns
        -------
        changed : another engine answers from now on
        """
        before = self.engine
        self._look_after_opening()
        self._look_after_build()
        if self._opening is None and self._build is None:
            self._start_next()
            if self._measuring is not None and not self._candidates[self._current].on_gpu:
                self._measuring.poll()
        return self.engine is not before

    def fail(self, error: Exception, *, aside: bool = False) -> None:
        """The engine that answers has failed: close it, and let the next take over.

        One that hangs is not closed, because a thread is still in it, and it is not opened again in this run while
        another can answer.

        Parameters
        ----------
        error : that it failed with
        aside : where none stands by, open the next beside the stream; nothing answers meanwhile, and `note` says so.
            Otherwise it is opened here, and frames that come meanwhile wait.
        """
        broken, failed = self.engine, self._candidates[self._current]
        before = self.backend
        failed.failures += 1
        now_ns = self._clock.now_ns()
        failed.again_ns = now_ns + min(_PAUSE_NS << (failed.failures - 1), _LONGEST_PAUSE_NS)
        if failed.on_gpu and self._standby is not None:  # whatever else would run there waits as well
            for candidate in self._candidates:
                if candidate.on_gpu and candidate.again_ns is not None:
                    candidate.again_ns = max(candidate.again_ns, failed.again_ns)
        logger.warning("back end %s failed: %s", failed.label, error)
        self.engine = None
        hung = isinstance(error, BackendHungError)
        if broken is not None and not hung:
            _close_aside(broken)  # a lost device may keep it waiting
        reason = f"{before} failed: {error}"
        if aside and self._standby is None:
            self._lost = before, reason
        else:
            self._take_next(before, reason)
        if hung:
            others = any(item.again_ns is not None for item in self._candidates if item is not failed)
            failed.again_ns = None if others else now_ns  # the only one is opened again, beside the one that is stuck
            if not others and not aside:
                self._take(self._current, before, reason)
        if self.engine is None:
            self._shorten_pauses(now_ns)
            self.note = f"no back end runs, the last reason is: {error}; it is tried again"
            if self._opening is None and self._build is None:
                self._start_next()

    def another(self) -> Engine | None:
        """One more engine like the one that answers, for work beside it; the caller closes it.

        None where that does not help, because it does not run on the processor, or where it cannot be opened.
        """
        candidate = self._candidates[self._current]
        if self.engine is None or candidate.on_gpu:
            return None
        try:
            return _checked(functools.partial(self._opener, candidate.backend, candidate.precision))
        except EngineError as error:
            logger.warning("no second %s: %s", candidate.label, error)
            return None

    def close(self) -> None:
        """End what goes on beside the stream, and close every engine."""
        if self._measuring is not None:
            self._measuring.close()
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
        """Let the one that stands by answer, or the next candidate after the one that failed."""
        standby, self._standby = self._standby, None
        if standby is not None:
            self._switch(*standby, before, reason)
            return
        for index in range(self._current + 1, len(self._candidates)):
            candidate = self._candidates[index]
            if candidate.again_ns is None or candidate.needs_build or candidate.again_ns > self._clock.now_ns():
                continue
            if self._take(index, before, reason):
                return

    def _take(self, index: int, before: str, reason: str) -> bool:
        """Open a candidate here, and let it answer; False when it cannot be opened."""
        candidate = self._candidates[index]
        try:
            engine = _checked(functools.partial(self._opener, candidate.backend, candidate.precision))
        except EngineError as error:
            self._note_failed_open(candidate, error)
            return False
        self._switch(index, engine, before, reason)
        return True

    def _switch(self, index: int, engine: Engine, before: str, reason: str) -> None:
        self._current, self.engine = index, engine
        self.changes.append(Change(t_ns=self._clock.now_ns(), before=before, after=engine.backend, reason=reason))
        self.note = f"{engine.backend} took over: {reason}"
        logger.warning("%s answers in the place of %s: %s", engine.backend, before, reason)

    def _start_next(self) -> None:
        """Begin with the best candidate that is better than the one that answers, and due."""
        now_ns = self._clock.now_ns()
        end = len(self._candidates) if self.engine is None else self._current
        for index, candidate in enumerate(self._candidates[:end]):
            if candidate.again_ns is None or candidate.again_ns > now_ns:
                continue
            if not candidate.needs_build:
                self._open_aside(index)
                return
            if self._builder is not None:
                try:
                    self._build = index, self._builder(candidate.backend, candidate.precision)
                except EngineError as error:
                    self._give_up(candidate, str(error))
                    continue
                self.note = f"{candidate.label} is being built"
                return
            candidate.again_ns = None
        if self.engine is not None and self._standby is None and self._candidates[self._current].on_gpu:
            self._open_standby(now_ns)

    def _open_standby(self, now_ns: int) -> None:
        for index in range(self._current + 1, len(self._candidates)):
            candidate = self._candidates[index]
            if not candidate.on_gpu and candidate.again_ns is not None and candidate.again_ns <= now_ns:
                self._open_aside(index)
                return

    def _open_aside(self, index: int) -> None:
        candidate = self._candidates[index]
        if self.engine is None or index < self._current:
            self.note = f"{candidate.label} is being opened"
        opener = functools.partial(self._opener, candidate.backend, candidate.precision)
        self._opening = _Opening(index, opener, self._clock.now_ns())

    def _look_after_opening(self) -> None:
        opening = self._opening
        if opening is None:
            return
        candidate = self._candidates[opening.index]
        if opening.is_alive():
            if self._clock.now_ns() - opening.t_begin_ns > _OPEN_DEADLINE_NS:  # its thread is abandoned
                opening.abandoned = True
                self._opening = None
                self._give_up(candidate, f"it was not open after {_OPEN_DEADLINE_NS / 1e9:.0f} s")
            return
        self._opening = None
        if opening.error is not None:
            was_built, self.note = candidate.needs_build, ""
            self._note_failed_open(candidate, opening.error)
            if candidate.needs_build and was_built:  # built a moment ago, and still there is no plan to be found
                self._give_up(candidate, str(opening.error))
            return
        assert opening.engine is not None
        if self.engine is not None and opening.index >= self._current:  # to stand by
            if self._standby is None and opening.index > self._current:
                self._standby = opening.index, opening.engine
            else:  # it has taken over meanwhile
                _close_aside(opening.engine)
            return
        before = self.backend
        previous = None if self.engine is None else (self._current, self.engine)
        if self._standby is not None:
            _close_aside(self._standby[1])
        self._standby = previous
        lost, self._lost = self._lost, None
        if previous is None and lost is not None and opening.index != self._current:
            self._switch(opening.index, opening.engine, *lost)
        else:
            self._switch(opening.index, opening.engine, before, "it is ready" if previous else "it runs again")

    def _look_after_build(self) -> None:
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
            self._open_aside(index)
        else:
            self._give_up(candidate, words)

    def _note_failed_open(self, candidate: _Candidate, error: EngineError) -> None:
        if isinstance(error, PlanMissingError):
            blocked = why_not(candidate.backend, self.spec, candidate.precision, build=True)
            candidate.needs_build, candidate.again_ns = True, 0
            if blocked is not None or self._builder is None:
                self._give_up(candidate, blocked or str(error))
        elif isinstance(error, BackendUnavailableError) or candidate.failures == 0:
            candidate.again_ns = None  # it will not become right by trying again
        else:  # it has run before
            candidate.failures += 1
            pause_ns = min(_PAUSE_NS << (candidate.failures - 1), _LONGEST_PAUSE_NS)
            candidate.again_ns = self._clock.now_ns() + pause_ns
            if self.engine is None:
                self._shorten_pauses(self._clock.now_ns())

    def _give_up(self, candidate: _Candidate, reason: str) -> None:
        candidate.again_ns = None
        self.note = f"{candidate.label} cannot be used: {reason}"
        logger.warning("%s", self.note)

    def _shorten_pauses(self, now_ns: int) -> None:
        """While nothing runs, everything that could is tried again soon."""
        for candidate in self._candidates:
            if candidate.again_ns is not None:
                pause_ns = min(_NOTHING_RUNS_PAUSE_NS << max(0, candidate.failures - 1), _NOTHING_RUNS_LONGEST_NS)
                candidate.again_ns = min(candidate.again_ns, now_ns + pause_ns)


def _checked(opener: Callable[[], Engine]) -> Engine:
    try:
        return opener()
    except EngineError:
        raise
    except Exception as error:  # a runtime may raise anything, and the stream must hear of it
        raise EngineError(f"it could not be opened: {error!r}") from error


def _close_aside(engine: Engine) -> None:
    threading.Thread(target=engine.close, name="close-engine", daemon=True).start()
