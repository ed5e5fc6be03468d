"""Watches a reader's connections for refusals and losses, which libzmq does not report by itself."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import zmq
from zmq.utils.monitor import recv_monitor_message

from usassist.bus.curve import ReaderKeys
from usassist.errors import BusKeyError

__all__ = ["Connections"]

_CLOSED_LIMIT = 3  # handshakes in a row that ended without a reason
_AGAIN_S = 0.25
_REFUSED = zmq.Event.HANDSHAKE_FAILED_AUTH | zmq.Event.HANDSHAKE_FAILED_PROTOCOL
_TRYING = zmq.Event.CONNECT_DELAYED | zmq.Event.CONNECT_RETRIED | zmq.Event.CONNECTED
_EVENTS = (
    _REFUSED | _TRYING | zmq.Event.HANDSHAKE_SUCCEEDED | zmq.Event.HANDSHAKE_FAILED_NO_DETAIL | zmq.Event.DISCONNECTED
)


@dataclass(slots=True)
class _Connection:
    socket: zmq.Socket[Any]
    place: str
    closed: int = 0  # handshakes in a row that failed
    lost_s: float | None = None  # since when libzmq does not retry


class Connections:
    """Watches the connections of one reader.

    A refusal raises. A connection that libzmq has given up is made again: libzmq does not retry after the peer sent
    bytes that are no ZeroMQ message, or announced a message larger than any of ours.

    Parameters
    ----------
    address : as the user gave it
    keys : with which the sockets connect, None = without
    on_new : called when a handshake has succeeded
    """

    def __init__(self, address: str, keys: ReaderKeys | None, on_new: Callable[[], None] | None = None) -> None:
        self._address = address
        self._on_new = on_new
        self._keys = keys
        self._watched: dict[zmq.Socket[Any], _Connection] = {}

    def open(self, socket: zmq.Socket[Any], place: str) -> zmq.Socket[Any]:
        """Connect a socket.

        Returns
        -------
        monitor : when something can be read from it, call :meth:`read`

        Raises
        ------
        zmq.ZMQError
            If the place cannot be used.
        """
        monitor: zmq.Socket[Any] = socket.get_monitor_socket(_EVENTS)
        self._watched[monitor] = _Connection(socket, place)
        if self._keys is not None:
            self._keys.apply(socket)
        socket.connect(place)
        return monitor

    def read(self, monitor: zmq.Socket[Any]) -> None:
        """Read the events of a connection.

        Raises
        ------
        BusKeyError
            If the two ends do not accept each other's keys.
        """
        connection = self._watched[monitor]
        while monitor.poll(0):
            event = recv_monitor_message(monitor)["event"]
            if event == zmq.Event.HANDSHAKE_SUCCEEDED:
                connection.closed = 0
                if self._on_new is not None:
                    self._on_new()
            elif event == zmq.Event.DISCONNECTED:
                connection.lost_s = time.monotonic()
            elif event & _TRYING:
                connection.lost_s = None
            else:
                connection.closed += 1
                # One without a reason may be a stream that is closing; several in a row are a refusal.
                if event & _REFUSED or connection.closed >= _CLOSED_LIMIT:
                    raise BusKeyError(self._why(unknown=event == zmq.Event.HANDSHAKE_FAILED_AUTH))

    def reconnect(self) -> None:
        """Connect again where libzmq has given up."""
        for connection in self._watched.values():
            if connection.lost_s is not None and time.monotonic() - connection.lost_s > _AGAIN_S:
                connection.lost_s = None
                try:
                    connection.socket.disconnect(connection.place)
                except zmq.ZMQError as error:
                    if error.errno != errno.ENOENT:
                        raise
                connection.socket.connect(connection.place)

    def close(self) -> None:
        """Close the monitors, after the sockets that they watch."""
        for monitor in self._watched:
            monitor.close(linger=0)

    def _why(self, *, unknown: bool) -> str:
        if self._keys is None:
            return (
                f"what answers on {self._address} refuses a reader without keys; if it is a stream with keys, "
                "add ?keys to the address"
            )
        if unknown:
            return (
                f"the stream on {self._address} does not know this viewer; on its machine run: "
                f"usassist keys allow viewer-{self._keys.public.hex()} --name NAME"
            )
        return (
            f"what answers on {self._address} does not have the key of the stream {self._keys.name}; compare "
            "usassist keys list here with usassist keys show stream there"
        )
