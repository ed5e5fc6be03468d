"""The cache: what it gives back is what was stored, byte for byte, or nothing."""

from __future__ import annotations

import errno
import logging
import multiprocessing
import os
import re
import struct
from pathlib import Path
from typing import Any

import pytest

from usassist.common import private_files
from usassist.common.private_files import locked, sweep, try_locked, write_atomic
from usassist.config import Config, EngineConfig, cache_dir
from usassist.engine.cache import Cache, open_cache
from usassist.engine.cache_entry import key_digest
from usassist.errors import CacheError, ConfigError

KEY = {"kind": "plan", "runtime": {"version": "1.2.3", "sides": [1, 2]}}
CONTENT = bytes(range(256)) * 3


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(_private(tmp_path / "cache"), 1 << 30)


def _private(folder: Path) -> Path:
    folder.mkdir(mode=0o700)
    return folder


def _flipped(data: bytes, index: int) -> bytes:
    return data[:index] + bytes([data[index] ^ 0x20]) + data[index + 1 :]


def test_what_was_stored_is_found_with_its_facts_and_is_for_this_user_only(cache: Cache) -> None:
    path = cache.store(KEY, CONTENT, {"engine": "tiny"})
    entry = cache.load({"runtime": {"sides": [1, 2], "version": "1.2.3"}, "kind": "plan"})
    assert entry is not None
    assert (entry.content, entry.path) == (CONTENT, path)
    assert entry.header["facts"] == {"engine": "tiny"}
    assert entry.header["key"] == KEY
    assert path.stat().st_mode & 0o777 == 0o600
    assert [item.name for item in cache.folder.iterdir()] == [path.name]


@pytest.mark.parametrize("key", [{}, {"kind": "plan"}, KEY | {"more": None}, KEY | {"runtime": {"version": "1.2.4"}}])
def test_another_key_finds_nothing(cache: Cache, key: dict[str, Any]) -> None:
    cache.store(KEY, CONTENT, {})
    assert cache.load(key) is None


def test_an_entry_under_the_name_of_another_key_is_not_believed(cache: Cache, caplog: pytest.LogCaptureFixture) -> None:
    other = KEY | {"kind": "timing"}
    cache.store(KEY, CONTENT, {}).rename(cache.path(other))
    assert cache.load(other) is None
    assert not cache.path(other).exists()
    assert "belongs to another key" in caplog.text


def test_no_byte_of_an_entry_can_change_without_being_noticed(cache: Cache, caplog: pytest.LogCaptureFixture) -> None:
    path = cache.store(KEY, CONTENT, {"engine": "tiny"})
    stored = path.read_bytes()
    header_end = 44 + struct.unpack(">I", stored[8:12])[0]
    assert len(stored) == header_end + len(CONTENT)
    # Every byte of magic, length, hash and header, and some of the content.
    for index in [*range(header_end), *range(header_end, len(stored), 97), len(stored) - 1]:
        caplog.clear()
        path.write_bytes(_flipped(stored, index))
        assert cache.load(KEY) is None, f"byte {index}"
        assert not path.exists()
        assert "is not used and removed" in caplog.text
    cache.store(KEY, CONTENT, {})
    assert cache.load(KEY) is not None


def test_an_entry_that_is_cut_off_or_longer_counts_as_missing(cache: Cache) -> None:
    path = cache.store(KEY, CONTENT, {})
    stored = path.read_bytes()
    header_end = 44 + struct.unpack(">I", stored[8:12])[0]
    for length in (0, 4, 8, 10, 12, 30, 44, 45, header_end - 1, header_end, header_end + 1, len(stored) - 1):
        path.write_bytes(stored[:length])
        assert cache.load(KEY) is None, f"{length} bytes"
        assert not path.exists()
    path.write_bytes(stored + b"\0")
    assert cache.load(KEY) is None
    path.write_bytes(stored[:8] + struct.pack(">I", 0xFFFFFFFF) + stored[12:])  # no header of 4 GB is read
    assert cache.load(KEY) is None


def test_a_file_that_others_may_write_is_never_loaded(cache: Cache, caplog: pytest.LogCaptureFixture) -> None:
    path = cache.store(KEY, CONTENT, {})
    path.chmod(0o602)
    assert cache.load(KEY) is None
    assert "can be written by others" in caplog.text
    cache.store(KEY, CONTENT, {})
    cache.folder.chmod(0o770)
    assert cache.load(KEY) is None


