"""Health of the processes of a session, and its marks."""

from __future__ import annotations

from collections import Counter, deque
from enum import StrEnum

import msgspec

from usassist.bus import HealthBody, MarkBody, SessionBody, SessionState
from usassist.common.clock import Clock

__all__ = ["PROCESSES", "Mark", "Marks", "Recording", "RecordingState", "Reports"]

PROCESSES = ("stream", "record", "panel", "overlay")
"""Processes whose health is kept; a table of arbitrary names could grow without bound."""

_SILENT_NS = 3_000_000_000  # a recorder sends its health every second
_ARRIVAL_NS = 2_000_000_000  # how long a recorder that may still start is waited for
_RUNNING, _CLOSED = "running", "closed"
_MARKS_KEPT = 8


class RecordingState(StrEnum):
    """Whether the session is being recorded."""

    UNKNOWN = "unknown"  # the session has just begun, and a recorder may still start
    NONE = "none"
    RUNNING = "running"
    CLOSED = "closed"  # cleanly, because the stream has ended or somebody has asked for it
    STOPPED = "stopped"  # before the end of the stream; the reason is given
    SILENT = "silent"  # it was running, and has sent no health for 3 s


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """State of the recording.

    ``elapsed_s`` is from its first frame, estimated from the number of frames in its first health message.
    ``recorded_bytes``, ``free_bytes`` and ``missed`` (messages that never reached it) are from its last health message.
    ``reason`` is set when it stopped or is silent.
    """

    state: RecordingState = RecordingState.UNKNOWN
    reason: str = ""
    elapsed_s: float | None = None
    recorded_bytes: int | None = None
    free_bytes: int | None = None
    missed: int = 0


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """A mark that the stream has published; ``t_ms`` is the monotonic time of the request, ``track_id`` the nodule that
    it is about, -1 where it is about none."""

    frame_id: int
    kind: str
    t_ms: float
    track_id: int = -1


class Marks(msgspec.Struct, frozen=True, kw_only=True):
    """Marks of this session since this panel joined it: how many of each kind, and the last few."""

    counts: dict[str, int] = {}
    latest: tuple[Mark, ...] = ()


class Reports:
    """Collects ``health`` and ``mark`` messages of one session.

    Parameters
    ----------
    clock : for the age of health messages
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._session_id = ""
        self._since_ns = clock.now_ns()
        self._health: dict[str, tuple[HealthBody, int]] = {}
        self._recorded_frames = 0
        self._recording_since_ns: int | None = None
        self._counts: Counter[str] = Counter()
        self._latest: deque[Mark] = deque(maxlen=_MARKS_KEPT)

    def enter_session(self, session_id: str) -> bool:
        """Reset for a new session; False, and nothing changes, where it is the present one."""
        if session_id == self._session_id:
            return False
        self._session_id, self._since_ns = session_id, self._clock.now_ns()
        self._health.clear()
        self._recorded_frames, self._recording_since_ns = 0, None
        self._counts.clear()
        self._latest.clear()
        return True

    def add_health(self, body: HealthBody, rate_hz: float | None) -> None:
        """Take a health message.

        Parameters
        ----------
        body : of the message
        rate_hz : of the stream, None where it is not known
        """
        if body.process not in PROCESSES:
            return
        now_ns = self._clock.now_ns()
        self._health[body.process] = body, now_ns
        if body.process == "record" and body.recording == _RUNNING:
            if self._recording_since_ns is None or body.frames < self._recorded_frames:  # another recorder
                self._recording_since_ns = now_ns - int(body.frames / (rate_hz or 30.0) * 1e9)
            self._recorded_frames = body.frames

    def add_mark(self, body: MarkBody) -> None:
        """Take a mark that the stream has published."""
        if body.session_id == self._session_id:
            self._counts[body.kind.value] += 1
            mark = Mark(frame_id=body.frame_id, kind=body.kind.value, t_ms=body.t_mark_ns / 1e6, track_id=body.track_id)
            self._latest.append(mark)

    def health(self, process: str) -> HealthBody | None:
        """The last health message of a process; None when there was none in this session."""
        last = self._health.get(process)
        return None if last is None else last[0]

    def ages_s(self) -> dict[str, float]:
        """Process → age of its last health message, s."""
        now_ns = self._clock.now_ns()
        return {process: (now_ns - came_ns) / 1e9 for process, (_, came_ns) in self._health.items()}

    def marks(self) -> Marks:
        """The marks so far."""
        return Marks(counts=dict(self._counts), latest=tuple(self._latest))

    def recording(self, session: SessionBody | None) -> Recording:
        """State of the recording now.

        Parameters
        ----------
        session : the last ``session`` message, None when none has come
        """
        now_ns = self._clock.now_ns()
        is_over = session is not None and session.state is not SessionState.RUNNING
        last = self._health.get("record")
        if last is None:
            waits = not is_over and now_ns - self._since_ns < _ARRIVAL_NS
            return Recording(state=RecordingState.UNKNOWN if waits else RecordingState.NONE)
        body, came_ns = last
        state, reason = RecordingState.STOPPED, body.recording
        if body.recording in ("", _CLOSED):
            state, reason = (RecordingState.CLOSED if body.recording else RecordingState.NONE), ""
        elif body.recording == _RUNNING:
            state, reason = RecordingState.RUNNING, ""
            if now_ns - came_ns > _SILENT_NS:
                if is_over:
                    return Recording(state=RecordingState.NONE)
                state, reason = (
                    RecordingState.SILENT,
                    f"no health message for {(now_ns - came_ns) / 1e9:.0f} s",
                )
        elapsed_s = None
        if self._recording_since_ns is not None:
            until_ns = now_ns if state is RecordingState.RUNNING else came_ns
            elapsed_s = round(max(0, until_ns - self._recording_since_ns) / 1e9, 1)
        return Recording(
            state=state,
            reason=reason,
            elapsed_s=elapsed_s,
            recorded_bytes=body.recorded_bytes,
            free_bytes=body.free_bytes,
            missed=body.dropped,
        )
