"""A file that only grows, by whole pieces: what was appended is there, what failed is not there in part."""

from __future__ import annotations

import os
from pathlib import Path

from usassist.common.closeable import Closeable
from usassist.common.private_files import create_private

__all__ = ["AppendFile"]


class AppendFile(Closeable):
    """A new file, private to the user, that is appended to piece by piece.

    Every piece is handed to the operating system at once. A disk that is full may take a part of one; then that part
    is cut off again, so that the file ends with the last whole piece.

    Parameters
    ----------
    path : a new file

    Attributes
    ----------
    size : bytes of the whole pieces

    Raises
    ------
    OSError
        If it exists, or cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self._file = create_private(path, append=True, buffering=0)
        self.size = 0

    def append(self, piece: bytes | bytearray | memoryview) -> None:
        """Add one piece.

        Raises
        ------
        OSError
            If it cannot be written whole.
        """
        left = memoryview(piece)
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError:
            os.ftruncate(self._file.fileno(), self.size)
            raise
        self.size += len(piece)

    def close(self) -> None:
        """Close the file. May be called twice."""
        self._file.close()
