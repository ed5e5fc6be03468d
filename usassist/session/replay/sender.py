"""Publishes the messages of a recorded session at the recorded pace, or faster or slower."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from usassist.bus import ControlBody, ControlState, EngineBody, MarkBody, MarkKind, Publisher, SessionBody, SessionState
from usassist.common.clock import Clock
from usassist.config import OpenIgtLinkConfig, OverlayConfig, PanelConfig
from usassist.errors import SessionError, UsageError
from usassist.records import Frame, Result
from usassist.session import RecordedSession
from usassist.session.replay.messages import Item, Shift, Span, read_items
from usassist.sources.session import RECORDED_SCALE

__all__ = ["RecordedMessages", "Replayed", "SessionReplayOptions"]

_ANNOUNCE_NS = 1_000_000_000
_RECORDED = "this is a recording, sent again as it was; nothing of it can be changed"
_PAUSE_NS = 33_333_333  # between two rounds


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionReplayOptions:
    """How a recorded session is replayed.

    Attributes
    ----------
    folder : of the session
    bus : where it is published; empty = sockets that are private to this run
    fast : as fast as the video is written, instead of at the recorded pace
    speed : 1 = as recorded, 2 = twice as fast
    span : the part to send
    repeat : start again at the end, until stopped
    overlay_video : file to write, or None
    page : where the page listens, or None
    window : show the overlay in a window; None = do not
    openigtlink : send images and outlines to OpenIGTLink clients; None = do not
    """

    folder: Path
    bus: str = ""
    fast: bool = False
    speed: float = 1.0
    span: Span = field(default_factory=Span)
    repeat: bool = False
    overlay_video: Path | None = None
    page: PanelConfig | None = None
    window: OverlayConfig | None = None
    openigtlink: OpenIgtLinkConfig | None = None

    def __post_init__(self) -> None:
        """Check that there is a viewer, and that the options agree."""
        if not (self.bus or self.overlay_video or self.page or self.window or self.openigtlink):
            raise UsageError(
                "there is no viewer for the recording; give --window, --page, --overlay-video, --openigtlink or --bus"
            )
        if not 0.01 <= self.speed <= 100.0:
            raise UsageError(f"--speed must lie in 0.01 to 100, got {self.speed:g}")
        if self.fast and self.speed != 1.0:
            raise UsageError("--fast keeps no time at all; leave out --speed")
        if self.span.from_s < 0.0 or (self.span.to_s is not None and self.span.to_s <= self.span.from_s):
            raise UsageError(f"--to must lie after --from, and both must not be negative, got {self.span}")
        if self.repeat and self.overlay_video is not None:
            raise UsageError("a video that repeats never ends; leave out --repeat or --overlay-video")


@dataclass(slots=True, kw_only=True)
class Replayed:
    """What was sent.

    Attributes
    ----------
    session_id : of the recording
    frames, results, marks : sent
    rounds : how many times its end was reached
    problems : what could not be sent, and why
    video : what was written, None where that was not asked for
    interrupted : it was stopped
    """

    session_id: str
    frames: int = 0
    results: int = 0
    marks: int = 0
    rounds: int = 0
    problems: list[str] = field(default_factory=list)
    video: str | None = None
    interrupted: bool = False


class RecordedMessages:
    """Publishes the messages of one session.

    Parameters
    ----------
    session : opened
    options : what is sent, and how fast
    publisher : bound
    clock : paces, and stamps what is published
    viewers_gone : True when no viewer is left; polled
    """

    def __init__(
        self,
        session: RecordedSession,
        options: SessionReplayOptions,
        publisher: Publisher,
        clock: Clock,
        viewers_gone: Callable[[], bool] = lambda: False,
    ) -> None:
        self._session, self._options, self._publisher, self._clock = session, options, publisher, clock
        self._viewers_gone = viewers_gone
        self._engine: EngineBody | None = None
        self._told: SessionBody | None = None
        self._ended: SessionBody | None = None
        self._last_frame_id = -1
        self._next_announcement_ns = 0
        manifest = session.manifest
        described = manifest.source.get("description", "unknown source")
        self._source = f"recording of {manifest.created_utc[:19] or 'unknown time'}: {described}"
        self.sent = Replayed(session_id=manifest.session_id)

    def run(self, stop: threading.Event) -> Replayed:
        """Send everything, and the final session message.

        Raises
        ------
        SessionError
            If the session has no messages, or none in the part that was asked for.
        BusError
            If a writer of video takes nothing.
        """
        self._next_announcement_ns = self._clock.now_ns() + _ANNOUNCE_NS
        while not stop.is_set() and not self._viewers_gone():
            if not self._one_round(stop):
                raise SessionError("the session has no message in that part; give another --from and --to")
            self.sent.rounds += not stop.is_set()
            if not self._options.repeat:
                break
            self._wait_until(self._clock.now_ns() + _PAUSE_NS, stop)
        self.sent.interrupted = stop.is_set()
        self._publish_end(stop)
        return self.sent

    def _one_round(self, stop: threading.Event) -> int:
        """Send the part once; returns how many messages were sent."""
        options, count, due_ns = self._options, 0, 0
        t_first_ns = t_begin_ns = 0
        shift: Shift | None = None
        problems: list[str] = []
        for item in read_items(self._session, options.span, problems):
            if shift is None:
                t_first_ns, t_begin_ns = item.t_ns, self._clock.now_ns()
                shift = self._shift(t_begin_ns - t_first_ns)
            due_ns = max(due_ns, t_begin_ns + round((item.t_ns - t_first_ns) / options.speed))
            if not options.fast:
                self._wait_until(due_ns, stop)
            if stop.is_set() or self._viewers_gone():
                break
            self._send(item, shift)
            self._announce()
            count += 1
        if not self.sent.rounds:
            self.sent.problems += problems
        return count or int(stop.is_set())

    def _shift(self, shift_ns: int) -> Shift:
        options = self._options
        inside = [
            line for line in self._session.frames if options.span.holds(line.t_capture_ns, self._t_first_capture_ns)
        ]
        return Shift(
            shift_ns=shift_ns,
            id_offset=self.sent.rounds * (self._session.frames[-1].frame_id + 1),
            source=self._source,
            keeps_time=not options.fast and options.speed == 1.0,
            frame_count=None if options.repeat else len(inside),
        )

    @property
    def _t_first_capture_ns(self) -> int:
        return self._session.frames[0].t_capture_ns

    def _send(self, item: Item, shift: Shift) -> None:
        content = item.content
        if isinstance(content, Frame):
            frame = shift.frame(content)
            self._publisher.frame(frame)
            self._last_frame_id = frame.frame_id
            self.sent.frames += 1
        elif isinstance(content, Result):
            self._publisher.result(shift.result(content))
            self.sent.results += 1
        elif isinstance(content, MarkBody):
            self._publisher.event("mark", shift.mark(content))
            self.sent.marks += 1
        elif isinstance(content, ControlBody):
            self._publisher.event("control", shift.control(content))
        elif isinstance(content, SessionBody):
            self._ended = content
            self._told = shift.session(content, self._last_frame_id)
            self._publisher.event("session", self._told)
        elif isinstance(content, EngineBody):
            self._engine = content
            self._publisher.event("engine", content)
        else:
            self._publisher.event(item.topic, content)

    def _refuse_requests(self) -> None:
        """Say why no scale can be set and nothing changed, where a page asks for it; other marks are not taken."""
        posted = [body for _, body in self._publisher.received()]
        for request in (body for body in posted if isinstance(body, ControlBody)):
            refused = msgspec.structs.replace(request, state=ControlState.REFUSED, reason=_RECORDED)
            self._publisher.event("control", refused)
        asked = [body for body in posted if isinstance(body, MarkBody)]
        if self._told is not None and any(body.kind is MarkKind.SCALE for body in asked):
            self._told = msgspec.structs.replace(self._told, scale_note=f"the scale was not set: {RECORDED_SCALE}")
            self._publisher.event("session", self._told)

    def _announce(self) -> None:
        """Repeat ``engine`` and ``session`` once a second for late joiners, whatever the speed of the replay."""
        self._refuse_requests()
        now_ns = self._clock.now_ns()
        if now_ns < self._next_announcement_ns:
            return
        self._next_announcement_ns = now_ns + _ANNOUNCE_NS
        if self._engine is not None:
            self._publisher.event("engine", self._engine)
        if self._told is not None:
            self._told = msgspec.structs.replace(self._told, last_frame_id=self._last_frame_id)
            self._publisher.event("session", self._told)

    def _wait_until(self, due_ns: int, stop: threading.Event) -> None:
        while (left_ns := due_ns - self._clock.now_ns()) > 0 and not self._viewers_gone():
            if stop.wait(min(left_ns, _ANNOUNCE_NS // 4) / 1e9):
                return
            self._announce()

    def _publish_end(self, stop: threading.Event) -> None:
        """Publish the final session message: as in the recording, where that has an end and was played to it."""
        if self._told is None:
            return
        state, reason = SessionState.ENDED, ""
        if stop.is_set():
            state, reason = SessionState.INTERRUPTED, "the replay was stopped"
        elif self._ended is not None and self._ended.state is not SessionState.RUNNING:
            state, reason = self._ended.state, self._ended.reason
        self._publisher.event(
            "session",
            msgspec.structs.replace(self._told, state=state, reason=reason, last_frame_id=self._last_frame_id),
        )
