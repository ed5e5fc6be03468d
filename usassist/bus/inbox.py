"""The stream's inbox: other processes send it messages to publish, which are marks, requests to change the
session, and their own health.

There is one publisher and one order: a mark made in a viewer reaches every reader as a message of the stream, with the
stream's ``seq`` and time. The inbox accepts no other topic, no health message in the name of the stream, no outcome
of a request, and a limited number of messages per round: a process that floods it delays only its own messages, and
no frame.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from typing import Any

import msgspec
import zmq

from usassist.bus.address import inbox_endpoint
from usassist.bus.codec import decode, encode
from usassist.bus.control import ControlBody, ControlState
from usassist.bus.curve import reader_keys
from usassist.bus.topics import TOPICS
from usassist.common.clock import MonotonicClock
from usassist.common.closeable import Closeable
from usassist.errors import BusError, MessageError, SchemaVersionError

__all__ = ["INBOX_TOPICS", "Inbox", "InboxReader"]

logger = logging.getLogger(__name__)

INBOX_TOPICS = ("mark", "control", "health")
"""Topics that the inbox accepts."""

_QUEUE = 64
_PER_ROUND = 32
_LIMIT_BYTES = 16384  # a quarter of the longest header, so that what is accepted can also be published
_LINGER_MS = 200
_STREAM = "stream"


class Inbox(Closeable):
    """Sends messages to the inbox of a stream. May be used from several threads.

    Parameters
    ----------
    address : of the stream, see ``bus.address.endpoint``

    Raises
    ------
    BusError
        If the address cannot be used.
    BusKeyError
        If it is used with keys, and one of them is missing here.
    """

    def __init__(self, address: str) -> None:
        self._clock = MonotonicClock()
        self._seq = 0
        self._lock = threading.Lock()
        place, keys = inbox_endpoint(address), reader_keys(address)
        self._context: zmq.Context[Any] = zmq.Context()
        self._socket = self._context.socket(zmq.PUSH)
        self._socket.set(zmq.LINGER, _LINGER_MS)
        self._socket.set(zmq.SNDHWM, _QUEUE)
        self._socket.set(zmq.IMMEDIATE, 1)  # nothing is queued for a stream that is not there
        self._socket.set(zmq.RECONNECT_IVL, 50)
        self._socket.set(zmq.RECONNECT_IVL_MAX, 500)
        if keys is not None:
            keys.apply(self._socket)
        try:
            self._socket.connect(place)
        except zmq.ZMQError as error:
            self.close()
            raise BusError(f"cannot reach {place}: {error.strerror.lower()}; correct the --bus address") from error

    def send(self, topic: str, body: msgspec.Struct) -> bool:
        """Send one message; never blocks.

        Parameters
        ----------
        topic : ``mark``, ``control`` or ``health``
        body : its struct of ``bus.topics``

        Returns
        -------
        sent : False when no stream accepts it now; it is dropped then

        Raises
        ------
        MessageError
            If the topic is another one, or the body is longer than 16 KiB.
        """
        if topic not in INBOX_TOPICS:
            raise MessageError(f"{topic} is published by the stream alone; send {' or '.join(INBOX_TOPICS)}")
        with self._lock:
            data = encode(TOPICS[topic], "desk", self._seq, self._clock.now_ns(), body, {})
            if len(data) > _LIMIT_BYTES:
                raise MessageError(f"a {topic} of {len(data)} bytes is too long for the inbox; shorten its texts")
            try:
                self._socket.send(data, zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return False
            self._seq += 1
            return True

    def close(self) -> None:
        """Close the socket, after up to 0.2 s for what is still queued. May be called twice."""
        with self._lock:
            self._socket.close()
            self._context.term()


class InboxReader:
    """The stream's end of the inbox.

    Parameters
    ----------
    socket : of kind PULL, not yet bound

    Attributes
    ----------
    malformed : number of messages that were refused
    """

    def __init__(self, socket: zmq.Socket[Any]) -> None:
        self._socket = socket
        self.malformed = 0
        socket.set(zmq.RCVHWM, _QUEUE)
        socket.set(zmq.MAXMSGSIZE, _LIMIT_BYTES)

    def take(self) -> Iterator[tuple[str, msgspec.Struct]]:
        """Topic and body of what has been received, at most 32 per call; never blocks."""
        for _ in range(_PER_ROUND):
            try:
                data = self._socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                return
            try:
                message = decode(data)
                if message.topic.name not in INBOX_TOPICS:
                    raise MessageError(f"{message.topic.name} cannot be sent to the inbox")
                if getattr(message.body, "process", "") == _STREAM:
                    raise MessageError("health of the stream cannot be sent to the inbox")
                if isinstance(message.body, ControlBody) and message.body.state is not ControlState.ASKED:
                    raise MessageError(f"a request that is {message.body.state} cannot be sent to the inbox")
                if message.buffers:
                    raise MessageError("arrays cannot be sent to the inbox")
            except (MessageError, SchemaVersionError) as error:
                self.malformed += 1
                if self.malformed == 1:  # once: a flood must not fill the log
                    logger.warning("message to the inbox refused; further ones are not logged: %s", error)
                continue
            yield message.topic.name, message.body
