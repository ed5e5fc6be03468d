"""The loop of the OpenIGTLink sink: from the bus to the clients."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from usassist.bus import EngineBody, Message, SessionBody, Subscriber, frame_from, result_from
from usassist.common.clock import Clock, MonotonicClock
from usassist.common.heartbeat import Heartbeat
from usassist.config import OpenIgtLinkConfig
from usassist.records import Frame, ResultState, Segmentation
from usassist.sinks.frame_result_join import FrameWithResult, NewestFrameJoin
from usassist.sinks.openigtlink.bundle import Bundle, frame_parts, not_answered, outline_part, text_parts
from usassist.sinks.openigtlink.server import Server
from usassist.sinks.openigtlink.texts import result_text, silence_text, status_of
from usassist.sinks.view import View, view_of_frame, view_of_silence

__all__ = ["BundleMaker", "serve_openigtlink"]

TOPICS = ("frame", "result", "engine", "session")
_POLL_MS = 8
_REPEAT_NS = 1_000_000_000  # of a silence, for clients that connect meanwhile


def serve_openigtlink(
    address: str,
    config: OpenIgtLinkConfig,
    stop: threading.Event,
    heartbeat: Heartbeat | None = None,
    *,
    on_ready: Callable[[int], None] = lambda port: None,
) -> None:
    """Serve a stream to OpenIGTLink clients until `stop`.

    Parameters
    ----------
    address : of the stream's bus
    config : where to listen
    stop : set it to end
    heartbeat : beats with every iteration of the loop
    on_ready : called with the port, once clients can connect

    Raises
    ------
    UsageError
        If it cannot listen there.
    BusError
        If the bus cannot be used.
    """
    with Server(config) as server, Subscriber(address, TOPICS) as subscriber:
        subscriber.heartbeat = heartbeat or subscriber.heartbeat
        maker = BundleMaker(MonotonicClock())
        on_ready(server.port)
        while not stop.is_set():
            for message in subscriber.events(_POLL_MS):
                maker.take(message)
            bundle = maker.make(wanted=server.clients > 0)
            if bundle is not None:
                server.publish(bundle)


class BundleMaker:
    """Takes messages of the bus, and makes a bundle of each frame that meets its result, and of a silence.

    Parameters
    ----------
    clock : of the stream's time stamps
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since_1970_ns = time.time_ns() - clock.now_ns()
        self._join = NewestFrameJoin(clock)
        self._engine: EngineBody | None = None
        self._session: SessionBody | None = None
        self._frame: Frame | None = None
        self._last_frame_ns: int | None = None
        self._silence: View | None = None
        self._silence_ns = 0

    def take(self, message: Message) -> None:
        """Take one message of :data:`TOPICS`."""
        if message.topic.name == "frame":
            self._join.add_frame(frame_from(message))
            self._last_frame_ns = self._clock.now_ns()
        elif message.topic.name == "result":
            self._join.add_result(result_from(message))
        elif isinstance(message.body, EngineBody):
            self._engine = message.body
        elif isinstance(message.body, SessionBody):
            self._session = message.body

    def make(self, *, wanted: bool = True) -> Bundle | None:
        """What is to be sent now; None where nothing is.

        Parameters
        ----------
        wanted : somebody is there to get it
        """
        now_ns = self._clock.now_ns()
        joined = self._join.take()
        if joined is not None:
            self._frame, self._silence = joined.frame, None
            return self._of_frame(joined, now_ns) if wanted else None
        silent_ms = None if self._last_frame_ns is None else (now_ns - self._last_frame_ns) / 1e6
        view = view_of_silence(self._session, silent_ms)
        if view is None:
            self._silence = None
            return None
        is_told = self._silence is not None and self._silence.word == view.word
        if not wanted or (is_told and now_ns - self._silence_ns < _REPEAT_NS):
            return None
        self._silence, self._silence_ns = view, now_ns
        return self._of_silence(view, now_ns)

    def _of_frame(self, joined: FrameWithResult, now_ns: int) -> Bundle:
        frame, result = joined.frame, joined.result
        view = view_of_frame(result, self._engine, self._session, now_ns, frame.picture)
        drawn: Segmentation | None = None
        if view.state is ResultState.NO_FINDING:
            drawn = Segmentation.empty()
        elif view.draw and result is not None:
            drawn = result.segmentation
        text = result_text(frame, result, view, self._engine)
        parts = frame_parts(frame, drawn, text, status_of(view, frame))
        metadata = {"frame_id": str(frame.frame_id), "session_id": frame.session_id, "state": str(view.state)}
        return Bundle(parts, frame.t_capture_ns + self._since_1970_ns, metadata)

    def _of_silence(self, view: View, now_ns: int) -> Bundle:
        """No image, which would be an old one; the map says that the one that the client has got no answer."""
        frame = self._frame
        parts = [] if frame is None else [outline_part(not_answered(frame.image_hw_px), frame.spacing_rc_mm)]
        session_id = "" if self._session is None else self._session.session_id
        parts += text_parts(silence_text(session_id, view), status_of(view, None))
        metadata = {"session_id": session_id, "state": str(view.state)}
        return Bundle(parts, now_ns + self._since_1970_ns, metadata)
