"""An append-only file of whole records: an append that fails leaves nothing behind."""

from __future__ import annotations

import os
from pathlib import Path

from usassist.common.closeable import Closeable
from usassist.common.private_files import create_private

__all__ = ["AppendFile"]


class AppendFile(Closeable):
    """A new append-only file with mode 0600.

    Every record is written to the operating system at once, without a buffer. If the disk is full after a part of it,
    the file is truncated to the last whole record.

    Parameters
    ----------
    path : must not exist

    Attributes
    ----------
    size : bytes written, whole records only

    Raises
    ------
    OSError
        If the file exists or cannot be created.
    """

    def __init__(self, path: Path) -> None:
        self._file = create_private(path, append=True, buffering=0)
        self.size = 0

    def append(self, record: bytes | bytearray | memoryview) -> None:
        """Append one record.

        Raises
        ------
        OSError
            If it cannot be written in full.
        """
        left = memoryview(record)
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError:
            os.ftruncate(self._file.fileno(), self.size)
            raise
        self.size += len(record)

    def close(self) -> None:
        """Close the file. May be called twice."""
        self._file.close()
