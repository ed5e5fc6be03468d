"""Files that only this user may write: whole or not at all, and one writer at a time.

================== ==========================================================================================
write_atomic       a whole file from bytes
replacing          a whole file that something else writes, which needs a path
create_private     a new file to write into
sync_folder        names of a folder's files are on the disk
locked, try_locked one process at a time
================== ==========================================================================================

A lock is a ``flock`` on a file of its own, so the system itself opens it when its holder dies, however it dies. A file
that is being written carries such a lock too: a file without a holder was left behind by a writer that was killed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

__all__ = [
    "create_private",
    "locked",
    "open_private",
    "replacing",
    "sweep",
    "sync_file",
    "sync_folder",
    "try_locked",
    "write_atomic",
]

_LOCK = ".lock"
_TEMPORARY = ".tmp"
_FLAGS = os.O_NOFOLLOW | os.O_CLOEXEC


def open_private(path: Path) -> int:
    """Open a file for reading, after looking whether anybody else could have written it.

    Returns
    -------
    descriptor : the caller closes it

    Raises
    ------
    FileNotFoundError
        If there is none.
    PermissionError
        If the file or its folder belongs to another user, or others may write it.
    OSError
        If it is a symbolic link, or cannot be read.
    """
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | _FLAGS)
    try:
        _check_own(folder, path.parent)
        file = os.open(path.name, os.O_RDONLY | os.O_NONBLOCK | _FLAGS, dir_fd=folder)
    finally:
        os.close(folder)
    try:
        _check_own(file, path)
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise PermissionError(f"{path} is no plain file")
    except OSError:
        os.close(file)
        raise
    return file


def create_private(path: Path, *, append: bool = False, buffering: int = -1) -> BinaryIO:
    """Create a file with mode 0600 and open it for writing.

    Parameters
    ----------
    path : of a file that does not exist yet
    append : every write goes to the end of the file
    buffering : as of ``open``

    Raises
    ------
    FileExistsError
        If it exists.
    OSError
        If it cannot be created.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS | (os.O_APPEND if append else 0)
    return open(os.open(path, flags, 0o600), "wb", buffering=buffering)


def write_atomic(path: Path, *parts: bytes, replace: bool = True) -> None:
    """Write a file under a temporary name and rename it when it is on the disk. Mode 0600.

    Parameters
    ----------
    path : of the file
    parts : its content
    replace : False = an existing file is never replaced, not even one that is created meanwhile

    Raises
    ------
    FileExistsError
        If it exists and is not to be replaced.
    OSError
        If it cannot be written; nothing of it stays behind.
    """
    descriptor, temporary = _new_temporary(path)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            for part in parts:
                file.write(part)
        os.fsync(descriptor)
        if replace:
            os.replace(temporary, path)
        else:
            os.link(temporary, path)  # unlike renaming, this never replaces a file
            temporary.unlink()
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    sync_folder(path.parent)


@contextlib.contextmanager
def replacing(path: Path, *, private: bool = False) -> Iterator[Path]:
    """A temporary path beside `path` for a writer that needs one; the file is put in place when the block ends.

    The temporary has the suffix of `path`. When the block raises, it is removed and `path` stays as it was.

    Parameters
    ----------
    path : that the file gets
    private : the temporary exists already, with mode 0600; else the writer creates it, with its usual mode

    Raises
    ------
    OSError
        If it cannot be written or renamed.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}{path.suffix}")
    if private:
        create_private(temporary).close()
    try:
        yield temporary
        sync_file(temporary)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_file(path: Path) -> None:
    """Put the content of a file on the disk."""
    _sync(path, os.O_RDONLY | os.O_CLOEXEC)


def sync_folder(folder: Path) -> None:
    """Put the names of a folder's files on the disk."""
    _sync(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked(folder: Path, name: str, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold the lock `name` of a folder; wait for it where another process or thread holds it.

    Parameters
    ----------
    on_wait : called once when it has to be waited for
    """
    path = folder / f".{name}{_LOCK}"
    descriptor = _acquire(path, fcntl.LOCK_NB)
    if descriptor is None:
        on_wait()
        descriptor = _acquire(path, 0)
    assert descriptor is not None  # only a lock that is not waited for can fail
    try:
        yield
    finally:
        _release(path, descriptor)


@contextlib.contextmanager
def try_locked(folder: Path, name: str) -> Iterator[bool]:
    """Hold the lock `name` of a folder if it is free; yields False, without holding it, where it is not."""
    path = folder / f".{name}{_LOCK}"
    descriptor = _acquire(path, fcntl.LOCK_NB)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            _release(path, descriptor)


def sweep(folder: Path) -> int:
    """Remove what killed writers left in a folder; what a living one holds stays. Returns how many files went."""
    removed = 0
    for path in [*folder.glob(f".*{_TEMPORARY}"), *folder.glob(f".*{_LOCK}")]:
        with contextlib.suppress(OSError):
            descriptor = os.open(path, os.O_RDWR | _FLAGS)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _is(descriptor, path):
                    path.unlink()
                    removed += 1
            finally:
                os.close(descriptor)
    return removed


def _new_temporary(path: Path) -> tuple[int, Path]:
    while True:
        temporary = path.with_name(f".{secrets.token_hex(16)}{_TEMPORARY}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if _is(descriptor, temporary):
            return descriptor, temporary
        os.close(descriptor)  # swept between the two calls above


def _acquire(path: Path, flags: int) -> int | None:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | _FLAGS, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | flags)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        if _is(descriptor, path):
            return descriptor
        os.close(descriptor)  # the holder before us removed the file; the lock is on the one that is there now


def _release(path: Path, descriptor: int) -> None:
    path.unlink(missing_ok=True)
    os.close(descriptor)


def _is(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


def _check_own(descriptor: int, path: Path) -> None:
    status = os.fstat(descriptor)
    if status.st_uid != os.getuid():
        raise PermissionError(f"{path} belongs to another user")
    if status.st_mode & 0o022:
        raise PermissionError(f"{path} can be written by others")
