"""The fault player's transport over a FIFO."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import stat
import time
from pathlib import Path

from usassist.errors import SourceError, UsageError
from usassist.phantom.transport import READER_TIMEOUT_S

__all__ = ["FifoTransport"]

_PAUSE_S = 0.2
_PIPE_BYTES = 1 << 20


class FifoTransport:
    """Writes NUT to a FIFO while it has a reader."""

    container = "nut"

    def __init__(self, path: Path) -> None:
        self.generation = self.readers_lost = 0
        self._path = path
        self._fd: int | None = None
        self._disconnected = False
        self._not_before_s = 0.0
        try:
            is_fifo = stat.S_ISFIFO(path.stat().st_mode)
        except OSError as error:
            raise UsageError(f"there is no FIFO {path.name}: {error.strerror}; make it with mkfifo") from error
        if not is_fifo:
            raise UsageError(f"{path.name} is not a FIFO; make one with mkfifo under another name")

    @property
    def has_reader(self) -> bool:
        """Whether a reader has opened it."""
        return self._fd is not None

    def poll(self) -> None:
        """Open the FIFO if it has a reader."""
        if self._fd is not None or self._disconnected or time.monotonic() < self._not_before_s:
            return
        try:
            self._fd = os.open(self._path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno == errno.ENXIO:  # no reader
                return
            raise SourceError(f"cannot write to the FIFO {self._path.name}: {error.strerror}; check it") from error
        with contextlib.suppress(OSError):  # the user's pipe memory may be exhausted
            fcntl.fcntl(self._fd, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self.generation += 1

    def send(self, data: bytes, t_s: float) -> None:
        """Write; a reader that has gone or does not read for two seconds is disconnected."""
        rest = memoryview(data)
        last_s = time.monotonic()
        while rest and self._fd is not None:
            try:
                rest = rest[os.write(self._fd, rest) :]
                last_s = time.monotonic()
            except BlockingIOError:
                if time.monotonic() - last_s > READER_TIMEOUT_S:
                    self._end()
                    self.readers_lost += 1
                else:
                    select.select([], [self._fd], [], 0.05)
            except BrokenPipeError:
                self._end()
                self.readers_lost += 1

    def disconnect(self) -> None:
        """Close it: the reader sees end of file."""
        self._end()
        self._disconnected = True

    def accept_again(self) -> None:
        """Open it again for the next reader."""
        self._disconnected = False

    def restart_stream(self) -> None:
        """NUT has one header per file: close it long enough for the reader to see end of file."""
        self._end()
        self._not_before_s = time.monotonic() + _PAUSE_S

    def close(self) -> None:
        """Close the FIFO."""
        self._end()

    def _end(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
