"""The receiver: whole studies only, "success" only for what is on the disk, and no sender that can stop it."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit, generate_uid

from tests.clinic.certificates import make_certificate
from tests.clinic.dcmtk import find_dcmtk
from tests.clinic.objects import ULTRASOUND, an_object, write_object
from tests.clinic.orthanc import OrthancServer
from usassist.dicom.network.listen import ListenOptions, Receiver, receiving
from usassist.dicom.network.store import StudyStore
from usassist.errors import UsageError

RETIRED = "1.2.840.10008.5.1.4.1.1.6"  # ultrasound of older scanners

pynetdicom = pytest.importorskip("pynetdicom", reason="needs the extra dicom")


class Running:
    """A receiver in a thread of the test that looks at its studies all the time."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder = folder
        self.lines: list[str] = []
        self.studies: list[tuple[str, int]] = []
        self.options = ListenOptions(**({"port": 0, "quiet_s": 0.0, "timeout_s": 20.0} | options))
        self.store = StudyStore(folder)
        self.receiver: Receiver | None = None

    @contextlib.contextmanager
    def run(self) -> Iterator[Running]:
        stop = threading.Event()

        def look() -> None:
            while not stop.wait(0.005):
                assert self.receiver is not None
                self.receiver.tick()

        with receiving(
            self.store, self.options, self.lines.append, lambda folder, new: self.studies.append((folder.name, new))
        ) as self.receiver:
            thread = threading.Thread(target=look)
            thread.start()
            try:
                yield self
            finally:
                stop.set()
                thread.join()

    @property
    def port(self) -> int:
        assert self.receiver is not None
        return self.receiver.address[1]

    def complete(self, uid: str) -> list[str]:
        return sorted(path.name for path in (self.folder / "studies" / uid).glob("*"))


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    with contextlib.ExitStack() as stack:

        def begin(**options: Any) -> Running:
            return stack.enter_context(Running(tmp_path / "store", **options).run())

        yield begin


@contextlib.contextmanager
def association(running: Running, *, title: str = "SCANNER", called: str = "USASSIST", **more: Any) -> Iterator[Any]:
    entity = pynetdicom.AE(ae_title=title)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 20
    for uid in ("1.2.840.10008.1.1", ULTRASOUND, RETIRED, "1.2.840.10008.5.1.4.1.1.2", "1.2.3.4.5"):
        entity.add_requested_context(uid, [ExplicitVRLittleEndian])
    entity.add_requested_context("1.2.840.10008.5.1.4.1.1.3.1", [JPEGBaseline8Bit])
    found = entity.associate("127.0.0.1", running.port, ae_title=called, **more)
    try:
        yield found
    finally:
        if found.is_established:
            found.release()
        if found.dul.socket is not None and found.dul.socket.socket is not None:
            found.dul.socket.socket.close()  # pynetdicom leaves it open where the other end has gone


def store(sender: Any, dataset: Dataset) -> int:
    return int(sender.send_c_store(dataset).Status)


def wait_for(what: Callable[[], object]) -> None:
    until = time.monotonic() + 30
    while not what():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.005)


def test_a_study_is_complete_when_its_sender_has_released(start: Callable[..., Running]) -> None:
    running = start()
    study = generate_uid()
    objects = [an_object(StudyInstanceUID=study) for _ in range(3)]
    with association(running) as sender:
        assert int(sender.send_c_echo().Status) == 0
        for dataset in objects:
            assert store(sender, dataset) == 0
        assert running.complete(study) == [], "its sender has not said goodbye"
        assert len(list((running.folder / "incoming" / study).glob("*.dcm"))) == 3
    wait_for(lambda: running.studies)
    assert running.studies == [(study, 3)]
    assert running.complete(study) == sorted(f"{item.SOPInstanceUID}.dcm" for item in objects)
    held = dcmread(running.folder / "studies" / study / f"{objects[0].SOPInstanceUID}.dcm")
    assert held.PixelData == objects[0].PixelData
    assert (held.PatientName, held.file_meta.TransferSyntaxUID) == ("Test^Invented", ExplicitVRLittleEndian)
    assert not list((running.folder / "incoming").iterdir())
    assert "Invented" not in " ".join([*running.lines, *(str(path) for path in running.folder.rglob("*"))])


