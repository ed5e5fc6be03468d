"""Files that hold a secret: only their owner may read them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from usassist.common.private_files import write_atomic
from usassist.errors import UsageError

__all__ = ["read_secret", "write_secret"]

_MAX_BYTES = 4096


def read_secret(path: Path, what: str, remedy: str) -> str:
    """The only line of a file that belongs to this user or to root, and that nobody else may read.

    Parameters
    ----------
    path : of the file
    what : it is, for messages
    remedy : what to do where there is none

    Raises
    ------
    FileNotFoundError
        If there is none.
    UsageError
        If it cannot be read, is no plain file, may be read by others, or holds more than one line or nothing.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UsageError(f"the {what} {path} cannot be read: {reason}; {remedy}") from error
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            raise UsageError(f"the {what} {path} is no plain file; {remedy}")
        if status.st_uid not in (os.getuid(), 0):
            raise UsageError(f"the {what} {path} belongs to another user; {remedy}")
        if status.st_mode & 0o077:
            raise UsageError(f"the {what} {path} can be read by others; chmod 600 {path}")
        data = os.read(file, _MAX_BYTES + 1)
    finally:
        os.close(file)
    lines = data.decode("ascii", errors="replace").splitlines()
    if len(data) > _MAX_BYTES or len(lines) != 1 or not lines[0].strip() or "\ufffd" in lines[0]:
        raise UsageError(f"the {what} {path} must hold one line of plain characters; {remedy}")
    return lines[0].strip()


def write_secret(path: Path, line: str, *, replace: bool) -> None:
    """Write a line into a file of mode 0600.

    Raises
    ------
    FileExistsError
        If it exists and is not to be replaced.
    UsageError
        If it cannot be written.
    """
    try:
        write_atomic(path, line.encode("ascii") + b"\n", replace=replace)
    except FileExistsError:
        raise
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UsageError(f"{path} cannot be written: {reason}; name another file") from error
