"""Where the arrays of a study lie: in memory, or in files that appear whole or not at all."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from usassist.common.closeable import Closeable
from usassist.errors import StudyError, UsageError

__all__ = ["StudySpace"]

_NAME = re.compile(r"[a-z0-9_]+")


class StudySpace(Closeable):
    """Gives a task its arrays, filled with zeros. Closing it without :meth:`commit` removes everything.

    Parameters
    ----------
    folder : made by :meth:`commit`, with one ``NAME.npy`` for each output; it must not exist yet. Until then the files
        lie in a hidden folder beside it, whose name begins with ``.NAME.part-``; a process that is killed leaves that
        behind, and never `folder`. None = arrays lie in memory.

    Raises
    ------
    StudyError
        If the folder exists, or nothing can be written beside it.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._part: Path | None = None
        self._scratch: list[Path] = []
        if folder is None:
            return
        if os.path.lexists(folder):
            raise StudyError(f"{folder} exists already; name a folder that does not")
        try:
            self._part = Path(tempfile.mkdtemp(prefix=f".{folder.name}.part-", dir=folder.parent))
        except OSError as error:
            raise StudyError(f"nothing can be written beside {folder}: {error.strerror}; name another") from error

    def output(self, name: str, shape: tuple[int, ...], dtype: Any) -> npt.NDArray[Any]:
        """An array that is kept, in the file ``NAME.npy`` of the folder.

        Raises
        ------
        UsageError
            If the name is not ``[a-z0-9_]+``, or was used already.
        StudyError
            If the disk has no room for it.
        """
        if not _NAME.fullmatch(name):
            raise UsageError(f"the name of an output must match [a-z0-9_]+, got {name!r}; correct the task")
        return self._make(name, shape, dtype)

    def scratch(self, shape: tuple[int, ...], dtype: Any) -> npt.NDArray[Any]:
        """An array that is thrown away at the end, for example the preprocessed volume.

        Raises
        ------
        StudyError
            If the disk has no room for it.
        """
        name = f"scratch-{len(self._scratch)}"
        if self._part is not None:
            self._scratch.append(self._part / f"{name}.npy")
        return self._make(name, shape, dtype)

    def commit(self) -> None:
        """Make the folder, with all outputs.

        Raises
        ------
        StudyError
            If it cannot be made.
        """
        if self._part is None or self._folder is None:
            return
        try:
            for path in self._scratch:
                path.unlink()
            for path in self._part.iterdir():
                with path.open("rb") as file:
                    os.fsync(file.fileno())
            self._part.chmod(0o700)
            self._part.rename(self._folder)
        except OSError as error:
            raise StudyError(f"{self._folder} cannot be made: {error.strerror}; name another folder") from error
        self._part = None

    def close(self) -> None:
        """Remove what was not committed."""
        part, self._part = self._part, None
        if part is not None:
            shutil.rmtree(part, ignore_errors=True)

    def _make(self, name: str, shape: tuple[int, ...], dtype: Any) -> npt.NDArray[Any]:
        if self._part is None:
            return np.zeros(shape, dtype)
        path = self._part / f"{name}.npy"
        if path.exists():
            raise UsageError(f"the output {name} is made twice; correct the task")
        try:
            array: npt.NDArray[Any] = np.lib.format.open_memmap(path, mode="w+", dtype=np.dtype(dtype), shape=shape)
            with path.open("r+b") as file:  # a full disk must be an error here: later it would end the process (SIGBUS)
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        except OSError as error:
            raise StudyError(f"no room for {name} beside {self._folder}: {error.strerror}; free some") from error
        return array
