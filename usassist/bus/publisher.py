"""The sending end: one publisher per stream.

Viewers and archives are served from different sockets, because their needs are opposite:

- *view*: the newest. Pixels go out on a conflated socket, so a viewer that does not read holds one frame in memory and
  nothing else.
- *archive*: everything. In a lossless run (``lossless=True``, as ``replay --fast``) a full queue applies back-pressure
  to the stream; in a live run the message is dropped for that recorder, which sees the gap in ``seq`` and records it.

Results, archives' frames and viewers' frames are sent by three I/O threads of ZeroMQ, so that viewers with a high
throughput of pixels delay neither a result nor a recording. In a live run nothing here waits for a reader.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import zmq

from usassist.bus.address import endpoint, inbox_endpoint, uses_keys
from usassist.bus.codec import encode, encode_frame, encode_result
from usassist.bus.curve import Authenticator
from usassist.bus.inbox import InboxReader
from usassist.bus.publisher_sockets import ArchiveSocket, FrameViewers, bind
from usassist.bus.topics import TOPICS, Lane
from usassist.common.clock import Clock
from usassist.errors import BusError
from usassist.records import Frame, Result

__all__ = ["Publisher"]

_VIEW_EVENT_QUEUE = 256
_EVENT_BYTES = 4096
_ARCHIVE_TIMEOUT_MS = 30_000
_ARCHIVE_TRY_MS = 100  # timeout of one attempt, so that close() is noticed in between
_EVENT_THREAD, _ARCHIVE_THREAD, _VIEW_THREAD = 0b001, 0b010, 0b100


class Publisher:
    """Publishes the messages of one source.

    ``frame`` may be called from one thread and everything else from another: each lane has its own sockets. It may be
    closed while other threads publish; what is published after that is discarded.

    Parameters
    ----------
    address : see ``bus.address``
    source_id : of the frames and results
    clock : stamps ``t_publish_ns``
    lossless : wait for slow archives instead of dropping messages for them
    frame_bytes : size of one frame, which sets the length of the archives' queue

    Raises
    ------
    BusError
        If the address is in use or cannot be bound.
    BusKeyError
        If the address needs keys, and there is no key of the stream.
    """

    def __init__(
        self, address: str, source_id: str, clock: Clock, *, lossless: bool = False, frame_bytes: int = 2**20
    ) -> None:
        self._source_id = source_id
        self._clock = clock
        self._lossless = lossless
        self._seq = dict.fromkeys(TOPICS, 0)
        self._locks: dict[Lane, threading.Lock] = {"frame": threading.Lock(), "event": threading.Lock()}
        self._closed = False
        guarded = uses_keys(address)
        self._context: zmq.Context[Any] = zmq.Context(io_threads=3)
        self._sockets: list[zmq.Socket[Any]] = []
        self._authenticator: Authenticator | None = None
        self._frame_viewers: FrameViewers | None = None
        try:
            if guarded:
                self._authenticator = Authenticator(self._context, address)
            frames, events = self._socket(zmq.PUB, _VIEW_THREAD), self._socket(zmq.PUB, _EVENT_THREAD)
            frames.set(zmq.CONFLATE, 1)
            events.set(zmq.SNDHWM, _VIEW_EVENT_QUEUE)
            self._views: dict[Lane, zmq.Socket[Any]] = {"frame": frames, "event": events}
            self._frame_viewers = FrameViewers(frames)
            # An archive subscribes to `session` last: once that has arrived, so have its other subscriptions.
            marks: dict[Lane, bytes] = {"frame": TOPICS["frame"].subscription, "event": TOPICS["session"].subscription}
            archives: dict[Lane, zmq.Socket[Any]] = {
                "frame": self._socket(zmq.XPUB, _ARCHIVE_THREAD),
                "event": self._socket(zmq.XPUB, _EVENT_THREAD),
            }
            self._archives: dict[Lane, ArchiveSocket] = {
                lane: ArchiveSocket(
                    socket,
                    marks[lane],
                    lossless=lossless,
                    timeout_ms=_ARCHIVE_TRY_MS,
                    message_bytes=frame_bytes if lane == "frame" else _EVENT_BYTES,
                )
                for lane, socket in archives.items()
            }
            inbox = self._socket(zmq.PULL, _EVENT_THREAD)
            self._post = InboxReader(inbox)
            lanes: tuple[Lane, ...] = ("frame", "event")
            for lane in lanes:
                bind(self._views[lane], endpoint(address, lane, "view"))
                bind(archives[lane], endpoint(address, lane, "archive"), patient=lossless)
            bind(inbox, inbox_endpoint(address))
        except BusError:
            self.close()
            raise

    def _socket(self, kind: int, thread: int) -> zmq.Socket[Any]:
        socket: zmq.Socket[Any] = self._context.socket(kind)
        self._sockets.append(socket)
        socket.set(zmq.AFFINITY, thread)
        if self._authenticator is not None:
            self._authenticator.guard(socket)
        return socket

    @property
    def malformed(self) -> int:
        """Number of messages to the inbox that were refused."""
        return self._post.malformed

    def wait_for_archives(
        self, count: int, timeout_s: float, still_coming: Callable[[], bool], *, of_pixels: int | None = None
    ) -> bool:
        """Wait until `count` archives have subscribed on both lanes.

        Parameters
        ----------
        count : how many were started
        timeout_s : longest wait
        still_coming : polled during the wait; False ends it, because one of them has died
        of_pixels : how many of them take frames; None = all

        Returns
        -------
        complete : True when all are there
        """
        deadline = time.monotonic() + timeout_s
        for lane, archive in self._archives.items():
            while True:
                with self._locks[lane]:
                    if self._closed:
                        return False
                    if archive.poll(25) >= (count if lane == "event" or of_pixels is None else of_pixels):
                        break
                if time.monotonic() > deadline or not still_coming():
                    return False
        return True

    def frame(self, frame: Frame) -> None:
        """Publish a frame. Without a subscriber no message is encoded, only ``seq`` is advanced.

        Raises
        ------
        BusError
            If ``lossless`` and an archive takes nothing for 30 s.
        """
        self._send("frame", lambda seq, t_ns: encode_frame(frame, seq, t_ns))

    def result(self, result: Result) -> int:
        """Publish a result.

        Returns
        -------
        t_publish_ns : the stamp it went out with

        Raises
        ------
        BusError
            If ``lossless`` and an archive takes nothing for 30 s.
        """
        return self._send("result", lambda seq, t_ns: encode_result(result, seq, t_ns))

    def event(self, topic: str, body: msgspec.Struct) -> None:
        """Publish a body without arrays: ``engine``, ``session``, ``health``, ``mark`` or ``control``."""
        self._send(topic, lambda seq, t_ns: encode(TOPICS[topic], self._source_id, seq, t_ns, body, {}))

    def received(self) -> Iterator[tuple[str, msgspec.Struct]]:
        """What the inbox has received since the last call: topic and body, to be published with :meth:`event`.

        Never blocks, and yields a limited number per call. Call it from one thread only.
        """
        with self._locks["event"]:
            return iter(()) if self._closed else iter(list(self._post.take()))

    def _send(self, topic: str, make: Callable[[int, int], bytearray]) -> int:
        lane = TOPICS[topic].lane
        with self._locks[lane]:
            seq = self._seq[topic]
            self._seq[topic] = seq + 1
            t_publish_ns = self._clock.now_ns()
            if self._closed:
                return t_publish_ns
            archive = self._archives[lane]
            archive.poll()
            viewed = lane == "event" or self._frame_viewers is None or self._frame_viewers.any()
            if not viewed and not archive.has_subscribers:
                return t_publish_ns
            data = make(seq, t_publish_ns)
            self._views[lane].send(data, zmq.NOBLOCK, copy=False)
            self._send_to_archives(archive, data, topic)
            return t_publish_ns

    def _send_to_archives(self, archive: ArchiveSocket, data: bytearray, topic: str) -> None:
        deadline_s = time.monotonic() + _ARCHIVE_TIMEOUT_MS / 1e3
        while not self._closed:
            try:
                archive.send(data)
                return
            except zmq.Again as error:
                if time.monotonic() >= deadline_s:
                    raise BusError(
                        f"a recorder took no {topic} message for {_ARCHIVE_TIMEOUT_MS // 1000} s; "
                        "check whether its process hangs or its disk is stuck"
                    ) from error

    def close(self) -> None:
        """Close all sockets. May be called twice, and while other threads publish: it waits for their call to return.

        An archive with a backlog loses what is still queued for it, so a stream that must be recorded to its last frame
        closes only after its archives have finished.
        """
        self._closed = True  # first, so that a thread that waits for an archive returns
        with self._locks["frame"], self._locks["event"]:
            self._close_sockets()

    def _close_sockets(self) -> None:
        for socket in self._sockets:
            socket.close(linger=0)
        if self._frame_viewers is not None:
            self._frame_viewers.close()
        self._context.term()
        if self._authenticator is not None:
            self._authenticator.join()