def test_dcmtk_sends_files_that_arrive_with_the_same_pixels(start: Callable[..., Running], tmp_path: Path) -> None:
    program = find_dcmtk("storescu")
    if program is None:
        pytest.skip("no storescu here; apt-get install dcmtk")
    running = start()
    study = generate_uid()
    for number in range(5):
        write_object(tmp_path / f"{number}.dcm", StudyInstanceUID=study, InstanceNumber=number, size_px=64)
    files = [str(path) for path in sorted(tmp_path.glob("*.dcm"))]
    command = [program, "-aet", "SCANNER", "-aec", "USASSIST", "127.0.0.1", str(running.port), *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    wait_for(lambda: running.studies)
    assert running.studies == [(study, 5)]
    for file in files:
        sent = dcmread(file)
        held = dcmread(running.folder / "studies" / study / f"{sent.SOPInstanceUID}.dcm")
        assert held.PixelData == sent.PixelData


def test_a_real_archive_sends_a_study_to_it(
    start: Callable[..., Running], orthanc: OrthancServer, tmp_path: Path
) -> None:
    running = start()
    study = generate_uid()
    for number in range(3):
        write_object(tmp_path / "one.dcm", StudyInstanceUID=study, InstanceNumber=number)
        orthanc.rest("/instances", (tmp_path / "one.dcm").read_bytes())
    orthanc.add_modality("usassist", "USASSIST", running.port)
    (found,) = json.loads(orthanc.rest("/tools/lookup", study.encode()))
    orthanc.rest("/modalities/usassist/store", found["ID"].encode())
    wait_for(lambda: running.studies)
    assert running.studies == [(study, 3)]
    assert json.loads(orthanc.rest("/modalities/usassist/echo", b"{}")) == {}


def test_a_study_waits_for_quiet_and_for_its_other_senders(start: Callable[..., Running]) -> None:
    running = start(quiet_s=3600.0)
    study = generate_uid()
    with association(running) as first:
        assert store(first, an_object(StudyInstanceUID=study)) == 0
        with association(running) as second:
            assert store(second, an_object(StudyInstanceUID=study)) == 0
        assert running.complete(study) == []
    with association(running) as third:  # before it has been quiet
        assert store(third, an_object(StudyInstanceUID=study)) == 0
    ended = running.folder / "incoming" / study / ".ended"
    wait_for(ended.exists)
    assert running.studies == []
    assert running.receiver is not None
    running.receiver.tick(quiet_s=0.0)
    assert running.studies == [(study, 3)]


def test_the_same_object_is_kept_once_and_another_of_its_uid_is_refused(start: Callable[..., Running]) -> None:
    running = start()
    dataset = an_object()
    study = dataset.StudyInstanceUID
    with association(running) as sender:
        assert store(sender, dataset) == 0
        assert store(sender, dataset) == 0
    wait_for(lambda: running.studies)
    other = an_object(StudyInstanceUID=study, SOPInstanceUID=dataset.SOPInstanceUID, PatientID="TEST-2")
    with association(running) as sender:
        assert store(sender, dataset) == 0, "also when the study is complete"
        status = sender.send_c_store(other)
    assert (status.Status, status.ErrorComment) == (
        0xC002,
        "an object is here already with other content, which stays"[:64],
    )
    assert [name for name, new in running.studies if new] == [study]
    (path,) = (running.folder / "studies" / study).iterdir()
    assert dcmread(path).PatientID == "TEST-1"


def test_what_a_sender_left_in_the_middle_stays_apart_until_it_is_sent_again(start: Callable[..., Running]) -> None:
    running = start()
    study = generate_uid()
    first, second = (an_object(StudyInstanceUID=study) for _ in range(2))
    with association(running) as sender:
        assert store(sender, first) == 0
        sender.abort()
    wait_for(lambda: running.lines)
    assert "cut off; 1 objects have come" in running.lines[0]
    assert (running.studies, running.complete(study)) == ([], [])
    with association(running) as sender:
        assert (store(sender, first), store(sender, second)) == (0, 0)
    wait_for(lambda: running.studies)
    assert len(running.complete(study)) == 2


def test_a_connection_that_is_cut_inside_an_object_leaves_nothing_of_it(start: Callable[..., Running]) -> None:
    running = start()
    study = generate_uid()
    with association(running) as sender:
        assert store(sender, an_object(StudyInstanceUID=study)) == 0
        entity = an_object(StudyInstanceUID=study, size_px=1024)
        thread = threading.Thread(target=lambda: sender.send_c_store(entity))
        sent = []

        def cut(event: Any) -> None:
            sent.append(event)
            if len(sent) == 4:  # the command, and parts of the data set
                sender.dul.socket.socket.shutdown(socket.SHUT_RDWR)

        sender.bind(pynetdicom.evt.EVT_PDU_SENT, cut)
        thread.start()
        thread.join()
    wait_for(lambda: running.lines)
    assert "cut off; 1 objects have come" in running.lines[0]
    assert len([path for path in (running.folder / "incoming" / study).iterdir()]) == 1


def test_a_full_disk_is_out_of_resources_and_never_a_success(
    start: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    running = start()
    study = generate_uid()
    first, second = (an_object(StudyInstanceUID=study) for _ in range(2))

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with association(running) as sender:
        assert store(sender, first) == 0
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            status = sender.send_c_store(second)
        assert (status.Status, status.ErrorComment) == (0xA700, "the disk is full; free some space")
    wait_for(lambda: len(running.lines) == 2)
    assert running.lines[0] == "SCANNER: refused (A700): the disk is full; free some space"
    assert "1 objects are missing; 1 objects have come" in running.lines[1]
    assert running.studies == [], "it lacks an object, although its sender has released"
    with association(running) as sender:
        assert store(sender, second) == 0, "and it goes on when there is room again"
    wait_for(lambda: running.studies)
    assert len(running.complete(study)) == 2


def test_objects_that_are_none_are_refused_and_told_why(start: Callable[..., Running]) -> None:
    running = start(max_bytes=100_000)
    with association(running) as sender:
        nameless = an_object()
        nameless.StudyInstanceUID = ""
        assert store(sender, nameless) == 0xC000
        assert store(sender, an_object(size_px=320)) == 0xC001
        mine = an_object(SOPClassUID=RETIRED)
        with pytest.raises(ValueError, match="No presentation context"):
            sender.send_c_store(an_object(SOPClassUID="1.2.3.4.5"))  # refused when the association was made
        assert store(sender, mine) == 0
    wait_for(lambda: running.studies)
    assert [name for name, _ in running.studies] == [mine.StudyInstanceUID]
    assert len(running.lines) == 2


def test_an_endless_object_is_cut_off(start: Callable[..., Running]) -> None:
    running = start(max_bytes=100_000)
    with association(running) as sender:
        with contextlib.suppress(Exception):  # it is cut off while it sends
            sender.send_c_store(an_object(size_px=4096))
        wait_for(lambda: not sender.is_established or running.lines)
    assert list((running.folder / "incoming").iterdir()) == []


@pytest.mark.parametrize(("title", "called"), [("STRANGER", "USASSIST"), ("SCANNER", "SOMEONE")])
def test_who_may_not_send_or_calls_another_is_refused(start: Callable[..., Running], title: str, called: str) -> None:
    running = start(allow=("SCANNER",))
    with association(running, title=title, called=called) as sender:
        assert not sender.is_established
    with association(running) as sender:
        assert store(sender, an_object()) == 0
    wait_for(lambda: running.lines)
    assert running.lines == [
        "STRANGER: refused: it is not among --allow"
        if called == "USASSIST"
        else "SCANNER: refused: it calls SOMEONE, and this is USASSIST"
    ]


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        os.urandom(64),
        b"\x01\x00\xff\xff\xff\xff" + b"x" * 4096,
        b"\x04\x00\x00\x00\x00\x01\x00",
    ],
    ids=["http", "random", "4 GiB", "data first"],
)
def test_garbage_ends_its_own_connection_only(start: Callable[..., Running], garbage: bytes) -> None:
    running = start()
    with socket.create_connection(("127.0.0.1", running.port), 20) as connection:
        connection.sendall(garbage)
        with contextlib.suppress(ConnectionError):
            while connection.recv(4096):
                pass
    with association(running) as sender:
        assert store(sender, an_object()) == 0


