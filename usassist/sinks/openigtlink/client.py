"""One connected client: it gets the newest bundle, and what it is too slow for is skipped."""

from __future__ import annotations

import contextlib
import logging
import select
import socket
import threading
import time
from collections import deque

from usassist.common.openigtlink.header import ProtocolError
from usassist.common.openigtlink.reader import MessageReader
from usassist.sinks.openigtlink.bundle import Bundle

__all__ = ["Client"]

_log = logging.getLogger(__name__)

_SEND_BUFFER_BYTES = 1 << 19  # of the kernel: what waits there is older than what is skipped here
_STALLED_S = 5.0
_POLL_MS = 500
_BUFFERS = 64  # of one call
_MESSAGES = 32  # that are read before something is sent again


class Client(threading.Thread):
    """Sends to one connection in a thread of its own, until it ends or :meth:`close` is called.

    A bundle that was begun is sent to its end. Of those that come meanwhile the newest is sent next. What the client
    sends is read over; its header version is the one that it is answered in.

    Parameters
    ----------
    connection : connected; closed at the end
    number : of the client, for messages

    Attributes
    ----------
    sent, skipped : bundles
    """

    def __init__(self, connection: socket.socket, number: int) -> None:
        super().__init__(name=f"openigtlink-{number}", daemon=True)
        self.sent = self.skipped = 0
        self._number = number
        self._connection = connection
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        self._reader = MessageReader(connection, ())
        self._version = 1
        self._lock = threading.Lock()
        self._next: Bundle | None = None
        self._left: deque[memoryview] = deque()
        self._moved_s = time.monotonic()
        self._closing = False
        self._wake, self._waker = socket.socketpair()
        self._wake.setblocking(False)
        self._waker.setblocking(False)

    def offer(self, bundle: Bundle) -> None:
        """Send this one next, in place of one that was not begun. Never waits."""
        with self._lock:
            self.skipped += self._next is not None
            self._next = bundle
        self._notify()

    def close(self) -> None:
        """End it. May be called twice; never waits."""
        self._closing = True
        self._notify()

    def _notify(self) -> None:
        with contextlib.suppress(OSError):  # it has ended, or was told already
            self._waker.send(b"x")

    def run(self) -> None:
        """Send until it ends."""
        why = "was closed"
        try:
            while not self._closing:
                self._turn()
        except (ProtocolError, TimeoutError) as error:
            why = f"was closed: {error}"
        except OSError:
            why = "has gone"
        finally:
            for end in (self._connection, self._wake, self._waker):
                end.close()
        _log.info("OpenIGTLink client %d %s; %d frames sent, %d skipped", self._number, why, self.sent, self.skipped)

    def _turn(self) -> None:
        if not self._left:
            self._take_next()
        wanted = select.POLLIN | (select.POLLOUT if self._left else 0)
        poll = select.poll()
        poll.register(self._connection, wanted)
        poll.register(self._wake, select.POLLIN)
        for fd, _ in poll.poll(_POLL_MS):
            if fd == self._wake.fileno():
                with contextlib.suppress(BlockingIOError):
                    self._wake.recv(4096)
        self._read()
        if self._left:
            self._send()

    def _take_next(self) -> None:
        with self._lock:
            bundle, self._next = self._next, None
        if bundle is not None:
            self._left = deque(memoryview(part).cast("B") for part in bundle.buffers(self._version) if len(part))
            self._moved_s = time.monotonic()

    def _read(self) -> None:
        for _ in range(_MESSAGES):
            message = self._reader.read(0.0)
            if message is None:
                return
            self._version = message.header.version

    def _send(self) -> None:
        try:
            count = self._connection.sendmsg([*self._left][:_BUFFERS])
        except BlockingIOError:
            if time.monotonic() - self._moved_s > _STALLED_S:
                raise TimeoutError(f"it has read nothing for {_STALLED_S:.0f} s") from None
            return
        self._moved_s = time.monotonic()
        while count:
            first = self._left[0]
            if count < len(first):
                self._left[0] = first[count:]
                return
            count -= len(first)
            self._left.popleft()
        self.sent += not self._left
