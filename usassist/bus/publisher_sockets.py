"""The sockets that a publisher sends through, and the high-water marks that bound their queues.

A reader whose process is stopped takes nothing more out of the kernel's buffer. The publisher then holds one message
that is partly sent, and a queue. The high-water mark of each kind of socket is set so that ten readers that were
stopped at different times, each with other messages in its queue, cost less than 64 MiB together.
"""

from __future__ import annotations

import os
import socket as sockets
import stat
from pathlib import Path
from typing import Any

import zmq
from zmq.utils.monitor import recv_monitor_message

from usassist.errors import BusError

__all__ = ["ArchiveSocket", "FrameViewers", "bind"]

_ARCHIVE_BYTES = 4 * 2**20  # that wait for one archive; it takes more into its own memory
_SHORTEST_QUEUE = 1
_LONGEST_QUEUE = 256
_SUBSCRIPTION_LIMIT_BYTES = 1024
_HEARTBEAT_MS, _HEARTBEAT_LIMIT_MS = 3_000, 10_000
_CONNECTIONS = zmq.Event.ACCEPTED | zmq.Event.DISCONNECTED | zmq.Event.CLOSED


def bind(socket: zmq.Socket[Any], place: str, *, patient: bool = False) -> None:
    """Bind one of the sockets of a stream.

    Parameters
    ----------
    socket : with its options set
    place : ZeroMQ endpoint
    patient : keep a reader on another machine that has not answered a heartbeat for 10 s

    Raises
    ------
    BusError
        If the place is in use or cannot be bound.
    """
    if place.startswith("ipc://"):
        path = place.removeprefix("ipc://")
        most_bytes = zmq.IPC_PATH_MAX_LEN
        if len(os.fsencode(path)) > most_bytes:
            raise BusError(
                f"cannot publish on {place}: the path of a socket has at most {most_bytes} bytes; let XDG_RUNTIME_DIR "
                "name a folder with a shorter path, or give another --bus address"
            )
        _clear_dead_socket(Path(path))
    elif not patient:  # else TCP retries to a machine that was switched off for a quarter of an hour
        socket.set(zmq.HEARTBEAT_IVL, _HEARTBEAT_MS)
        socket.set(zmq.HEARTBEAT_TIMEOUT, _HEARTBEAT_LIMIT_MS)
    socket.set(zmq.LINGER, 0)
    if socket.type != zmq.PULL:
        socket.set(zmq.MAXMSGSIZE, _SUBSCRIPTION_LIMIT_BYTES)
    try:
        socket.bind(place)
    except zmq.ZMQError as error:
        raise BusError(
            f"cannot publish on {place}: {error.strerror.lower()}; another stream may be running, "
            "stop it or give another --bus address"
        ) from error


class FrameViewers:
    """Counts the connections to a PUB socket, which does not report its subscriptions.

    Parameters
    ----------
    socket : not yet bound
    """

    def __init__(self, socket: zmq.Socket[Any]) -> None:
        self._connected: set[int] = set()
        self._socket = socket
        self._monitor: zmq.Socket[Any] = socket.get_monitor_socket(_CONNECTIONS)
        self._monitor.set(zmq.RCVHWM, 0)  # no event may be dropped

    def any(self) -> bool:
        """True when a peer is connected, whether or not its handshake succeeds."""
        while _is_readable(self._monitor):
            event = recv_monitor_message(self._monitor)
            change = self._connected.add if event["event"] == zmq.Event.ACCEPTED else self._connected.discard
            change(event["value"])
        return bool(self._connected)

    def close(self) -> None:
        """Close the monitor, after the socket."""
        self._monitor.close(linger=0)


class ArchiveSocket:
    """One lane for archives; counts its subscribers.

    The high-water mark is set before the socket is bound. A connection whose mark is lowered later stalls in libzmq:
    its other end acknowledges messages in steps that follow from the mark at the time of the connection.

    Parameters
    ----------
    socket : of kind XPUB, not yet bound
    mark : the subscription by which archives are counted
    lossless : a full queue makes ``send`` block
    timeout_ms : of ``send``
    message_bytes : size of a message, from which the high-water mark follows
    """

    def __init__(
        self, socket: zmq.Socket[Any], mark: bytes, *, lossless: bool, timeout_ms: int, message_bytes: int
    ) -> None:
        self._socket = socket
        self._mark = mark
        self._flags = 0 if lossless else zmq.NOBLOCK
        self._listeners = 0
        self._subscriptions = 0
        # VERBOSER: every subscription and unsubscription is reported, not only the first and the last of a topic.
        socket.set(zmq.XPUB_VERBOSER, 1)
        socket.set(zmq.XPUB_NODROP, int(lossless))
        socket.set(zmq.SNDTIMEO, timeout_ms)
        queue = _ARCHIVE_BYTES // max(1, message_bytes)
        socket.set(zmq.SNDHWM, min(max(_SHORTEST_QUEUE, queue), _LONGEST_QUEUE))

    @property
    def has_subscribers(self) -> bool:
        """True when there is any subscription."""
        return self._subscriptions > 0

    def poll(self, timeout_ms: int = 0) -> int:
        """Number of archives that have subscribed; waits up to `timeout_ms` for a change."""
        while self._socket.poll(timeout_ms) if timeout_ms else _is_readable(self._socket):
            request, timeout_ms = self._socket.recv(), 0
            change = {1: 1, 0: -1}.get(request[0] if request else -1, 0)
            self._subscriptions = max(0, self._subscriptions + change)
            if request[1:] == self._mark:
                self._listeners = max(0, self._listeners + change)
        return self._listeners

    def send(self, data: bytearray) -> None:
        """Send to all archives.

        Raises
        ------
        zmq.Again
            If lossless, and the queue of one archive stayed full until the timeout.
        """
        self._socket.send(data, self._flags, copy=False)


def _is_readable(socket: zmq.Socket[Any]) -> bool:
    return bool(int(socket.get(zmq.EVENTS)) & zmq.POLLIN)


def _clear_dead_socket(path: Path) -> None:
    """Remove the socket file of a stream that is gone; libzmq would silently take over that of a running one.

    Raises
    ------
    BusError
        If a process answers on it, or the folder cannot be used.
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
