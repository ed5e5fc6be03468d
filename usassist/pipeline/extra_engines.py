"""Further engines beside the first, so that several frames are processed in parallel.

Where every frame is answered, they are opened at the start. In real time one engine that has all processor cores has
the lowest latency; a second one is opened in the background only after frames were dropped repeatedly.
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

_DROPS = 3  # this many drops within `_WITHIN_NS` are sustained overload
_WITHIN_NS = 2_000_000_000
_CLOSE_S = 5.0


class ExtraEngines:
    """Opens and closes the extra engines. Used by the stream's loop.

    Parameters
    ----------
    failover : holds the engine that answers
    lanes : that all of them work in
    count : how many engines may work in parallel, with the first
    """

    def __init__(self, failover: FailoverEngine, lanes: Lanes, count: int) -> None:
        self._failover, self._lanes, self._count = failover, lanes, count
        self._engines: list[Engine] = []
        self._drops_ns: deque[int] = deque(maxlen=_DROPS)
        self._opening: threading.Thread | None = None
        self._opened: Engine | None = None
        self._unavailable = False

    @property
    def is_opening(self) -> bool:
        """True while one is being opened in the background."""
        return self._opening is not None

    def open_all(self) -> None:
        """Open as many as may work in parallel, now."""
        while len(self._engines) < self._count - 1:
            engine = self._failover.another()
            if engine is None:
                break
            self._engines.append(engine)
        self._assign()

    def note_drop(self, now_ns: int) -> None:
        """A frame was dropped in real time."""
        self._drops_ns.append(now_ns)

    def poll(self, now_ns: int) -> bool:
        """Start to open one under sustained overload, and check whether it is open. Never waits.

        Returns
        -------
        opened : True when :meth:`add_opened` is to be called, with nothing pending in the lanes
        """
        if self._opening is not None:
            return not self._opening.is_alive()
        overloaded = len(self._drops_ns) == _DROPS and now_ns - self._drops_ns[0] < _WITHIN_NS
        if overloaded and not self._unavailable and not self._engines and self._count > 1:
            self._opening = threading.Thread(target=self._open, name="open-extra-engine", daemon=True)
            self._opening.start()
        return False

    def add_opened(self) -> None:
        """Let the engine work that was opened in the background."""
        engine, self._opening, self._opened = self._opened, None, None
        if engine is None:
            self._unavailable = True  # it runs on a GPU, or a second one cannot be opened
        elif engine.backend != self._failover.backend:  # another took over meanwhile
            engine.close()
        else:
            logger.info("a second %s was opened: frames came faster than one could answer", engine.backend)
            self._engines.append(engine)
            self._assign()

    def close_all(self, hung: Engine | None = None) -> None:
        """Close them; the first engine works alone from now on. Nothing may be pending.

        Parameters
        ----------
        hung : an engine that a thread is stuck in, and that must not be closed
        """
        self._lanes.assign([])
        for engine in self._engines:
            if engine is not hung:
                engine.close()
        self._engines.clear()
        self._drops_ns.clear()
        self._unavailable = False

    def close(self) -> None:
        """Close them, also one that is just being opened."""
        opening, self._opening = self._opening, None
        if opening is not None:
            opening.join(_CLOSE_S)
            if self._opened is not None:
                self._opened.close()
        self.close_all()

    def _open(self) -> None:
        lower_priority()
        self._opened = self._failover.another()

    def _assign(self) -> None:
        first = self._failover.engine
        self._lanes.assign([first, *self._engines] if first is not None and self._engines else [])
