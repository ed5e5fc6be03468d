"""The receiving end: ``latest()`` for those who show, ``each()`` for those who keep."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import zmq

from usassist.bus.address import Service, endpoint
from usassist.bus.codec import Message, decode
from usassist.bus.topics import TOPICS, Lane
from usassist.closing import Closing
from usassist.errors import BusError, MessageError, SchemaVersionError

__all__ = ["Subscriber"]

logger = logging.getLogger(__name__)


class Subscriber(Closing):
    """Receives the messages of one stream.

    Parameters
    ----------
    address : where the stream publishes, see ``bus.address.endpoint``
    topics : names from the table
    service : ``view`` for the newest, ``archive`` for everything

    Attributes
    ----------
    gaps : per topic, how many messages never arrived (seen from ``seq``)
    malformed : how many blocks of bytes were not messages of ours
    """

    def __init__(self, address: str, topics: tuple[str, ...], service: Service = "view") -> None:
        self.gaps: dict[str, int] = dict.fromkeys(topics, 0)
        self.malformed = 0
        self._next_seq: dict[tuple[str, str], int] = {}
        self._context: zmq.Context[Any] = zmq.Context()
        self._poller = zmq.Poller()
        self._sockets: list[zmq.Socket[Any]] = []
        lanes: dict[Lane, list[str]] = {}
        for name in topics:
            lanes.setdefault(TOPICS[name].lane, []).append(name)
        for lane, names in lanes.items():
            socket = self._context.socket(zmq.SUB)
            socket.set(zmq.LINGER, 0)
            socket.set(zmq.RECONNECT_IVL, 50)
            socket.set(zmq.RECONNECT_IVL_MAX, 500)
            if lane == "frame":
                if service == "view":
                    socket.set(zmq.CONFLATE, 1)
                else:
                    socket.set(zmq.RCVHWM, 4)
            # `session` last: a publisher that waits for its archives counts the subscriptions to it.
            for name in sorted(names, key="session".__eq__):
                socket.subscribe(TOPICS[name].subscription)
            try:
                socket.connect(endpoint(address, lane, service))
            except zmq.ZMQError as error:
                raise BusError(f"cannot listen on {address}: {error.strerror}; correct the --bus address") from error
            self._sockets.append(socket)
            self._poller.register(socket, zmq.POLLIN)

    def latest(self, timeout_ms: int) -> dict[str, Message]:
        """What is newest, per topic, of everything that has arrived; messages passed over are not decoded.

        Parameters
        ----------
        timeout_ms : how long to wait for the first

        Returns
        -------
        newest : topic name → message; empty when nothing came
        """
        newest: dict[str, Message] = {}
        self._poller.poll(timeout_ms)
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
        self._poller.poll(timeout_ms)
        for socket in self._sockets:
            for part in self._drain(socket):
                message = self._decode(part.buffer, count_gaps=False)
                if message is not None:
                    yield message

    def each(self, timeout_ms: int, stop: Callable[[], bool]) -> Iterator[tuple[bytes | memoryview, Message]]:
        """Every message with its bytes, until `stop()` says so while nothing is waiting.

        A gap in ``seq`` is counted in ``gaps`` and logged.

        Parameters
        ----------
        timeout_ms : how often `stop` is asked while nothing comes
        stop : asked after every wait without a message
        """
        while True:
            ready = self._poller.poll(timeout_ms)
            if not ready and stop():
                return
            for socket, _ in ready:
                part = socket.recv(copy=False)
                message = self._decode(part.buffer, count_gaps=True)
                if message is not None:
                    yield part.buffer, message

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
        except SchemaVersionError:
            raise
        except MessageError as error:
            self.malformed += 1
            logger.warning("message passed over: %s", error)
            return None
        if count_gaps:
            key = (message.topic.name, message.source_id)
            missing = message.seq - self._next_seq.get(key, message.seq)
            if missing > 0:
                self.gaps[message.topic.name] += missing
                logger.warning("%d %s messages never arrived before seq %d", missing, message.topic.name, message.seq)
            self._next_seq[key] = message.seq + 1
        return message

    def close(self) -> None:
        """Close all sockets. May be called twice."""
        for socket in self._sockets:
            socket.close(linger=0)
        self._context.term()
