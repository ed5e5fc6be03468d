"""Check sums of the files of a recording, so that a byte that changes later is noticed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from usassist.sinks.files import sha256_of

__all__ = ["FileSums"]

logger = logging.getLogger(__name__)


class FileSums:
    """Sums of files; those that are finished while the recording goes on are read then, beside it.

    Parameters
    ----------
    folder : of the recording
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, str] = {}
        self._threads: list[threading.Thread] = []

    def begin(self, name: str) -> None:
        """Read a file that nobody will write into any more."""
        thread = threading.Thread(target=self._sum, args=(name,), name=f"sum of {name}", daemon=True)
        self._threads = [item for item in self._threads if item.is_alive()] + [thread]
        thread.start()

    def all(self, paths: Iterable[Path]) -> dict[str, dict[str, Any]]:
        """``bytes`` and ``sha256`` of each file, by its name.

        Raises
        ------
        OSError
            If one cannot be read.
        """
        for thread in self._threads:
            thread.join()
        return {
            path.name: {"bytes": path.stat().st_size, "sha256": self._known.get(path.name) or sha256_of(path)}
            for path in sorted(paths)
        }

    def _sum(self, name: str) -> None:
        try:
            self._known[name] = sha256_of(self._folder / name)
        except OSError as error:  # read again at the end, and told then
            logger.warning("%s cannot be read: %s", name, error)
