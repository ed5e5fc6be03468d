"""Write a file whole or not at all."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from usassist.common.private_files import replacing
from usassist.errors import SessionError

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
        with replacing(path, private=True) as temporary:
            yield temporary
    except SessionError:  # it is an OSError too, and says what to do
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise SessionError(f"the disk is full: {path} was not written; free some space, or name another") from error
        reason = (error.strerror or str(error)).lower()
        raise SessionError(f"{path} cannot be written: {reason}; name another file or check its folder") from error