def test_over_tls_only_known_senders_and_a_silent_one_stops_none(start: Callable[..., Running], tmp_path: Path) -> None:
    own, foreign = make_certificate(tmp_path, "own"), make_certificate(tmp_path, "foreign")
    running = start(tls_cert=own.cert, tls_key=own.key, tls_ca=own.ca)
    with socket.create_connection(("127.0.0.1", running.port)):  # and says nothing
        context = ssl.create_default_context(cafile=str(own.ca))
        context.load_cert_chain(own.cert, own.key)
        with association(running, tls_args=(context, "localhost")) as sender:
            assert store(sender, an_object()) == 0
        wait_for(lambda: running.studies)
        other = ssl.create_default_context(cafile=str(own.ca))
        other.load_cert_chain(foreign.cert, foreign.key)
        for wrong in ({"tls_args": (other, "localhost")}, {}):
            with association(running, **wrong) as sender:
                assert not sender.is_established


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        running = Running(tmp_path / "store", port=taken.getsockname()[1])
        with pytest.raises(UsageError, match="name another with --port"), running.run():
            pass


def test_what_has_ended_is_complete_when_listening_ends(tmp_path: Path) -> None:
    study, open_study = generate_uid(), generate_uid()
    with contextlib.ExitStack() as stack:
        with Running(tmp_path / "store", quiet_s=3600.0).run() as running:
            with association(running) as sender:
                assert store(sender, an_object(StudyInstanceUID=study)) == 0
            sender = stack.enter_context(association(running))
            assert store(sender, an_object(StudyInstanceUID=open_study)) == 0
        assert running.studies == [(study, 1)]
        assert [item.folder.name for item in running.store.unfinished()] == [open_study]
