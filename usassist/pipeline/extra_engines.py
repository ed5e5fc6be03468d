"""Engines that help the one that answers, so that several frames are worked on at a time.

Where no one waits for a frame at hand, they help from the beginning. In real time one engine alone answers soonest, as
it has all processors for itself; a second one is opened, beside the stream, once frames had to be passed over.
"""

from __future__ import annotations

import logging
import threading
from collections import deque

from usassist.common.process_tuning import lower_priority
from usassist.engine import Engine, FailoverEngine
from usassist.pipeline.lanes import Lanes

__all__ = ["ExtraEngines"]

logger = logging.getLogger(__name__)

_PASSED_OVER = 3  # so many within so long are no accident
_WITHIN_NS = 2_000_000_000
_CLOSE_S = 5.0


class ExtraEngines:
    """Opens helping engines and lets them go. Used by the stream's loop.

    Parameters
    ----------
    failover : holds the engine that answers
    lanes : that they work in
    count : how many engines may work at a time, with the first
    """

    def __init__(self, failover: FailoverEngine, lanes: Lanes, count: int) -> None:
        self._failover, self._lanes, self._count = failover, lanes, count
        self._engines: list[Engine] = []
        self._passed_over: deque[int] = deque(maxlen=_PASSED_OVER)
        self._opening: threading.Thread | None = None
        self._opened: Engine | None = None
        self._refused = False

    @property
    def is_opening(self) -> bool:
        """True while one is being opened beside the stream."""
        return self._opening is not None

    def call_all(self) -> None:
        """Open them now."""
        while len(self._engines) < self._count - 1:
            engine = self._failover.another()
            if engine is None:
                break
            self._engines.append(engine)
        self._spread()

    def note_passed_over(self, now_ns: int) -> None:
        """A frame had to be passed over in real time."""
        self._passed_over.append(now_ns)

    def poll(self, now_ns: int) -> bool:
        """Look whether help is needed, and whether it is here. Never waits.

        Returns
        -------
        here : True when :meth:`join` is to be called, with nothing pending in the lanes
        """
        if self._opening is not None:
            return not self._opening.is_alive()
        full = len(self._passed_over) == _PASSED_OVER and now_ns - self._passed_over[0] < _WITHIN_NS
        if full and not self._refused and not self._engines and self._count > 1:
            self._opening = threading.Thread(target=self._open, name="open-helper", daemon=True)
            self._opening.start()
        return False

    def join(self) -> None:
        """Let the engine help that has been opened."""
        engine, self._opening, self._opened = self._opened, None, None
        if engine is None:
            self._refused = True  # on a GPU, or where it cannot be opened: one engine has to do
        elif engine.backend != self._failover.backend:  # another took over meanwhile
            engine.close()
        else:
            logger.info("a second %s helps: frames came faster than one could answer", engine.backend)
            self._engines.append(engine)
            self._spread()

    def dismiss(self, hung: Engine | None = None) -> None:
        """The one that answers works alone from now on; nothing may be pending.

        Parameters
        ----------
        hung : an engine that is still at work, and must not be closed
        """
        self._lanes.spread([])
        for engine in self._engines:
            if engine is not hung:
                engine.close()
        self._engines.clear()
        self._passed_over.clear()
        self._refused = False

    def close(self) -> None:
        """Dismiss them, also one that is just being opened."""
        opening, self._opening = self._opening, None
        if opening is not None:
            opening.join(_CLOSE_S)
            if self._opened is not None:
                self._opened.close()
        self.dismiss()

    def _open(self) -> None:
        lower_priority()
        self._opened = self._failover.another()

    def _spread(self) -> None:
        first = self._failover.engine
        self._lanes.spread([first, *self._engines] if first is not None and self._engines else [])
