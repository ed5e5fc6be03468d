"""Files that are there whole or not at all. Locks and sweeping are tested with the cache that needs them."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from usassist.common.private_files import create_private, replacing, write_atomic


def _mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_file_that_exists_is_not_replaced_where_that_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "key"
    write_atomic(path, b"one", b"two", replace=False)
    with pytest.raises(FileExistsError):
        write_atomic(path, b"other", replace=False)
    assert path.read_bytes() == b"onetwo"
    assert _mode(path) == 0o600
    write_atomic(path, b"other")
    assert path.read_bytes() == b"other"
    assert [file.name for file in tmp_path.iterdir()] == ["key"]


def test_a_private_file_is_created_once(tmp_path: Path) -> None:
    with create_private(tmp_path / "file") as file:
        file.write(b"x")
    assert _mode(tmp_path / "file") == 0o600
    with pytest.raises(FileExistsError):
        create_private(tmp_path / "file")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        create_private(tmp_path / "link")
    assert not (tmp_path / "elsewhere").exists()


def test_what_is_appended_stands_at_the_end_whoever_writes(tmp_path: Path) -> None:
    with create_private(tmp_path / "file", append=True, buffering=0) as file:
        file.write(b"a")
        with (tmp_path / "file").open("ab") as other:
            other.write(b"b")
        file.write(b"c")
    assert (tmp_path / "file").read_bytes() == b"abc"


@pytest.mark.parametrize("private", [True, False])
def test_a_writer_that_needs_a_path_replaces_the_file_when_it_is_done(tmp_path: Path, private: bool) -> None:
    path = tmp_path / "clip.mkv"
    path.write_bytes(b"before")
    with replacing(path, private=private) as temporary:
        assert temporary.suffix == ".mkv"
        assert temporary.exists() is private
        temporary.write_bytes(b"after")
        assert path.read_bytes() == b"before"
    assert path.read_bytes() == b"after"
    assert not private or _mode(path) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["clip.mkv"]


@pytest.mark.parametrize("failing", ["write", "fsync", "replace"])
def test_a_writer_that_fails_leaves_the_file_as_it_was(
    tmp_path: Path, failing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "clip.mkv"
    path.write_bytes(b"before")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    if failing != "write":
        monkeypatch.setattr(os, failing, full)

    def write() -> None:
        with replacing(path) as temporary:
            temporary.write_bytes(b"after")
            if failing == "write":
                full()

    with pytest.raises(OSError, match="full"):
        write()
    assert path.read_bytes() == b"before"
    assert [file.name for file in tmp_path.iterdir()] == ["clip.mkv"]
