"""Write a file whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from usassist.errors import SessionError
from usassist.sinks.files import explain, sync_folder

__all__ = ["new_file"]


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """A private file to write into, which takes its name at the end, or is removed.

    Raises
    ------
    SessionError
        If the file exists, or cannot be written.
    """
    if path.exists():
        raise SessionError(f"{path} already exists; choose another name or move it away")
    try:
        number, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent)
    except OSError as error:
        raise SessionError(explain(path, error)) from error
    os.close(number)
    temporary = Path(name)
    try:
        yield temporary
        _sync_file(temporary)
        temporary.rename(path)
        sync_folder(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise SessionError(explain(path, error)) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _sync_file(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
