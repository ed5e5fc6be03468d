"""The receiving end: ``latest()`` for viewers, ``each()`` for archives."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import zmq

from usassist.bus.address import Service, endpoint
from usassist.bus.codec import Message, decode, frame_from, result_from
from usassist.bus.connection import Connections
from usassist.bus.curve import reader_keys
from usassist.bus.remote_clock import RemoteClock
from usassist.bus.topics import TOPICS, Lane
from usassist.common.closeable import Closeable
from usassist.common.heartbeat import Heartbeat
from usassist.errors import BusError, MessageError, SchemaVersionError

__all__ = ["Subscriber"]

logger = logging.getLogger(__name__)

_FRAME_LIMIT_BYTES = 2**28
_EVENT_LIMIT_BYTES = 2**24
_ARCHIVE_FRAMES = 32  # queued in this process: the queue of the stream is short
_STRAYS_LIMIT = 3
_CLOSING_S = 120.0  # allowance for closing files after the last message
_RECORDS: dict[str, Callable[[Message], object]] = {"frame": frame_from, "result": result_from}


class Subscriber(Closeable):
    """Receives the messages of one stream.

    Every way of receiving raises `BusKeyError` when this reader and the peer do not accept each other's keys, and
    `SchemaVersionError` when the stream has another major version; retrying helps in neither case. A single message of
    another version from a stream that was understood is dropped and counted, like any other malformed message.

    Parameters
    ----------
    address : where the stream publishes, see ``bus.address``
    topics : names from the table
    service : ``view`` for the newest, ``archive`` for everything

    A viewer gets all times in this machine's monotonic time, also those of a stream on another machine. An archive gets
    them as the stream stamped them.

    Attributes
    ----------
    gaps : per topic, how many messages never arrived (seen from ``seq``)
    malformed : number of messages that could not be read
    heartbeat : beats whenever messages are polled for

    Raises
    ------
    BusError
        If the address cannot be used.
    BusKeyError
        If it is used with keys, and one of them is missing here.
    """

    def __init__(self, address: str, topics: tuple[str, ...], service: Service = "view") -> None:
        self.gaps: dict[str, int] = dict.fromkeys(topics, 0)
        self.malformed = 0
        self.heartbeat = Heartbeat()
        self._next_seq: dict[tuple[str, str], int] = {}
        self._understood: set[str] = set()
        self._strays: Counter[str] = Counter()
        self._far = RemoteClock() if service == "view" else None
        self._connections = Connections(address, reader_keys(address), None if self._far is None else self._far.restart)
        self._context: zmq.Context[Any] = zmq.Context()
        self._poller = zmq.Poller()
        self._sockets: list[zmq.Socket[Any]] = []
        lanes: dict[Lane, list[str]] = {}
        for name in topics:
            lanes.setdefault(TOPICS[name].lane, []).append(name)
        try:
            for lane, names in lanes.items():
                place = endpoint(address, lane, service)
                socket = self._context.socket(zmq.SUB)
                self._sockets.append(socket)
                socket.set(zmq.LINGER, 0)
                socket.set(zmq.RECONNECT_IVL, 50)
                socket.set(zmq.RECONNECT_IVL_MAX, 500)
                # A message announced as larger than any of ours is refused before memory is allocated for it.
                socket.set(zmq.MAXMSGSIZE, _FRAME_LIMIT_BYTES if lane == "frame" else _EVENT_LIMIT_BYTES)
                if lane == "frame":
                    if service == "view":
                        socket.set(zmq.CONFLATE, 1)
                    else:
                        socket.set(zmq.RCVHWM, _ARCHIVE_FRAMES)
                # `session` last: a publisher that waits for its archives counts the subscriptions to it.
                for name in sorted(names, key="session".__eq__):
                    socket.subscribe(TOPICS[name].subscription)
                self._poller.register(socket, zmq.POLLIN)
                self._poller.register(self._connections.open(socket, place), zmq.POLLIN)
        except zmq.ZMQError as error:
            self.close()
            raise BusError(f"cannot subscribe on {address}: {error.strerror}; correct the --bus address") from error
        except BusError:
            self.close()
            raise

    def latest(self, timeout_ms: int) -> dict[str, Message]:
        """The newest message per topic of everything that has arrived; older ones are skipped without being decoded.

        Parameters
        ----------
        timeout_ms : how long to wait for the first

        Returns
        -------
        newest : topic name → message; empty when nothing came
        """
        newest: dict[str, Message] = {}
        self._wait(timeout_ms)
        for socket in self._sockets:
            raw: dict[bytes, Any] = {}
            for part in self._drain(socket):
                raw[bytes(part.buffer[:16]).split(b"/", 1)[0]] = part
            for part in raw.values():
                message = self._decode(part.buffer, count_gaps=False)
                if message is not None:
                    newest[message.topic.name] = message
        return newest

    def events(self, timeout_ms: int) -> Iterator[Message]:
        """All messages that have arrived, in order within each lane; waits up to `timeout_ms` for the first."""
        self._wait(timeout_ms)
        for socket in self._sockets:
            for part in self._drain(socket):
                message = self._decode(part.buffer, count_gaps=False)
                if message is not None:
                    yield message

    def each(self, timeout_ms: int, stop: Callable[[], bool]) -> Iterator[tuple[bytes | memoryview, Message]]:
        """Every message with its bytes, until `stop()` is true while the queue is empty.

        A gap in ``seq`` is counted in ``gaps`` and logged.

        Parameters
        ----------
        timeout_ms : how often `stop` is polled while nothing comes
        stop : polled after every timeout without a message
        """
        try:
            while True:
                ready = self._wait(timeout_ms)
                if not ready and stop():
                    return
                for socket in ready:
                    part = socket.recv(copy=False)
                    message = self._decode(part.buffer, count_gaps=True)
                    if message is not None:
                        yield part.buffer, message
        finally:
            self.heartbeat.allow(_CLOSING_S)

    def _wait(self, timeout_ms: int) -> list[zmq.Socket[Any]]:
        """The sockets on which a message has arrived; events of connections do not end the wait."""
        self.heartbeat.beat()
        deadline_s = time.monotonic() + timeout_ms / 1e3
        while True:
            left_ms = max(0, round((deadline_s - time.monotonic()) * 1e3))
            readable = [socket for socket, _ in self._poller.poll(left_ms)]
            ready = [socket for socket in readable if socket in self._sockets]
            for monitor in readable:
                if monitor not in ready:
                    self._connections.read(monitor)
            self._connections.reconnect()
            if ready or left_ms == 0:
                return ready

    @staticmethod
    def _drain(socket: zmq.Socket[Any]) -> Iterator[Any]:
        while True:
            try:
                yield socket.recv(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return

    def _decode(self, data: bytes | memoryview, *, count_gaps: bool) -> Message | None:
        try:
            message = decode(data)
            if message.topic.name in _RECORDS:
                _RECORDS[message.topic.name](message)  # cached in the message, so a caller gets it without an error
        except MessageError as error:
            self._drop(error)
            return None
        except SchemaVersionError as error:
            name = bytes(data[:16]).split(b"/", 1)[0].decode("ascii", "replace")
            self._strays[name] += 1
            if name not in self._understood or self._strays[name] >= _STRAYS_LIMIT:
                raise
            self._drop(error)
            return None
        name = message.topic.name
        self._understood.add(name)
        self._strays[name] = 0
        if count_gaps:
            key = (name, message.source_id)
            missing = message.seq - self._next_seq.get(key, message.seq)
            if missing > 0:
                self.gaps[name] = self.gaps.get(name, 0) + missing
                logger.warning("%d %s messages never arrived before seq %d", missing, name, message.seq)
            self._next_seq[key] = message.seq + 1
        return message if self._far is None else self._far.translate(message)

    def _drop(self, error: BusError) -> None:
        self.malformed += 1
        if self.malformed & (self.malformed - 1) == 0:  # the 1st, 2nd, 4th, 8th …: a flood must not fill the log
            logger.warning("message dropped, %d so far: %s", self.malformed, error)

    def close(self) -> None:
        """Close all sockets. May be called twice."""
        for socket in self._sockets:
            socket.close(linger=0)
        self._connections.close()
        self._context.term()
