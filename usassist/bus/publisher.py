"""The sending end: one publisher per stream.

Viewers and archives are served from different sockets, because they want opposite things:

- *view*: the newest. Pixels go out on a conflated socket, so a viewer that does not read holds back one frame and
  nothing else.
- *archive*: everything. In a run that waits for its recorder (``lossless=True``, as ``replay --fast`` does) a full
  queue makes the stream wait; in a live run it makes the recorder miss a message, which it sees from ``seq`` and
  writes down as a gap.
"""

from __future__ import annotations

import os
import socket as sockets
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import zmq

from usassist.bus.address import Service, endpoint
from usassist.bus.codec import encode, encode_frame, encode_result
from usassist.bus.topics import TOPICS, Lane
from usassist.clock import Clock
from usassist.errors import BusError
from usassist.records import Frame, Result

__all__ = ["Publisher"]

_EVENT_QUEUE = 1000
_ARCHIVE_FRAME_BYTES = 48 * 2**20  # of pixels waiting for one archive
_ARCHIVE_TIMEOUT_MS = 30_000


class Publisher:
    """Publishes the messages of one source.

    ``frame`` may be called from one thread and everything else from another: each lane has sockets of its own.

    Parameters
    ----------
    address : see ``bus.address.endpoint``
    source_id : of the frames and results
    clock : stamps ``t_publish_ns``
    lossless : wait for slow archives instead of passing them over
    frame_bytes : size of one frame, from which the archives' queue follows

    Raises
    ------
    BusError
        If the address is in use or cannot be bound.
    """

    def __init__(
        self, address: str, source_id: str, clock: Clock, *, lossless: bool = False, frame_bytes: int = 2**20
    ) -> None:
        self._source_id = source_id
        self._clock = clock
        self._seq = dict.fromkeys(TOPICS, 0)
        self._context: zmq.Context[Any] = zmq.Context()
        self._sockets: dict[tuple[Lane, Service], zmq.Socket[Any]] = {}
        self._locks: dict[Lane, threading.Lock] = {"frame": threading.Lock(), "event": threading.Lock()}
        archive_frames = max(4, _ARCHIVE_FRAME_BYTES // max(1, frame_bytes))
        try:
            self._bind(address, "frame", "view", zmq.PUB, {zmq.CONFLATE: 1})
            self._bind(address, "event", "view", zmq.PUB, {zmq.SNDHWM: _EVENT_QUEUE})
            # VERBOSE: each archive's subscription is told, not only the first of its kind.
            keep = {zmq.XPUB_NODROP: int(lossless), zmq.XPUB_VERBOSE: 1, zmq.SNDTIMEO: _ARCHIVE_TIMEOUT_MS}
            self._bind(address, "frame", "archive", zmq.XPUB, {zmq.SNDHWM: archive_frames, **keep})
            self._bind(address, "event", "archive", zmq.XPUB, {zmq.SNDHWM: _EVENT_QUEUE, **keep})
        except BusError:
            self.close()
            raise

    def _bind(
        self, address: str, lane: Lane, service: Service, kind: int, options: dict[zmq.SocketOption, int]
    ) -> None:
        place = endpoint(address, lane, service)
        if place.startswith("ipc://"):
            _clear_dead_socket(Path(place.removeprefix("ipc://")))
        socket = self._context.socket(kind)
        self._sockets[lane, service] = socket
        socket.set(zmq.LINGER, 0)
        for option, value in options.items():
            socket.set(option, value)
        try:
            socket.bind(place)
        except zmq.ZMQError as error:
            raise BusError(
                f"cannot publish on {place}: {error.strerror.lower()}; another stream may be running, "
                "stop it or give another --bus address"
            ) from error

    def wait_for_archives(self, count: int, timeout_s: float, still_coming: Callable[[], bool]) -> bool:
        """Wait until `count` archives listen on both lanes.

        Parameters
        ----------
        count : how many were started
        timeout_s : longest wait
        still_coming : asked now and then; False ends the wait, because one of them has died

        Returns
        -------
        complete : True when all are there
        """
        # An archive subscribes to `session` last, so whoever has asked for that has asked for everything.
        waiting: dict[Lane, int] = {"frame": count, "event": count}
        marks: dict[Lane, bytes] = {
            "frame": b"\x01" + TOPICS["frame"].subscription,
            "event": b"\x01" + TOPICS["session"].subscription,
        }
        deadline = time.monotonic() + timeout_s
        while any(missing > 0 for missing in waiting.values()):
            if time.monotonic() > deadline or not still_coming():
                return False
            for lane, mark in marks.items():
                socket = self._sockets[lane, "archive"]
                while socket.poll(25 if waiting[lane] > 0 else 0):
                    waiting[lane] -= socket.recv() == mark
        return True

    def frame(self, frame: Frame) -> None:
        """Publish a frame.

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
        """Publish a body without arrays: ``engine``, ``session`` or ``health``."""
        self._send(topic, lambda seq, t_ns: encode(TOPICS[topic], self._source_id, seq, t_ns, body, {}))

    def _send(self, topic: str, make: Callable[[int, int], bytearray]) -> int:
        lane = TOPICS[topic].lane
        with self._locks[lane]:
            seq = self._seq[topic]
            self._seq[topic] = seq + 1
            t_publish_ns = self._clock.now_ns()
            data = make(seq, t_publish_ns)
            self._sockets[lane, "view"].send(data, copy=False)
            archive = self._sockets[lane, "archive"]
            try:
                archive.send(data, copy=False)
            except zmq.Again as error:
                raise BusError(
                    f"a recorder took no {topic} message for {_ARCHIVE_TIMEOUT_MS // 1000} s; "
                    "look whether its process hangs or its disk is stuck"
                ) from error
            return t_publish_ns

    def close(self) -> None:
        """Close all sockets. May be called twice.

        An archive that lags behind loses what is on its way to it, so a stream that must be recorded to its last frame
        closes only when its archives have said that they are done.
        """
        for socket in self._sockets.values():
            socket.close(linger=0)
        self._context.term()


def _clear_dead_socket(path: Path) -> None:
    """Remove the socket file of a stream that is gone; libzmq would silently take over the file of a living one.

    Raises
    ------
    BusError
        If somebody answers on it, or the folder cannot be used.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            return
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise BusError(f"cannot publish on {path}: it is not a socket; remove it or give another --bus address")
        with sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM) as probe:
            probe.settimeout(0.5)
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink(missing_ok=True)
                return
        raise BusError(f"cannot publish on {path}: address in use by another stream; stop it or give another --bus")
    except BusError:
        raise
    except OSError as error:
        raise BusError(
            f"cannot publish on {path}: {error.strerror or error}; give a --bus address that you may write to"
        ) from error
