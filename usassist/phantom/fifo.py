"""The fault player's way into a FIFO."""

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
from usassist.phantom.wire import PATIENCE_S

__all__ = ["FifoWire"]

_PAUSE_S = 0.2
_PIPE_BYTES = 1 << 20


class FifoWire:
    """Writes NUT into a FIFO, whenever somebody reads it."""

    container = "nut"

    def __init__(self, path: Path) -> None:
        self.generation = self.left = 0
        self._path = path
        self._fd: int | None = None
        self._hung_up = False
        self._not_before_s = 0.0
        try:
            is_fifo = stat.S_ISFIFO(path.stat().st_mode)
        except OSError as error:
            raise UsageError(f"there is no FIFO {path.name}: {error.strerror}; make it with mkfifo") from error
        if not is_fifo:
            raise UsageError(f"{path.name} is no FIFO; make one with mkfifo under another name")

    @property
    def has_reader(self) -> bool:
        """Whether it is open on the other side."""
        return self._fd is not None

    def poll(self) -> None:
        """Open the FIFO if somebody reads it."""
        if self._fd is not None or self._hung_up or time.monotonic() < self._not_before_s:
            return
        try:
            self._fd = os.open(self._path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nobody reads
                return
            raise SourceError(f"cannot write to the FIFO {self._path.name}: {error.strerror}; check it") from error
        with contextlib.suppress(OSError):  # a user may be at the limit of pipe memory
            fcntl.fcntl(self._fd, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self.generation += 1

    def send(self, data: bytes, t_s: float) -> None:
        """Write; a reader that has gone, or takes nothing for two seconds, is let go."""
        rest = memoryview(data)
        last_s = time.monotonic()
        while rest and self._fd is not None:
            try:
                rest = rest[os.write(self._fd, rest) :]
                last_s = time.monotonic()
            except BlockingIOError:
                if time.monotonic() - last_s > PATIENCE_S:
                    self._end()
                    self.left += 1
                else:
                    select.select([], [self._fd], [], 0.05)
            except BrokenPipeError:
                self._end()
                self.left += 1

    def hang_up(self) -> None:
        """Close it: the reader sees the end of the file."""
        self._end()
        self._hung_up = True

    def come_back(self) -> None:
        """Open it again with the next reader."""
        self._hung_up = False

    def restart(self) -> None:
        """NUT begins only once: close it for long enough that the reader sees the end of the file."""
        self._end()
        self._not_before_s = time.monotonic() + _PAUSE_S

    def close(self) -> None:
        """Close the FIFO."""
        self._end()

    def _end(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