def test_a_file_of_another_user_is_never_loaded(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.store(KEY, CONTENT, {})
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    assert cache.load(KEY) is None


def test_a_link_or_a_pipe_in_the_place_of_an_entry_is_not_followed(cache: Cache, tmp_path: Path) -> None:
    target = cache.store(KEY, CONTENT, {}).rename(tmp_path / "elsewhere")
    cache.path(KEY).symlink_to(target)
    assert cache.load(KEY) is None
    assert target.exists()
    os.mkfifo(cache.path(KEY), 0o600)
    assert cache.load(KEY) is None


def test_a_plain_file_is_found_by_its_key_and_not_once_it_is_damaged(cache: Cache) -> None:
    path = cache.store_file(KEY, CONTENT, "tiny@1.2.3+0123456789ab.fp16")
    assert path.name.startswith("tiny@1.2.3+0123456789ab.fp16.")
    assert cache.find_file(KEY) == path
    assert cache.find_file(KEY | {"kind": "other"}) is None
    path.write_bytes(_flipped(CONTENT, 5))
    assert cache.find_file(KEY) is None
    assert not path.exists()


def test_those_that_were_not_used_for_longest_go_first(tmp_path: Path) -> None:
    folder = _private(tmp_path / "cache")
    roomy = Cache(folder, 1 << 30)
    keys = [{"n": n} for n in range(4)]
    sizes = []
    for n, key in enumerate(keys):
        path = roomy.store(key, b"x" * 1000, {})
        sizes.append(path.stat().st_size)
        os.utime(path, (n + 1, n + 1))
    assert roomy.load(keys[0]) is not None  # used now: the oldest is 1 from here on
    Cache(folder, sum(sizes[:3])).store({"n": 9}, b"x" * 1000, {})
    assert [n for n in range(4) if roomy.path(keys[n]).exists()] == [0, 3]
    assert roomy.path({"n": 9}).exists()


def test_neither_the_newest_nor_one_that_is_being_made_is_evicted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    small = Cache(_private(tmp_path / "cache"), 10)
    with small.locked({"n": 0}, lambda: None):
        small.store({"n": 0}, b"x" * 1000, {})
        small.store({"n": 1}, b"x" * 1000, {})
        assert small.path({"n": 0}).exists()
        assert small.path({"n": 1}).exists()
        assert small.clear()[0] == 1
        assert small.path({"n": 0}).exists()
    assert "raise cache_limit_mb" in caplog.text
    small.store({"n": 2}, b"x" * 1000, {})
    assert [row.path for row in small.rows()] == [small.path({"n": 2})]


def test_list_and_clear_know_every_file(cache: Cache) -> None:
    entry = cache.store(KEY, CONTENT, {"engine": "tiny"})
    plain = cache.store_file(KEY, CONTENT, "tiny@1.2.3+0123456789ab.fp16")
    damaged = cache.store({"n": 1}, CONTENT, {})
    damaged.write_bytes(b"nothing")
    for path, used_s in ((entry, 30), (plain, 20), (damaged, 10)):
        os.utime(path, (used_s, used_s))
    rows = cache.rows()
    assert [(row.path, row.used_s) for row in rows] == [(entry, 30.0), (plain, 20.0), (damaged, 10.0)]
    assert rows[0].header["facts"] == {"engine": "tiny"}
    assert rows[1].header["facts"]["engine"] == "tiny@1.2.3+0123456789ab"
    assert rows[2].header == {}
    assert cache.clear() == (3, sum(row.size_bytes for row in rows))
    assert list(cache.folder.iterdir()) == []


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
def test_a_full_disk_is_one_clear_line_and_leaves_nothing(
    cache: Cache, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if call == "write":
        real = open

        class _Full:
            def __init__(self, file: Any) -> None:
                self.file = file

            def __enter__(self) -> _Full:
                return self

            def __exit__(self, *_: object) -> None:
                self.file.close()

            def write(self, part: bytes) -> None:
                self.file.write(part[:10])
                self.file.flush()
                full()

        monkeypatch.setattr(private_files, "open", lambda *a, **k: _Full(real(*a, **k)), raising=False)
    else:
        monkeypatch.setattr(os, call, full)
    with pytest.raises(CacheError, match=r"No space left on device; make room there, or name .* USASSIST_CACHE$"):
        cache.store(KEY, CONTENT, {})
    assert list(cache.folder.iterdir()) == []


def test_the_disk_of_a_kernel_that_is_full_is_reported_too(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    real = os.open
    monkeypatch.setattr(
        os,
        "open",
        lambda path, *a, **k: real("/dev/full", os.O_WRONLY) if str(path).endswith(".tmp") else real(path, *a, **k),
    )
    monkeypatch.setattr(private_files, "_is", lambda *_: True)
    with pytest.raises(CacheError, match="No space left on device"):
        cache.store(KEY, CONTENT, {})


def test_what_killed_writers_left_is_swept_and_what_living_ones_hold_is_not(cache: Cache) -> None:
    (cache.folder / ".0123.tmp").write_bytes(b"half")
    (cache.folder / ".4567.lock").touch()
    with cache.locked(KEY, lambda: None):
        assert sweep(cache.folder) == 2
        assert [path.name for path in cache.folder.iterdir()] == [f".{key_digest(KEY)}.lock"]
    assert list(cache.folder.iterdir()) == []


def test_a_file_that_is_being_written_is_not_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, swept = os.fsync, []

    def slow(descriptor: int) -> None:
        swept.append(sweep(tmp_path))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", slow)
    write_atomic(tmp_path / "file", b"content")
    assert swept == [0, 0]  # the file's and its folder's
    assert (tmp_path / "file").read_bytes() == b"content"


def test_a_lock_is_held_by_one_at_a_time_and_leaves_no_file(tmp_path: Path) -> None:
    waited: list[str] = []
    with locked(tmp_path, "a", lambda: waited.append("a")):
        with try_locked(tmp_path, "a") as free:
            assert not free
        with try_locked(tmp_path, "b") as free:
            assert free
    with try_locked(tmp_path, "a") as free:
        assert free
    assert waited == []
    assert list(tmp_path.iterdir()) == []


def _build_once(folder: Path, ready: Any, reports: Any) -> None:
    cache = Cache(folder, 1 << 30)
    ready.wait()
    waited = []
    with cache.locked(KEY, lambda: waited.append(True)):
        built = cache.load(KEY) is None
        if built:
            reports.put("building")
            # As long as the other needs to find the lock taken.
            ready.wait()
            cache.store(KEY, CONTENT, {})
    reports.put((built, bool(waited)))


def test_two_processes_that_want_the_same_build_do_it_once(tmp_path: Path) -> None:
    folder = _private(tmp_path / "cache")
    context = multiprocessing.get_context("spawn")
    ready, reports = context.Barrier(2), context.Queue()
    first, second = (context.Process(target=_build_once, args=(folder, ready, reports)) for _ in range(2))
    first.start()
    second.start()
    assert reports.get(timeout=60) == "building"
    assert not Cache(folder, 1).path(KEY).exists()
    ready.wait(60)  # instead of the process that waits for the lock
    outcomes = sorted(reports.get(timeout=60) for _ in range(2))
    first.join(60)
    second.join(60)
    assert [built for built, _ in outcomes] == [False, True]
    assert not outcomes[1][1]
    assert Cache(folder, 1).load(KEY) is not None


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in ("USASSIST_CACHE", "XDG_CACHE_HOME", "USASSIST_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path


def test_the_folder_is_the_one_that_is_named_or_the_usual_one(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_dir() == places / "home" / ".cache" / "usassist"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # not to be used, says its specification
    assert cache_dir() == places / "home" / ".cache" / "usassist"
    monkeypatch.setenv("XDG_CACHE_HOME", str(places / "xdg"))
    assert cache_dir() == places / "xdg" / "usassist"
    monkeypatch.setenv("USASSIST_CACHE", str(places / "named"))
    assert cache_dir() == places / "named"
    assert cache_dir().stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("kind", ["writable", "readable", "link", "file", "foreign"])
def test_a_folder_that_is_not_for_this_user_alone_is_refused(
    places: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    folder = places / "named"
    monkeypatch.setenv("USASSIST_CACHE", str(folder))
    if kind == "link":
        folder.symlink_to(_private(places / "real"))
    elif kind == "file":
        folder.touch()
    else:
        folder.mkdir()
        folder.chmod({"writable": 0o707, "readable": 0o750, "foreign": 0o700}[kind])
    if kind == "foreign":
        monkeypatch.setattr(os, "getuid", lambda: 12345)
    remedy = re.escape(f"chmod 700 {folder}, or name another folder with USASSIST_CACHE")
    with pytest.raises(ConfigError, match="cannot be made" if kind == "file" else f"mode 0700.; {remedy}$"):
        cache_dir()
    with pytest.raises(CacheError):
        open_cache()


def test_the_limit_is_the_setting_that_is_in_force(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Config().engine.cache_limit_mb == 4096
    monkeypatch.setattr("usassist.config._in_force", Config(engine=EngineConfig(cache_limit_mb=0)))
    cache = open_cache()
    cache.store({"n": 0}, CONTENT, {})
    cache.store({"n": 1}, CONTENT, {})
    assert [row.path for row in cache.rows()] == [cache.path({"n": 1})]


def test_a_folder_that_cannot_be_written_is_one_clear_line(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(CacheError, match="cannot be written: Permission denied; make room"), cache.locked(KEY, print):
        pass


def test_an_eviction_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache = Cache(_private(tmp_path / "cache"), 600)
    cache.store({"n": 0}, b"x" * 100, {})
    with caplog.at_level(logging.INFO):
        cache.store({"n": 1}, b"x" * 300, {})
    assert f"{cache.path({'n': 0}).name} removed to make room" in caplog.text
