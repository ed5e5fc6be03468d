"""Which frames have been on the pages, and how long they took to get there."""

from __future__ import annotations

import threading
from typing import Any

from usassist.common.clock import Clock
from usassist.common.latency import LatencyHistogram

__all__ = ["ShownFrames"]

_FOLLOWED = 256  # frames whose capture is remembered, 4 s at 60 Hz; a page that is further behind shows stale pictures
_MAX_FRAMES = 2**26  # 12 days at 60 Hz; one bit each


class ShownFrames:
    """Frames of the newest session that were offered to pages, and the stage ``browser``.

    The stage lasts from a frame's capture until the word of a page that has drawn it is back here: the way back is
    included, and so are the pictures that waited for a slow page. It ends when the canvas is drawn; the monitor
    follows at its next refresh. What was offered is remembered as one bit per frame, so that a frame that a person
    froze long ago can still be marked.

    May be used from several threads.

    Parameters
    ----------
    clock : of the captures
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._session_id = ""
        self._offered = bytearray()
        self._capture_ns: dict[int, int] = {}
        self._browser = LatencyHistogram()

    def offered(self, session_id: str, frame_id: int, t_capture_ns: int | None) -> None:
        """A frame goes out to the pages.

        Parameters
        ----------
        session_id, frame_id : of the frame
        t_capture_ns : None where its age means nothing (a replay that does not keep time)
        """
        with self._lock:
            if session_id != self._session_id:
                self._session_id = session_id
                self._offered.clear()
                self._capture_ns.clear()
            if 0 <= frame_id < _MAX_FRAMES:
                place = frame_id >> 3
                if place >= len(self._offered):
                    self._offered.extend(bytes(place + 1024 - len(self._offered)))
                self._offered[place] |= 1 << (frame_id & 7)
            if t_capture_ns is not None:
                self._capture_ns[frame_id] = t_capture_ns
                while len(self._capture_ns) > _FOLLOWED:
                    del self._capture_ns[next(iter(self._capture_ns))]

    def drawn(self, session_id: str, frame_id: int) -> None:
        """A page says that it has just drawn a frame; one that was not offered lately counts for nothing."""
        now_ns = self._clock.now_ns()
        with self._lock:
            captured_ns = self._capture_ns.get(frame_id) if session_id == self._session_id else None
            if captured_ns is not None:
                self._browser.record(now_ns - captured_ns)

    def summary(self) -> dict[str, Any] | None:
        """The stage ``browser`` of all pages together, see ``LatencyHistogram.summary``."""
        with self._lock:
            return self._browser.summary()

    def why_unknown(self, session_id: str, frame_id: int) -> str:
        """Empty where that frame was offered to the pages in the session that is shown; else why it does not count."""
        with self._lock:
            if session_id != self._session_id:
                return "the session of that frame is over"
            place = frame_id >> 3
            if place >= len(self._offered) or not self._offered[place] >> (frame_id & 7) & 1:
                return "that frame was not shown"
            return ""
