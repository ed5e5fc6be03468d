"""What was built on this machine: plans, timings and derived ONNX files, in a private folder, found by what made them.

The key of an entry is a table of everything that decides what it is. A file that is damaged, cut off, of
another version or of another key counts as missing, and is removed. A plan is code that runs in this process: it is
loaded from this folder only, and only where only this user can write. A file that a runtime must open by name
is a plain file; its SHA-256 is part of the name.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from usassist.common.private_files import locked, sweep, try_locked, write_atomic
from usassist.config import cache_dir, in_force
from usassist.engine.cache_entry import Entry, file_sha256, key_digest, pack, read_entry, read_header
from usassist.errors import CacheError, ConfigError

__all__ = ["Cache", "Row", "open_cache"]

logger = logging.getLogger(__name__)

_ENTRY = ".entry"
_PLAIN = ".onnx"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the list of entries.

    Attributes
    ----------
    path : of the file
    size_bytes : of the file
    used_s : when it was stored or last loaded, in seconds since 1970
    header : as of :class:`Entry`; empty where it cannot be read
    """

    path: Path
    size_bytes: int
    used_s: float
    header: Mapping[str, Any]


class Cache:
    """The folder and its entries.

    Parameters
    ----------
    folder : private, see ``config.cache_dir``
    limit_bytes : size that all entries together may have; beyond it the least recently used are removed
    """

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self.folder = folder
        self._limit_bytes = limit_bytes

    def load(self, key: Mapping[str, Any]) -> Entry | None:
        """The entry of a key; None when there is none, or none that can be trusted, which is then removed."""
        path = self.path(key)
        try:
            entry = read_entry(path, key)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            self._discard(path, error)
            return None
        _touch(path)
        return entry

    def store(self, key: Mapping[str, Any], content: bytes, facts: Mapping[str, Any]) -> Path:
        """Keep the content for a key, then keep to the size limit.

        Parameters
        ----------
        facts : JSON-able; is given back with the entry

        Raises
        ------
        CacheError
            If it cannot be written; nothing of it stays behind.
        """
        return self._write(self.path(key), *pack(key, content, facts))

    def find_file(self, key: Mapping[str, Any]) -> Path | None:
        """The plain file of a key, if its content matches the hash in its name; else None."""
        for path in sorted(self.folder.glob(f"*.{key_digest(key)}.*{_PLAIN}")):
            try:
                if file_sha256(path, private=True) != path.name.split(".")[-2]:
                    raise ValueError("its content is damaged")
            except FileNotFoundError:
                continue
            except (OSError, ValueError) as error:
                self._discard(path, error)
                continue
            _touch(path)
            return path
        return None

    def store_file(self, key: Mapping[str, Any], content: bytes, label: str) -> Path:
        """Keep an ONNX file that others read by its name, then keep to the size limit.

        Parameters
        ----------
        label : the beginning of the name, for people

        Raises
        ------
        CacheError
            If it cannot be written; nothing of it stays behind.
        """
        name = f"{label[-100:]}.{key_digest(key)}.{hashlib.sha256(content).hexdigest()}{_PLAIN}"
        return self._write(self.folder / name, content)

    @contextlib.contextmanager
    def locked(self, key: Mapping[str, Any], on_wait: Callable[[], None]) -> Iterator[None]:
        """Only one process at a time makes the entry of a key; the others wait, and then find it.

        Parameters
        ----------
        on_wait : called once when another process holds the lock

        Raises
        ------
        CacheError
            If nothing can be written in the folder.
        """
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(locked(self.folder, key_digest(key), on_wait))
            except OSError as error:
                raise self._cannot_write(error) from error
            yield

    def forget(self, key: Mapping[str, Any]) -> None:
        """Remove the entry of a key, if there is one and it can be removed."""
        with contextlib.suppress(OSError):
            self.path(key).unlink()

    def path(self, key: Mapping[str, Any]) -> Path:
        """Path of the entry of a key, whether it exists or not."""
        return self.folder / f"{key_digest(key)}{_ENTRY}"

    def rows(self) -> list[Row]:
        """All entries, the one used last first."""
        return [
            Row(path=path, size_bytes=size_bytes, used_s=used_s, header=_header_of(path))
            for used_s, path, size_bytes in reversed(self._by_use())
        ]

    def clear(self) -> tuple[int, int]:
        """Remove every entry that no process is making.

        Returns
        -------
        count, size_bytes : of what was removed
        """
        sweep(self.folder)
        removed = [size for path in self._files() if (size := self._evict(path)) is not None]
        return len(removed), sum(removed)

    def _write(self, path: Path, *parts: bytes) -> Path:
        sweep(self.folder)
        try:
            write_atomic(path, *parts)
        except OSError as error:
            raise self._cannot_write(error) from error
        self._keep_to_limit(path)
        return path

    def _cannot_write(self, error: OSError) -> CacheError:
        return CacheError(
            f"the cache folder {self.folder} cannot be written: {error.strerror or error}; "
            "make room there, or name another folder with USASSIST_CACHE"
        )

    def _keep_to_limit(self, newest: Path) -> None:
        files = self._by_use()
        total_bytes = sum(size_bytes for *_, size_bytes in files)
        for _, path, size_bytes in files:
            if total_bytes <= self._limit_bytes:
                return
            if path != newest and self._evict(path) is not None:
                logger.info("cache: %s removed to make room", path.name)
                total_bytes -= size_bytes
        if total_bytes > self._limit_bytes:
            logger.warning(
                "the cache holds %d MB, its limit is %d MB; raise cache_limit_mb in the table engine of the settings",
                total_bytes >> 20,
                self._limit_bytes >> 20,
            )

    def _evict(self, path: Path) -> int | None:
        """Remove one entry, unless a process is making it. Returns its size; None when it stays or is gone already."""
        with contextlib.suppress(OSError), try_locked(self.folder, _digest_in(path)) as free:
            if free:
                size_bytes = path.lstat().st_size
                path.unlink()
                return size_bytes
        return None

    def _discard(self, path: Path, error: Exception) -> None:
        logger.warning("cache: %s is not used and removed: %s", path.name, error)
        with contextlib.suppress(OSError):
            path.unlink()

    def _by_use(self) -> list[tuple[float, Path, int]]:
        """When each file was used last, its path and its size in bytes; the one used longest ago first."""
        found = []
        for path in self._files():
            with contextlib.suppress(FileNotFoundError):
                status = path.lstat()
                found.append((status.st_mtime, path, status.st_size))
        return sorted(found)

    def _files(self) -> list[Path]:
        return [path for path in self.folder.iterdir() if path.suffix in (_ENTRY, _PLAIN) and path.name[0] != "."]


def open_cache() -> Cache:
    """The cache of this user.

    Raises
    ------
    CacheError
        If the folder cannot be made, or others can write it.
    """
    try:
        return Cache(cache_dir(), in_force().engine.cache_limit_mb << 20)
    except ConfigError as error:
        raise CacheError(str(error)) from error


def _header_of(path: Path) -> Mapping[str, Any]:
    if path.suffix == _PLAIN:
        label = path.name.rsplit(".", 3)[0]
        return {"facts": {"kind": "onnx", "engine": label.rpartition(".")[0], "precision": label.rpartition(".")[2]}}
    try:
        return read_header(path)
    except (OSError, ValueError):
        return {}


def _digest_in(path: Path) -> str:
    return path.stem if path.suffix == _ENTRY else path.name.split(".")[-3]


def _touch(path: Path) -> None:
    with contextlib.suppress(OSError):  # a folder that cannot be written can still be read
        os.utime(path, (time.time(), time.time()))
