"""The folder of received studies: whole files, one of each object, and nothing half-received among the complete."""

from __future__ import annotations

import errno
import os
import stat
import threading
from pathlib import Path

import pytest

from usassist.dicom.network.store import StudyStore, uid_name
from usassist.errors import DifferentObjectError, StoreError, StoreFullError

HEAD = b"\0" * 128 + b"DICM" + b"\x02\x00\x00\x00UL\x04\x00" + (8).to_bytes(4, "little")


def a_file(writer: bytes = b"writer 1", data_set: bytes = b"pixels") -> bytes:
    assert len(writer) == 8
    return HEAD + writer + data_set


def test_an_object_is_kept_once_and_in_private(tmp_path: Path) -> None:
    store = StudyStore(tmp_path / "store")
    assert store.keep("1.2", "1.2.3", a_file())
    assert not store.keep("1.2", "1.2.3", a_file(b"writer 2"))
    assert not store.keep("1.2", "1.2.3", a_file()[:100], a_file()[100:])
    folder = store.complete("1.2")
    assert not store.keep("1.2", "1.2.3", a_file(b"writer 2")), "also when the study is complete"
    path = folder / "1.2.3.dcm"
    assert path.read_bytes() == a_file()
    assert [stat.S_IMODE(item.stat().st_mode) for item in (path, folder, store.folder)] == [0o600, 0o700, 0o700]
    assert [str(item.relative_to(tmp_path)) for item in sorted(tmp_path.rglob("*"))] == [
        "store",
        "store/incoming",
        "store/studies",
        "store/studies/1.2",
        "store/studies/1.2/1.2.3.dcm",
    ]


@pytest.mark.parametrize("complete", [False, True])
@pytest.mark.parametrize("other", [b"pixelz", b"pixel", b"pixels and more"])
def test_another_object_of_the_same_uid_is_refused_and_the_first_stays(
    tmp_path: Path, other: bytes, complete: bool
) -> None:
    store = StudyStore(tmp_path / "store")
    store.keep("1.2", "1.2.3", a_file())
    if complete:
        store.complete("1.2")
    with pytest.raises(DifferentObjectError, match=r"move .* away"):
        store.keep("1.2", "1.2.3", a_file(data_set=other))
    (path,) = store.folder.rglob("*.dcm")
    assert path.read_bytes() == a_file()


def test_a_study_grows_by_what_comes_later(tmp_path: Path) -> None:
    store = StudyStore(tmp_path / "store")
    store.keep("1.2", "1.2.3", a_file())
    folder = store.complete("1.2")
    store.keep("1.2", "1.2.4", a_file())
    assert [item.count for item in store.unfinished()] == [1]
    assert [path.name for path in folder.iterdir()] == ["1.2.3.dcm"]
    assert store.complete("1.2") == folder
    assert sorted(path.name for path in folder.iterdir()) == ["1.2.3.dcm", "1.2.4.dcm"]
    assert store.unfinished() == []
    assert store.complete("1.2") == folder, "asked again, nothing changes"


def test_after_a_start_only_what_a_sender_had_ended_is_complete(tmp_path: Path) -> None:
    store = StudyStore(tmp_path / "store")
    for study in ("1.1", "1.2", "1.3"):
        store.keep(study, "1.9", a_file())
    store.end("1.1")
    store.end("1.2")
    store.keep("1.2", "1.10", a_file())  # and this sender was cut off
    (store.folder / "incoming" / "1.3" / f".{'0' * 32}.tmp").write_bytes(b"half of an object")
    (store.folder / "incoming" / "1.4").mkdir()
    again = StudyStore(tmp_path / "store")
    assert [path.name for path in again.recover()] == ["1.1"]
    assert [(item.folder.name, item.count) for item in again.unfinished()] == [("1.2", 2), ("1.3", 1)]
    assert [path.name for path in (store.folder / "studies").iterdir()] == ["1.1"]
    assert not list(store.folder.rglob("*.tmp"))


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = StudyStore(tmp_path / "store")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StoreFullError, match="free some space"):
            store.keep("1.2", "1.2.3", a_file())
    assert [path for path in store.folder.rglob("*") if path.is_file()] == []
    assert store.keep("1.2", "1.2.3", a_file())


def test_many_threads_keep_each_object_once(tmp_path: Path) -> None:
    store = StudyStore(tmp_path / "store")
    new: list[bool] = []

    def send() -> None:
        for number in range(10):
            new.append(store.keep("1.2", f"1.2.{number}", a_file()))
            store.complete("1.2")

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(new), sum(new)) == (40, 10)
    assert len(list((store.folder / "studies" / "1.2").glob("*.dcm"))) == 10


@pytest.mark.parametrize("uid", ["../../etc/passwd", "1.2/3", "Nobody^Test", "", "1" * 65, "1.2.\0", "١.٢"])
def test_what_is_no_uid_becomes_a_hash(uid: str) -> None:
    assert uid_name(uid).startswith("x")
    assert uid_name(uid).isalnum()
    assert uid_name(uid) != uid_name(uid + "0")


def test_an_object_without_a_uid_is_not_kept(tmp_path: Path) -> None:
    store = StudyStore(tmp_path / "store")
    with pytest.raises(StoreError, match="without"):
        store.keep("", "1.2.3", a_file())
    with pytest.raises(StoreError, match="has arrived"):
        store.complete("1.2")


def test_a_folder_that_others_may_open_is_refused(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir(mode=0o755)
    with pytest.raises(StoreError, match="chmod 700"):
        StudyStore(tmp_path / "open")
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(StoreError, match="name another folder"):
        StudyStore(tmp_path / "file")


def test_one_receiver_at_a_time(tmp_path: Path) -> None:
    store = StudyStore(tmp_path / "store")
    with (
        store.alone(),
        pytest.raises(StoreError, match="another usassist pacs listen"),
        StudyStore(tmp_path / "store").alone(),
    ):
        pass
    with store.alone():
        pass
