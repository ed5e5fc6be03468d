"""A pipe or FIFO that is read with a timeout: FFmpeg's own read would block without limit."""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable

from usassist.errors import SourceError

__all__ = ["PolledReader"]

_MAX_STDERR_BYTES = 4096  # of a program's standard error


class PolledReader:
    """A file object with ``read``, for ``av.open``.

    Parameters
    ----------
    data_fd : descriptor to read from; owned by this object
    timeout_s : how long a read may wait for data, s; ``timeout_s`` can be set later
    scheme : the kind of input, for messages
    stderr_fd : descriptor of the standard error of the program that writes; owned by this object
    on_end : called once at the end of the data; raises ``SourceError`` where they ended with an error

    Attributes
    ----------
    failure : why the data ended; None before the end, and after an end without error. ``read`` does not raise it,
        because FFmpeg would continue to read
    """

    def __init__(
        self,
        data_fd: int,
        *,
        timeout_s: float,
        scheme: str = "pipe",
        stderr_fd: int | None = None,
        on_end: Callable[[PolledReader], None] | None = None,
    ) -> None:
        self.timeout_s = timeout_s
        self.failure: SourceError | None = None
        self._scheme = scheme
        self._data_fd = data_fd
        self._stderr_fd = stderr_fd
        self._on_end = on_end
        self._wake_read_fd, self._wake_write_fd = os.pipe()
        self._lock = threading.Lock()
        self._closed = False
        self._stderr = b""
        self._poll = select.poll()
        for fd in (data_fd, self._wake_read_fd, *([] if stderr_fd is None else [stderr_fd])):
            os.set_blocking(fd, False)
            self._poll.register(fd, select.POLLIN)

    def read(self, size: int) -> bytes:
        """Read what is available, between one byte and `size`; nothing at the end."""
        if self.failure is not None:
            return b""
        try:
            return self._read(size)
        except SourceError as error:
            self.failure = error
            return b""

    def raise_failure(self) -> None:
        """Raise the error that ended the data, if there was one."""
        if self.failure is not None:
            raise self.failure

    def _read(self, size: int) -> bytes:
        deadline_s = time.monotonic() + self.timeout_s
        while True:
            left_ms = max(0, round(1000 * (deadline_s - time.monotonic())))
            ready = {fd for fd, _ in self._poll.poll(left_ms)}
            if self._wake_read_fd in ready:
                raise SourceError(f"{self._scheme}: closed; open it again")
            if self._stderr_fd in ready:
                self._read_stderr()
            if self._data_fd in ready:
                try:
                    data = os.read(self._data_fd, size)
                except BlockingIOError:
                    continue
                if not data and self._on_end is not None:
                    on_end, self._on_end = self._on_end, None
                    on_end(self)
                return data
            if time.monotonic() >= deadline_s:
                raise SourceError(
                    f"{self._scheme}: no data arrive; check that the program at the other end runs and writes"
                )

    def last_stderr_line(self) -> str:
        """Last line that the program wrote to its standard error; empty when it wrote none."""
        self._read_stderr()
        lines = self._stderr.decode("utf-8", "replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def interrupt(self) -> None:
        """Make a read that waits in another thread raise."""
        with self._lock:
            if not self._closed:
                os.write(self._wake_write_fd, b"x")

    def release(self) -> None:
        """Close the descriptors. Only after the last read."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        for fd in (self._data_fd, self._wake_read_fd, self._wake_write_fd):
            os.close(fd)
        if self._stderr_fd is not None:
            os.close(self._stderr_fd)

    def _read_stderr(self) -> None:
        if self._stderr_fd is None:
            return
        try:
            data = os.read(self._stderr_fd, 65536)
        except BlockingIOError:
            return
        if not data:
            self._poll.unregister(self._stderr_fd)
            os.close(self._stderr_fd)
            self._stderr_fd = None
        self._stderr = (self._stderr + data)[-_MAX_STDERR_BYTES:]
