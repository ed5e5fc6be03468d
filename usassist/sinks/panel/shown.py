"""Which frames were shown on the pages, and their latency to the screen."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from usassist.common.clock import Clock
from usassist.common.latency import LatencyHistogram

__all__ = ["ShownFrames"]

_FOLLOWED = 256  # frames whose capture time is kept, 4 s at 60 Hz; a page further behind than that shows STALE
_MAX_FRAMES = 2**26  # 12 days at 60 Hz; one bit each
_MAX_TRACKS = 2**16


class ShownFrames:
    """Frames of the newest session that were offered to pages, and the latency stage ``browser``.

    The stage is from a frame's capture to the acknowledgement of a page that has drawn it. It includes the way back and
    the wait of frames for a slow page. It ends with the drawn canvas; the monitor follows at its next refresh. Offered
    frames are kept as one bit each, so that a frame that was frozen long ago can still be marked.

    Thread-safe.

    Parameters
    ----------
    clock : of the captures
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._session_id = ""
        self._offered = bytearray()
        self._track_ids: set[int] = set()
        self._capture_ns: dict[int, int] = {}
        self._browser = LatencyHistogram()

    def offered(self, session_id: str, frame_id: int, t_capture_ns: int | None, track_ids: Sequence[int] = ()) -> None:
        """Record that a frame is offered to the pages.

        Parameters
        ----------
        session_id, frame_id : of the frame
        t_capture_ns : None where its age has no meaning (a replay faster than real time)
        track_ids : of the nodules that are shown on it; -1 = not tracked
        """
        with self._lock:
            if session_id != self._session_id:
                self._session_id = session_id
                self._offered.clear()
                self._track_ids.clear()
                self._capture_ns.clear()
            if len(self._track_ids) < _MAX_TRACKS:
                self._track_ids.update(number for number in track_ids if number > 0)
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
        """Record that a page has drawn a frame; one that was not offered recently is ignored."""
        now_ns = self._clock.now_ns()
        with self._lock:
            captured_ns = self._capture_ns.get(frame_id) if session_id == self._session_id else None
            if captured_ns is not None:
                self._browser.record(now_ns - captured_ns)

    def summary(self) -> dict[str, Any] | None:
        """Latency ``browser`` of all pages, see ``LatencyHistogram.summary``."""
        with self._lock:
            return self._browser.summary()

    def has_track(self, track_id: int) -> bool:
        """Whether a tracked nodule was shown in the present session."""
        with self._lock:
            return track_id in self._track_ids

    def why_not_markable(self, session_id: str, frame_id: int) -> str:
        """Why a frame cannot be marked; empty when it was offered to the pages in the present session."""
        with self._lock:
            if session_id != self._session_id:
                return "the session of that frame has ended"
            place = frame_id >> 3
            if place >= len(self._offered) or not self._offered[place] >> (frame_id & 7) & 1:
                return "that frame was not shown"
            return ""
