"""Where the fault player sends to, and the plain sockets among these. None of them ever waits for long.

A reader that comes is given the stream from a beginning: ``generation`` grows, and the player begins a new stream.
"""

from __future__ import annotations

import contextlib
import socket
import time
from typing import Any, Protocol
from urllib.parse import urlsplit

from usassist.errors import SourceError, UsageError

__all__ = ["PATIENCE_S", "TcpWire", "UdpWire", "Wire", "host_and_port", "listen", "resolve"]

_DATAGRAM = 1316  # seven packets of MPEG-TS
_BURST = 24  # datagrams that go out at once; a reader's socket holds some 90
PATIENCE_S = 2.0  # how long a reader may take nothing before it counts as gone


class Wire(Protocol):
    """One way out.

    Attributes
    ----------
    container : format of the stream that goes over it
    generation : grows with each reader that needs the stream from its beginning
    left : how many readers have gone away
    """

    container: str
    generation: int
    left: int

    @property
    def has_reader(self) -> bool:
        """Whether anybody may be listening."""
        ...

    def poll(self) -> None:
        """Let readers come, without waiting."""
        ...

    def send(self, data: bytes, t_s: float) -> None:
        """Hand over the bytes of one frame, whose time in the stream is `t_s`."""
        ...

    def hang_up(self) -> None:
        """Close every connection and let nobody in."""
        ...

    def come_back(self) -> None:
        """Let readers in again after `hang_up`; does nothing otherwise."""
        ...

    def restart(self) -> None:
        """Another stream begins; a wire that can hold only one ends the connection."""
        ...

    def close(self) -> None:
        """Close everything."""
        ...


class UdpWire:
    """Datagrams of 1316 bytes to one address; whether anybody reads is not known."""

    container = "mpegts"

    def __init__(self, to: str) -> None:
        self.generation = self.left = 0
        host, port = host_and_port(to)
        family, self._address = resolve(host, port, socket.SOCK_DGRAM)
        self._socket = socket.socket(family, socket.SOCK_DGRAM)

    @property
    def has_reader(self) -> bool:
        """Always true."""
        return True

    def poll(self) -> None:
        """Nobody comes."""

    def send(self, data: bytes, t_s: float) -> None:
        """Send, with short breaks so that a reader's socket does not overflow."""
        for index, start in enumerate(range(0, len(data), _DATAGRAM)):
            if index and index % _BURST == 0:
                time.sleep(0.001)
            try:
                self._socket.sendto(data[start : start + _DATAGRAM], self._address)
            except OSError as error:
                raise SourceError(f"cannot send to this UDP address: {error.strerror}; check it") from error

    def hang_up(self) -> None:
        """There is no connection to close: silence is all there is."""

    def come_back(self) -> None:
        """There is nothing to open again."""

    def restart(self) -> None:
        """MPEG-TS may change on its way."""

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


class TcpWire:
    """Listens, and sends the same to everybody who connects."""

    container = "mpegts"

    def __init__(self, to: str) -> None:
        self.generation = self.left = 0
        self._where = host_and_port(to)
        self._listener: socket.socket | None = listen(*self._where)
        self._readers: list[socket.socket] = []

    @property
    def has_reader(self) -> bool:
        """Whether somebody is connected."""
        return bool(self._readers)

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return self._where[1]

    def poll(self) -> None:
        """Accept everybody who waits."""
        if self._listener is None:
            return
        with contextlib.suppress(BlockingIOError):
            while True:
                reader, _ = self._listener.accept()
                reader.settimeout(PATIENCE_S)
                reader.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._readers.append(reader)
                self.generation += 1

    def send(self, data: bytes, t_s: float) -> None:
        """Send to all; who has gone, or takes nothing for two seconds, is let go."""
        for reader in tuple(self._readers):
            try:
                reader.sendall(data)
            except OSError:
                reader.close()
                self._readers.remove(reader)
                self.left += 1

    def hang_up(self) -> None:
        """Close all connections, and the port."""
        for sock in (*self._readers, self._listener):
            if sock is not None:
                sock.close()
        self._readers.clear()
        self._listener = None

    def come_back(self) -> None:
        """Listen again."""
        if self._listener is None:
            self._listener = listen(*self._where)

    def restart(self) -> None:
        """MPEG-TS may change on its way."""

    def close(self) -> None:
        """Close everything."""
        self.hang_up()


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
    """A listening socket that does not block.

    Raises
    ------
    SourceError
        If the port is taken or may not be used.
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
