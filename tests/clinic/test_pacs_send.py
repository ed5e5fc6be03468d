"""Sending to an archive that refuses, hangs, ends the connection or dies: everything arrives once, or is kept."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread, dcmwrite
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit, RLELossless, generate_uid
from typer.testing import CliRunner

from tests.clinic.objects import an_object, write_object
from tests.clinic.scp import FakeArchive, running_scp
from tests.clinic.storescp import running_storescp
from usassist.app.commands.main import app
from usassist.dicom.network.dimse import DimseArchive
from usassist.dicom.network.drain import MAX_ATTEMPTS, Drained, Event, drain
from usassist.dicom.network.nodes import Node
from usassist.dicom.network.queue import SendQueue
from usassist.dicom.network.send_files import files_below, look_at
from usassist.errors import ArchiveDownError, ArchiveRefusedError


def node(port: int, **other: Any) -> Node:
    return Node(**({"name": "fake", "host": "127.0.0.1", "port": port, "ae_title": "FAKE", "timeout_s": 5.0} | other))


def queue_of(folder: Path, count: int, **attributes: Any) -> tuple[SendQueue, list[str]]:
    """A queue with so many objects of one series."""
    source = folder / "source"
    source.mkdir()
    series = {"StudyInstanceUID": generate_uid(), "SeriesInstanceUID": generate_uid()} | attributes
    uids = [write_object(source / f"{number:03d}.dcm", **series) for number in range(count)]
    queue = SendQueue(folder / "pacs", "fake")
    queue.add(look_at(files_below([source])).instances)
    return queue, uids


def drained(queue: SendQueue, to: Node, *, wait: bool = True) -> tuple[Drained, list[Event], list[float]]:
    events: list[Event] = []
    pauses: list[float] = []
    with queue.sending(wait=False) as alone:
        assert alone
        done = drain(queue, DimseArchive(to), wait=wait, tell=events.append, sleep=pauses.append)
    return done, events, pauses


@pytest.fixture(scope="module")
def one_for_all() -> Iterator[FakeArchive]:
    with running_scp() as archive:
        yield archive


@pytest.fixture
def fake(one_for_all: FakeArchive) -> FakeArchive:
    one_for_all.forget()
    return one_for_all


def test_many_objects_go_over_one_association_byte_for_byte(tmp_path: Path, fake: FakeArchive) -> None:
    queue, uids = queue_of(tmp_path, 6)
    data = {uid: (tmp_path / "source" / f"{number:03d}.dcm").read_bytes() for number, uid in enumerate(uids)}
    done, events, _ = drained(queue, node(fake.port))
    assert done == Drained(stored=6)
    assert [event.kind for event in events] == ["stored"] * 6
    assert fake.received == dict.fromkeys(uids, 1)
    assert all(data[uid].endswith(fake.raw[uid]) for uid in uids)
    assert fake.associations == 2  # one asked what is there
    assert queue.entries() == []
    assert set(queue.sent_before()) == set(uids)


def test_what_is_there_is_not_sent_again(tmp_path: Path, fake: FakeArchive) -> None:
    queue, uids = queue_of(tmp_path, 4)
    fake.kept[uids[1]] = dcmread(tmp_path / "source" / "001.dcm")
    done, _, _ = drained(queue, node(fake.port))
    assert (done.stored, done.present) == (3, 1)
    assert uids[1] not in fake.received
    queue.add(look_at(files_below([tmp_path / "source"])).instances)
    done, events, _ = drained(queue, node(fake.port))
    assert (done.stored, done.present) == (0, 4)
    assert {event.detail for event in events} == {"it was there already"}
    assert set(fake.received.values()) == {1}


def test_where_an_archive_cannot_be_asked_what_it_confirmed_is_not_sent_again(tmp_path: Path) -> None:
    with running_scp(asked=False) as fake:
        queue, uids = queue_of(tmp_path, 3)
        assert drained(queue, node(fake.port))[0].stored == 3
        queue.add(look_at(files_below([tmp_path / "source"])).instances)
        done, events, _ = drained(queue, node(fake.port))
        assert done.present == 3
        assert all(event.detail.startswith("it was confirmed on 20") for event in events)
        assert fake.received == dict.fromkeys(uids, 1)


def test_an_archive_that_ends_the_connection_at_queries_gets_everything(tmp_path: Path, fake: FakeArchive) -> None:
    fake.no_queries = True
    queue, uids = queue_of(tmp_path, 2)
    _, events, _ = drained(queue, node(fake.port), wait=False)
    assert [event.kind for event in events] == ["stored", "stored"]
    assert fake.received == dict.fromkeys(uids, 1)


def test_an_archive_that_ends_the_connection_in_the_middle_gets_everything_once(
    tmp_path: Path, fake: FakeArchive
) -> None:
    """It has taken the object, and ends the connection before it says so."""
    fake.before_answer = lambda association, count: association.abort() if count in (3, 7) else None
    queue, uids = queue_of(tmp_path, 9)
    done, events, pauses = drained(queue, node(fake.port))
    assert (done.stored, done.present, done.left) == (7, 2, 0)
    assert [event.detail for event in events if event.kind == "present"] == ["it had arrived"] * 2
    assert fake.received == dict.fromkeys(uids, 1)
    assert pauses == [1.0, 1.0]


def test_an_object_that_ends_every_connection_does_not_hold_up_the_others(tmp_path: Path, fake: FakeArchive) -> None:
    queue, uids = queue_of(tmp_path, 4)
    fake.status = lambda count: 0xC000 if count == 1 else 0x0000  # it is not kept
    fake.before_answer = lambda association, count: association.abort() if count == 1 else None
    assert drained(queue, node(fake.port), wait=False)[0] == Drained(left=4)
    assert [entry.state for entry in queue.entries()] == ["sending", "waiting", "waiting", "waiting"]
    fake.status = lambda count: 0xC000 if count == 5 else 0x0000
    fake.before_answer = lambda association, count: association.abort() if count == 5 else None
    assert drained(queue, node(fake.port), wait=False)[0] == Drained(stored=3, left=1)  # it came last
    assert [(entry.sop_instance_uid, entry.attempts) for entry in queue.entries()] == [(uids[0], 2)]


def test_a_poisonous_object_is_given_up(tmp_path: Path, fake: FakeArchive) -> None:
    queue, uids = queue_of(tmp_path, 1)
    fake.status = lambda count: 0xC000
    fake.before_answer = lambda association, count: association.abort()
    done, _, pauses = drained(queue, node(fake.port))
    assert (done.refused, done.left) == (1, 0)
    assert fake.received == {uids[0]: MAX_ATTEMPTS}
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0]
    assert queue.entries()[0].detail == f"the connection ended while it was sent, {MAX_ATTEMPTS} times"


def test_refusals_are_kept_and_what_may_be_taken_later_is_tried_again(tmp_path: Path, fake: FakeArchive) -> None:
    queue, uids = queue_of(tmp_path, 4)
    statuses = {1: 0xA700, 2: 0xC123, 3: 0xB000, 4: 0x0122}
    fake.status = lambda count: statuses.get(count, 0)
    done, events, _ = drained(queue, node(fake.port))
    assert (done.stored, done.refused, done.left) == (2, 2, 0)
    said = {event.sop_instance_uid: event for event in events if event.detail and event.kind != "present"}
    assert [(said[uid].kind, said[uid].detail[-6:-1]) for uid in uids] == [
        ("later", " A700"),
        ("refused", " C123"),
        ("stored", " B000"),
        ("refused", " 0122"),
    ]
    assert fake.received == {uids[0]: 2, uids[1]: 1, uids[2]: 1, uids[3]: 1}
    assert [(entry.sop_instance_uid, entry.state) for entry in queue.entries()] == [
        (uids[1], "refused"),
        (uids[3], "refused"),
    ]
    assert drained(queue, node(fake.port))[0] == Drained()  # they are not tried again by themselves


def test_an_archive_that_hangs_in_the_middle_is_left_and_asked_again(tmp_path: Path, fake: FakeArchive) -> None:
    released = threading.Event()
    fake.before_answer = lambda association, count: released.wait(30) and None if count == 2 else None
    queue, uids = queue_of(tmp_path, 3)
    done, events, _ = drained(queue, node(fake.port, timeout_s=0.5))
    released.set()
    assert (done.stored, done.present, done.left) == (2, 1, 0)
    assert "was silent for 0.5 s in the middle of a C-STORE" in next(e.detail for e in events if e.kind == "down")
    assert fake.received == dict.fromkeys(uids, 1)


def test_a_peer_that_never_answers_is_down(tmp_path: Path) -> None:
    queue, _ = queue_of(tmp_path, 1)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        done, events, _ = drained(queue, node(listener.getsockname()[1], timeout_s=0.3), wait=False)
    assert done == Drained(left=1)
    assert "was connected, but did not answer as a DICOM archive" in events[0].detail
    assert queue.entries()[0].state == "waiting"


def test_an_archive_that_is_down_is_tried_with_growing_pauses_until_it_is_there(tmp_path: Path) -> None:
    queue, uids = queue_of(tmp_path, 2)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    pauses: list[float] = []
    with running_scp() as fake:
        to = dataclasses.replace(node(port), timeout_s=2.0)
        archive = DimseArchive(to)

        def sleep(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == 8:
                archive.node = dataclasses.replace(to, port=fake.port)

        with queue.sending(wait=False):
            done = drain(queue, archive, wait=True, tell=lambda event: None, sleep=sleep)
    assert done.stored == 2
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
    assert fake.received == dict.fromkeys(uids, 1)


@pytest.mark.parametrize(
    ("scp", "wrong", "said"),
    [
        ({"called_aet": True}, {"ae_title": "OTHER"}, "is not called OTHER; correct ae_title"),
        ({"only_from": "CART"}, {}, "does not know us as USASSIST; add this AE title there"),
    ],
)
def test_another_ae_title_is_said_and_nothing_is_lost(
    tmp_path: Path, scp: dict[str, Any], wrong: dict[str, Any], said: str
) -> None:
    queue, _ = queue_of(tmp_path, 2)
    with running_scp(**scp) as fake, pytest.raises(ArchiveRefusedError, match=said):
        drained(queue, node(fake.port, **wrong))
    assert [entry.state for entry in queue.entries()] == ["waiting", "waiting"]


def test_an_object_of_a_kind_that_the_archive_does_not_take_is_refused_alone(tmp_path: Path, fake: FakeArchive) -> None:
    queue, _ = queue_of(tmp_path, 2)
    write_object(tmp_path / "ct.dcm", SOPClassUID="1.2.840.10008.5.1.4.1.1.2")
    queue.add(look_at([tmp_path / "ct.dcm"]).instances)
    done, events, _ = drained(queue, node(fake.port))
    assert (done.stored, done.refused) == (2, 1)
    assert "does not take objects of this kind (CT Image Storage)" in events[-1].detail
    (tmp_path / "only").mkdir()
    alone, _ = queue_of(tmp_path / "only", 1, SOPClassUID="1.2.840.10008.5.1.4.1.1.2")
    assert drained(alone, node(fake.port))[0].refused == 1


def test_what_the_archive_does_not_take_as_it_is_goes_uncompressed_where_nothing_is_lost(tmp_path: Path) -> None:
    dataset = an_object(size_px=32)
    pixels = dataset.pixel_array.copy()
    dataset.compress(RLELossless, generate_instance_uid=False)
    dcmwrite(tmp_path / "rle.dcm", dataset, enforce_file_format=True)
    plain = write_object(tmp_path / "plain.dcm")
    lossy = an_object()
    lossy.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    lossy.PixelData = encapsulate([b"no JPEG, but nobody looks"])
    lossy["PixelData"].is_undefined_length = True
    dcmwrite(tmp_path / "lossy.dcm", lossy, enforce_file_format=True)
    queue = SendQueue(tmp_path / "pacs", "fake")
    queue.add(look_at([tmp_path / name for name in ("rle.dcm", "plain.dcm", "lossy.dcm")]).instances)
    with running_scp(syntaxes=["1.2.840.10008.1.2"]) as fake:
        done, events, _ = drained(queue, node(fake.port))
    assert (done.stored, done.refused) == (2, 1)
    assert "does not take its transfer syntax (JPEG Baseline" in events[-1].detail
    assert fake.syntaxes == ["1.2.840.10008.1.2"] * 2
    arrived = fake.kept[dataset.SOPInstanceUID]
    assert np.array_equal(np.frombuffer(arrived.PixelData, np.uint8), pixels.ravel())
    assert fake.kept[plain].PatientName == "Test^Invented"


def test_more_kinds_than_one_association_carries_go_over_several(tmp_path: Path) -> None:
    from usassist.dicom.network import send

    instances = [
        dataclasses.replace(look_at([path]).instances[0], sop_class_uid=f"1.2.3.{number}")
        for number, path in enumerate([tmp_path / "one.dcm"] * 200)
        if path.exists() or write_object(path)
    ]
    groups = list(send._grouped(instances))
    assert [len(group) for group in groups] == [64, 64, 64, 8]
    assert [item for group in groups for item in group] == instances


def test_storescp_takes_everything_once_though_it_is_killed_in_the_middle(tmp_path: Path) -> None:
    queue, uids = queue_of(tmp_path, 8)
    with running_storescp(tmp_path, "--fork") as peer:
        to = node(peer.port, ae_title=peer.ae_title)
        events: list[Event] = []

        def tell(event: Event) -> None:
            events.append(event)
            if sum(item.kind == "stored" for item in events) == 3 and event.kind == "stored":
                peer.kill()

        with queue.sending(wait=False):
            done = drain(queue, DimseArchive(to), wait=True, tell=tell, sleep=lambda seconds: peer.start())
        assert done.left == done.refused == 0
        assert peer.instances() == sorted(uids)


@pytest.mark.parametrize(
    ("option", "said"),
    [("--refuse", "rejects the connection"), ("--abort-after", "ended the connection in the middle of a C-STORE")],
)
def test_storescp_that_refuses_or_aborts_gets_nothing_and_nothing_is_lost(
    tmp_path: Path, option: str, said: str
) -> None:
    queue, uids = queue_of(tmp_path, 2)
    with running_storescp(tmp_path, option) as peer:
        to = node(peer.port, ae_title=peer.ae_title)
        if option == "--refuse":
            with pytest.raises(ArchiveRefusedError, match=said):
                drained(queue, to)
        else:
            done, events, _ = drained(queue, to, wait=False)
            assert done.left == 2
            assert said in events[0].detail
    assert [entry.sop_instance_uid for entry in queue.entries()] == uids


def test_the_log_of_the_library_names_nobody(
    tmp_path: Path, fake: FakeArchive, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    queue, _ = queue_of(tmp_path, 1)
    drained(queue, node(fake.port))
    with pytest.raises(ArchiveDownError):
        DimseArchive(node(1, timeout_s=1.0)).echo()
    assert "Invented" not in caplog.text
    assert "TEST-1" not in caplog.text


def run(*words: str) -> Any:
    return CliRunner().invoke(app, list(words))


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("USASSIST_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


def test_the_command_queues_sends_and_says_what_was_refused(tmp_path: Path, state: Path, fake: FakeArchive) -> None:
    uid, bad = (
        write_object(tmp_path / "1.dcm"),
        write_object(tmp_path / "2.dcm", SOPClassUID="1.2.840.10008.5.1.4.1.1.2"),
    )
    to = f"FAKE@127.0.0.1:{fake.port}"
    sent = run("pacs", "send", str(tmp_path / "1.dcm"), str(tmp_path / "2.dcm"), "--to", to)
    assert sent.exit_code == 1
    assert "2 objects queued" in sent.output
    assert "1 objects sent" in sent.output
    assert fake.received == {uid: 1}
    listed = run("pacs", "queue", "list")
    assert "refused" in listed.output
    assert bad in listed.output
    assert "Invented" not in listed.output
    assert "1 objects wait" in run("pacs", "queue", "retry").output
    assert run("pacs", "queue", "drop", "1.2.3").exit_code != 0
    assert "1 objects removed" in run("pacs", "queue", "drop", bad, "--to", to).output
    assert "nothing is queued" in run("pacs", "queue", "list").output
    assert "nothing waits" in run("pacs", "send").output


def test_the_command_queues_nothing_where_one_file_is_bad(tmp_path: Path, state: Path, fake: FakeArchive) -> None:
    write_object(tmp_path / "1.dcm")
    (tmp_path / "2.txt").write_text("x")
    to = f"FAKE@127.0.0.1:{fake.port}"
    words = ("pacs", "send", str(tmp_path / "1.dcm"), str(tmp_path / "2.txt"), "--to", to)
    refused = run(*words)
    assert refused.exit_code == 1
    assert "2.txt is not a DICOM file" in refused.output
    assert run("pacs", "queue", "list", "--json").output.strip() == "[]"
    assert run(*words, "--skip-bad").exit_code == 0
    assert sum(fake.received.values()) == 1


def test_an_archive_that_refuses_us_does_not_hold_up_another(tmp_path: Path, state: Path) -> None:
    uid = write_object(tmp_path / "1.dcm")
    with running_scp(called_aet=True) as strict:
        for to in (f"OTHER@127.0.0.1:{strict.port}", f"FAKE@127.0.0.1:{strict.port}"):
            queue = SendQueue(state / "pacs", to)
            state.chmod(0o700)
            queue.add(look_at([tmp_path / "1.dcm"]).instances)
        sent = run("pacs", "send")
        assert sent.exit_code == 1
        assert "is not called OTHER" in sent.output
        assert strict.received == {uid: 1}
        assert [entry["to"] for entry in json.loads(run("pacs", "queue", "list", "--json").output)] == [
            f"OTHER@127.0.0.1:{strict.port}"
        ]


def test_a_sender_that_is_killed_in_the_middle_sends_nothing_twice(tmp_path: Path, fake: FakeArchive) -> None:
    source = tmp_path / "source"
    source.mkdir()
    series = {"StudyInstanceUID": generate_uid(), "SeriesInstanceUID": generate_uid()}
    uids = [write_object(source / f"{number}.dcm", **series) for number in range(12)]
    environment = os.environ | {"USASSIST_STATE": str(tmp_path / "state")}
    command = [sys.executable, "-m", "usassist", "pacs", "send", "--to", f"FAKE@127.0.0.1:{fake.port}"]
    kill = threading.Event()
    process: list[subprocess.Popen[bytes]] = []

    def before_answer(association: Any, count: int) -> None:
        if count == 5:  # it has arrived, and the sender does not know
            process[0].kill()
            process[0].wait()
            kill.set()

    fake.before_answer = before_answer
    process.append(subprocess.Popen([*command, str(source)], env=environment, stderr=subprocess.PIPE))
    assert kill.wait(60)
    process[0].communicate()
    again = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert "7 objects sent" in again.stderr
    assert "1 were there already" in again.stderr
    assert fake.received == dict.fromkeys(uids, 1)
