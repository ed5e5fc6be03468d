"""Transports of the fault player: the protocol, and UDP and TCP. None of them blocks for long.

A new reader needs the stream from its header on: ``generation`` increases, and the player starts a new stream.
"""

from __future__ import annotations

import contextlib
import socket
import time
from typing import Any, Protocol
from urllib.parse import urlsplit

from usassist.errors import SourceError, UsageError

__all__ = ["READER_TIMEOUT_S", "TcpTransport", "Transport", "UdpTransport", "host_and_port", "listen", "resolve"]

_DATAGRAM = 1316  # seven packets of MPEG-TS
_BURST = 24  # datagrams sent at once; a reader's socket buffer holds about 90
READER_TIMEOUT_S = 2.0  # a reader that does not read for this long counts as gone


class Transport(Protocol):
    """A connection to the readers of a stream.

    Attributes
    ----------
    container : container format of the stream
    generation : incremented for each reader that needs the stream from its header on
    readers_lost : number of readers that disconnected or timed out
    """

    container: str
    generation: int
    readers_lost: int

    @property
    def has_reader(self) -> bool:
        """Whether there may be a reader."""
        ...

    def poll(self) -> None:
        """Accept readers, without blocking."""
        ...

    def send(self, data: bytes, t_s: float) -> None:
        """Send the bytes of one frame, whose time in the stream is `t_s`."""
        ...

    def disconnect(self) -> None:
        """Close all connections and refuse new ones."""
        ...

    def accept_again(self) -> None:
        """Accept readers again after `disconnect`; no effect otherwise."""
        ...

    def restart_stream(self) -> None:
        """Prepare for a new stream; a transport that can carry only one closes the connection."""
        ...

    def close(self) -> None:
        """Close everything."""
        ...


class UdpTransport:
    """Sends datagrams of 1316 bytes to one address; readers are not known."""

    container = "mpegts"

    def __init__(self, to: str) -> None:
        self.generation = self.readers_lost = 0
        host, port = host_and_port(to)
        family, self._address = resolve(host, port, socket.SOCK_DGRAM)
        self._socket = socket.socket(family, socket.SOCK_DGRAM)

    @property
    def has_reader(self) -> bool:
        """Always true."""
        return True

    def poll(self) -> None:
        """Nothing to do."""

    def send(self, data: bytes, t_s: float) -> None:
        """Send in bursts with short pauses, so that a reader's socket buffer does not overflow."""
        for index, start in enumerate(range(0, len(data), _DATAGRAM)):
            if index and index % _BURST == 0:
                time.sleep(0.001)
            try:
                self._socket.sendto(data[start : start + _DATAGRAM], self._address)
            except OSError as error:
                raise SourceError(f"cannot send to this UDP address: {error.strerror}; check it") from error

    def disconnect(self) -> None:
        """Nothing to do: there is no connection."""

    def accept_again(self) -> None:
        """Nothing to do."""

    def restart_stream(self) -> None:
        """Nothing to do: MPEG-TS allows a change of the stream."""

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


class TcpTransport:
    """Listens, and sends the stream to all connected readers."""

    container = "mpegts"

    def __init__(self, to: str) -> None:
        self.generation = self.readers_lost = 0
        self._where = host_and_port(to)
        self._listener: socket.socket | None = listen(*self._where)
        self._readers: list[socket.socket] = []

    @property
    def has_reader(self) -> bool:
        """Whether a reader is connected."""
        return bool(self._readers)

    @property
    def port(self) -> int:
        """The listening port."""
        return self._where[1]

    def poll(self) -> None:
        """Accept all pending connections."""
        if self._listener is None:
            return
        with contextlib.suppress(BlockingIOError):
            while True:
                reader, _ = self._listener.accept()
                reader.settimeout(READER_TIMEOUT_S)
                reader.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._readers.append(reader)
                self.generation += 1

    def send(self, data: bytes, t_s: float) -> None:
        """Send to all readers; one that has gone or does not read for two seconds is disconnected."""
        for reader in tuple(self._readers):
            try:
                reader.sendall(data)
            except OSError:
                reader.close()
                self._readers.remove(reader)
                self.readers_lost += 1

    def disconnect(self) -> None:
        """Close all connections and the listening socket."""
        for sock in (*self._readers, self._listener):
            if sock is not None:
                sock.close()
        self._readers.clear()
        self._listener = None

    def accept_again(self) -> None:
        """Listen again."""
        if self._listener is None:
            self._listener = listen(*self._where)

    def restart_stream(self) -> None:
        """Nothing to do: MPEG-TS allows a change of the stream."""

    def close(self) -> None:
        """Close everything."""
        self.disconnect()


def host_and_port(to: str) -> tuple[str, int]:
    """Host and port of an address with a scheme.

    Raises
    ------
    UsageError
        If one of them is missing or the port is out of range.
    """
    try:
        parts = urlsplit(to)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or not port:
        scheme = to.partition(":")[0]
        raise UsageError(f"this {scheme} address has no host and port; write {scheme}://HOST:PORT, port 1 to 65535")
    return host, port


def resolve(host: str, port: int, kind: socket.SocketKind) -> tuple[int, Any]:
    """Family and socket address of a host.

    Raises
    ------
    UsageError
        If there is no such host.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=kind)[0]
    except OSError as error:
        raise UsageError(f"there is no host {host}: {error.strerror}; check the address") from error
    return family, address


def listen(host: str, port: int) -> socket.socket:
    """A non-blocking listening socket.

    Raises
    ------
    SourceError
        If the port is taken or not permitted.
    """
    family, address = resolve(host, port, socket.SOCK_STREAM)
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(4)
    except OSError as error:
        listener.close()
        raise SourceError(f"cannot listen on port {port} of {host}: {error.strerror}; choose another port") from error
    listener.setblocking(False)
    return listener
