"""The queue on the disk: whole or not at all, and nothing lost or doubled by a process that is killed."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.clinic.objects import write_object
from usassist.dicom.network.nodes import Instance
from usassist.dicom.network.queue import SendQueue, all_queues
from usassist.dicom.network.send_files import read_instance
from usassist.errors import DicomError


def objects(folder: Path, count: int) -> list[Instance]:
    folder.mkdir()
    for number in range(count):
        write_object(folder / f"{number}.dcm")
    return [read_instance(folder / f"{number}.dcm") for number in range(count)]


def test_what_is_queued_stays_when_its_source_goes(tmp_path: Path) -> None:
    instances = objects(tmp_path / "source", 2)
    content = [instance.path.read_bytes() for instance in instances]
    queue = SendQueue(tmp_path / "pacs", "ARCHIVE@h:104")
    assert queue.add(instances) == (2, 0)
    shutil.rmtree(tmp_path / "source")
    again = SendQueue(tmp_path / "pacs", "ARCHIVE@h:104")
    assert [again.instance(entry).path.read_bytes() for entry in again.entries()] == content
    assert [entry.state for entry in again.entries()] == ["waiting", "waiting"]
    assert [queue.to for queue in all_queues(tmp_path / "pacs")] == ["ARCHIVE@h:104"]


def test_only_its_user_can_read_it_and_names_of_files_name_nobody(tmp_path: Path) -> None:
    queue = SendQueue(tmp_path / "pacs", "x")
    queue.add(objects(tmp_path / "source", 1))
    queue.done(queue.entries()[0], "")
    queue.add([read_instance(tmp_path / "source" / "0.dcm")])
    files = list(queue.folder.iterdir())
    assert len(files) == 3
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    assert queue.folder.stat().st_mode & 0o777 == 0o700
    assert not any("test" in path.name.lower() for path in files)


def test_an_object_is_queued_once(tmp_path: Path) -> None:
    queue = SendQueue(tmp_path / "pacs", "x")
    instances = objects(tmp_path / "source", 3)
    assert queue.add(instances[:2]) == (2, 0)
    assert queue.add(instances) == (1, 2)
    assert len(queue.entries()) == 3


def test_a_full_disk_queues_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = SendQueue(tmp_path / "pacs", "x")
    instances = objects(tmp_path / "source", 3)
    copied: list[Any] = []
    copy = shutil.copyfileobj

    def full(*arguments: Any) -> None:
        copied.append(arguments)
        if len(copied) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        copy(*arguments)

    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(DicomError, match="full: nothing was queued; free some space"):
        queue.add(instances)
    assert queue.entries() == []
    assert list(queue.folder.iterdir()) == []


def test_what_was_confirmed_is_not_queued_any_more_even_if_its_files_are(tmp_path: Path) -> None:
    """As a process that was killed between the two leaves it."""
    queue = SendQueue(tmp_path / "pacs", "x")
    instances = objects(tmp_path / "source", 2)
    queue.add(instances)
    first = queue.entries()[0]
    saved = {path: path.read_bytes() for path in queue.folder.glob(f"{first.name}*")}
    queue.done(first, "")
    for path, data in saved.items():
        path.write_bytes(data)
    assert [entry.sop_instance_uid for entry in queue.entries()] == [instances[1].sop_instance_uid]
    queue.add([])
    assert not any(path.exists() for path in saved)
    assert set(queue.sent_before()) == {instances[0].sop_instance_uid}


def test_a_line_that_a_crash_cut_off_confirms_nothing_and_spoils_nothing(tmp_path: Path) -> None:
    queue = SendQueue(tmp_path / "pacs", "x")
    instances = objects(tmp_path / "source", 2)
    queue.add(instances)
    first, second = queue.entries()
    whole = msgspec.json.encode({"name": first.name, "sop_instance_uid": first.sop_instance_uid, "at_utc": "x"})
    (queue.folder / "sent.jsonl").write_bytes(whole[:-9])
    assert queue.entries() == [first, second]
    queue.done(second, "")
    assert queue.entries() == [first]
    lines = (queue.folder / "sent.jsonl").read_bytes().split(b"\n")
    assert json.loads(lines[1])["sop_instance_uid"] == second.sop_instance_uid


def test_what_a_killed_process_left_half_queued_is_removed(tmp_path: Path) -> None:
    queue = SendQueue(tmp_path / "pacs", "x")
    (queue.folder / "00000000000000000001-abcd.dcm").write_bytes(b"half of an object")
    assert queue.entries() == []
    queue.add([])
    assert list(queue.folder.iterdir()) == []


def test_one_sender_at_a_time(tmp_path: Path) -> None:
    queue, other = SendQueue(tmp_path / "pacs", "x"), SendQueue(tmp_path / "pacs", "x")
    with queue.sending(wait=True) as alone:
        assert alone
        with other.sending(wait=False) as free:
            assert not free
        with SendQueue(tmp_path / "pacs", "y").sending(wait=False) as free:
            assert free
    with other.sending(wait=False) as free:
        assert free


def test_a_damaged_entry_is_told(tmp_path: Path) -> None:
    queue = SendQueue(tmp_path / "pacs", "x")
    (queue.folder / "0-a.json").write_text("{")
    with pytest.raises(DicomError, match=r"0-a\.json of the queue cannot be read"):
        queue.entries()
