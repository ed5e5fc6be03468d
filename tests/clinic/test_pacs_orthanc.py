"""Everything against a real Orthanc: sending while it is killed, finding, fetching, worklist, TLS."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, FileMetaDataset, Sequence, dcmread, dcmwrite
from pydicom.uid import ExplicitVRLittleEndian, RLELossless, generate_uid
from typer.testing import CliRunner

from tests.clinic.certificates import make_certificate
from tests.clinic.objects import an_object, write_object
from tests.clinic.orthanc import OrthancServer, free_port, running_orthanc
from tests.sweeps import Moment, Shown, record_sweep
from usassist.app.commands.main import app
from usassist.common.private_files import create_private
from usassist.dicom.network.dimse import DimseArchive
from usassist.dicom.network.nodes import Node, Query
from usassist.dicom.network.send_files import look_at
from usassist.dicom.study import read_study
from usassist.errors import ArchiveDownError, ArchiveError, ArchiveRefusedError

pytest.importorskip("pynetdicom", reason="needs the extra `dicom`: pip install 'usassist[dicom]'")


def node_of(orthanc: OrthancServer, **other: Any) -> Node:
    values = {"name": "clinic", "host": "127.0.0.1", "port": orthanc.dicom_port, "ae_title": "ORTHANC"}
    return Node(**(values | {"timeout_s": 20.0} | other))


def send(orthanc: OrthancServer, *files: Path) -> None:
    outcomes = list(DimseArchive(node_of(orthanc)).send(look_at(files).instances, lambda instance: None))
    assert [outcome.state for outcome in outcomes] == ["stored"] * len(files)


def run(*words: str) -> Any:
    return CliRunner().invoke(app, list(words))


def deliver(folder: Path, count: int) -> list[str]:
    """Send so many objects with the command while Orthanc is killed and restarted, and the sender is killed too.

    Returns
    -------
    held : SOP instance UIDs that Orthanc holds at the end, after every object was sent
    """
    source = folder / "source"
    source.mkdir()
    study = generate_uid()
    uids = []
    for series in (generate_uid(), generate_uid()):
        for number in range(count // 2):
            path = source / f"{series[-8:]}-{number:03d}.dcm"
            uids.append(write_object(path, StudyInstanceUID=study, SeriesInstanceUID=series))
    environment = os.environ | {"USASSIST_STATE": str(folder / "state")}
    with running_orthanc(folder / "orthanc") as orthanc, contextlib.ExitStack() as stack:
        settings = folder / "settings.toml"
        settings.write_text(
            f'[pacs.clinic]\nhost = "127.0.0.1"\nport = {orthanc.dicom_port}\nae_title = "ORTHANC"\ntimeout_s = 20\n'
        )
        command = [sys.executable, "-m", "usassist", "pacs", "--config", str(settings), "send", "--to", "clinic"]

        def start(*files: Path) -> subprocess.Popen[str]:
            words = [*command, *map(str, files)]
            process = subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, text=True)
            stack.callback(process.kill)
            return process

        sent = folder / "state" / "pacs" / "clinic" / "sent.jsonl"

        def wait_for(confirmed: int) -> None:
            until = time.monotonic() + 60
            while not sent.exists() or sent.read_bytes().count(b"\n") < confirmed:
                assert time.monotonic() < until
                time.sleep(0.005)

        sender = start(source)
        wait_for(count // 5)
        orthanc.kill()
        orthanc.start()
        wait_for(2 * count // 5)
        sender.send_signal(signal.SIGKILL)
        sender.communicate()
        sender = start()
        wait_for(3 * count // 5)
        orthanc.kill()
        orthanc.start()
        _, said = sender.communicate(timeout=90)
        assert sender.returncode == 0, said
        assert "Traceback" not in said
        assert not list((folder / "state" / "pacs" / "clinic").glob("*.dcm"))
        confirmed = [json.loads(line)["sop_instance_uid"] for line in sent.read_text().splitlines()]
        assert sorted(confirmed) == sorted(uids)  # each once, by this journal
        held = orthanc.instances()
    assert held == sorted(uids)
    return held


@pytest.mark.slow
def test_objects_sent_while_the_archive_and_the_sender_are_killed_are_there_once(tmp_path: Path) -> None:
    assert len(deliver(tmp_path, 30)) == 30


@pytest.mark.long
def test_a_hundred_objects_sent_while_the_archive_and_the_sender_are_killed_are_there_once(tmp_path: Path) -> None:
    assert len(deliver(tmp_path, 100)) == 100


def test_an_archive_that_stops_reading_in_the_middle_of_an_object_is_down(tmp_path: Path) -> None:
    write_object(tmp_path / "large.dcm", size_px=3000)
    (instance,) = look_at([tmp_path / "large.dcm"]).instances
    with running_orthanc(tmp_path / "orthanc") as orthanc:
        archive = DimseArchive(node_of(orthanc, timeout_s=1.0))
        outcomes = archive.send([instance], lambda instance: orthanc.pause())
        small_limit = pytest.MonkeyPatch()
        small_limit.setattr("usassist.dicom.network.send._SLOWEST_BYTES_PER_S", 1e9)
        with small_limit.context(), pytest.raises(ArchiveDownError, match="in the middle of a C-STORE"):
            list(outcomes)
        small_limit.undo()
        orthanc.pause(paused=False)


@pytest.fixture(scope="module")
def study(orthanc: OrthancServer, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, list[str]]:
    """A study of three objects in Orthanc: its UID, a series' UID, the SOP instance UIDs."""
    folder = tmp_path_factory.mktemp("study")
    uids = {"StudyInstanceUID": generate_uid(), "SeriesInstanceUID": generate_uid()}
    patient = {"PatientID": "TEST-FIND", "PatientName": "Muster^Änne", "SpecificCharacterSet": "ISO_IR 192"}
    made = {"AccessionNumber": "FIND1", "StudyDate": "20260203", "StudyDescription": "thyroid [invented]"}
    objects = [write_object(folder / f"{number}.dcm", **uids, **patient, **made) for number in range(3)]
    send(orthanc, *sorted(folder.iterdir()))
    return uids["StudyInstanceUID"], uids["SeriesInstanceUID"], sorted(objects)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"patient_id": "TEST-FIND"}, True),
        ({"accession_number": "FIND1"}, True),
        ({"study_date": "20260203"}, True),
        ({"study_date": "20260201-20260205", "modality": "US"}, True),
        ({"accession_number": "FIND1", "modality": "CT"}, False),
        ({"study_date": "20260204-"}, False),
        ({"patient_id": "NOBODY"}, False),
    ],
)
def test_studies_are_found_by_what_is_asked(
    orthanc: OrthancServer, study: tuple[str, str, list[str]], query: dict[str, str], found: bool
) -> None:
    matches = DimseArchive(node_of(orthanc)).find(Query(**query))
    (match,) = [match for match in matches if match.study_instance_uid == study[0]] or [None]
    assert (match is not None) == found
    if match is not None:
        assert (match.patient_name, match.patient_id, match.modality) == ("Muster^Änne", "TEST-FIND", "US")
        assert (match.study_date, match.accession_number, match.objects) == ("20260203", "FIND1", 3)


def test_the_command_lists_studies_series_and_objects(
    orthanc: OrthancServer, study: tuple[str, str, list[str]]
) -> None:
    to = f"ORTHANC@127.0.0.1:{orthanc.dicom_port}"
    assert f"ORTHANC at 127.0.0.1:{orthanc.dicom_port} answers" in run("pacs", "echo", to).output
    listed = run("pacs", "find", to, "--patient", "TEST-FIND").output
    assert all(text in listed for text in ("Muster^Änne", study[0], "thyroid [invented]"))
    assert study[1] in run("pacs", "find", to, "--study", study[0]).output
    objects = json.loads(run("pacs", "find", to, "--study", study[0], "--series", study[1], "--json").output)
    assert sorted(item["sop_instance_uid"] for item in objects) == study[2]
    assert "has nothing that matches" in run("pacs", "find", to, "--patient", "NOBODY").output
    for words in (
        ["--study", "abc"],
        ["--patient", "A\\B"],
        ["--date", "3.2.2026"],
        ["--series", study[1]],
        ["--study", study[0], "--patient", "X"],
    ):
        assert run("pacs", "find", to, *words).exit_code != 0


def test_a_study_is_fetched_whole_into_a_private_folder(
    orthanc: OrthancServer, study: tuple[str, str, list[str]], tmp_path: Path
) -> None:
    to = f"ORTHANC@127.0.0.1:{orthanc.dicom_port}"
    out = tmp_path / "new" / "study"
    fetched = run("pacs", "fetch", to, study[0], "--out", str(out))
    assert fetched.output.strip() == f"3 objects in {out}"
    assert sorted(path.stem for path in out.iterdir()) == study[2]
    assert {dcmread(path).SOPInstanceUID for path in out.iterdir()} == set(study[2])
    assert out.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in out.iterdir()} == {0o600}
    assert run("pacs", "fetch", to, study[0], "--out", str(out)).exit_code != 0
    missing = run("pacs", "fetch", to, "1.2.3.4", "--out", str(tmp_path / "other"))
    assert "has no such study" in str(missing.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
    assert [path.name for path in out.parent.iterdir()] == ["study"]


def test_a_study_is_fetched_by_c_move_where_a_port_is_named(
    orthanc: OrthancServer, study: tuple[str, str, list[str]], tmp_path: Path
) -> None:
    port = free_port()
    to = f"ORTHANC@127.0.0.1:{orthanc.dicom_port}"
    words = ("pacs", "fetch", to, study[0], "--move-port", str(port), "--out", str(tmp_path / "study"))
    unknown = run(*words)
    assert isinstance(unknown.exception, ArchiveError)
    assert not list(tmp_path.iterdir())
    orthanc.add_modality("usassist", "USASSIST", port)
    assert run(*words).exit_code == 0
    assert sorted(path.stem for path in (tmp_path / "study").iterdir()) == study[2]


def test_a_full_disk_leaves_nothing_of_a_study(
    orthanc: OrthancServer, study: tuple[str, str, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from usassist.dicom.network import fetch

    def full(path: Path) -> Any:
        if any(path.parent.iterdir()):
            raise OSError(errno.ENOSPC, "No space left on device")
        return create_private(path)

    monkeypatch.setattr(fetch, "create_private", full)
    to = f"ORTHANC@127.0.0.1:{orthanc.dicom_port}"
    failed = run("pacs", "fetch", to, study[0], "--out", str(tmp_path / "study"))
    assert str(failed.exception) == "the study was not kept: the disk is full; name another folder with --out"
    assert not list(tmp_path.iterdir())


def test_compressed_objects_are_fetched_as_they_are(orthanc: OrthancServer, tmp_path: Path) -> None:
    dataset = an_object(size_px=32)
    dataset.compress(RLELossless, generate_instance_uid=False)
    dcmwrite(tmp_path / "rle.dcm", dataset, enforce_file_format=True)
    send(orthanc, tmp_path / "rle.dcm")
    folder = tmp_path / "folder"
    folder.mkdir()
    assert DimseArchive(node_of(orthanc)).fetch(str(dataset.StudyInstanceUID), folder) == 1
    back = dcmread(folder / f"{dataset.SOPInstanceUID}.dcm")
    assert back.file_meta.TransferSyntaxUID == RLELossless
    assert back.PixelData == dataset.PixelData


def test_an_archive_that_dies_while_it_sends_leaves_nothing(tmp_path: Path) -> None:
    for number in range(4):
        write_object(tmp_path / f"{number}.dcm", size_px=256, StudyInstanceUID="1.2.3", SeriesInstanceUID="1.2.4")
    with running_orthanc(tmp_path / "orthanc") as orthanc:
        send(orthanc, *sorted(tmp_path.glob("*.dcm")))
        from usassist.dicom.network import fetch, fetch_folder

        stored: list[Any] = []
        original = fetch._Receiver.store

        def store(self: Any, event: Any) -> int:
            stored.append(event)
            if len(stored) == 2:
                orthanc.kill()
            return original(self, event)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fetch._Receiver, "store", store)
            with pytest.raises(ArchiveDownError, match="in the middle of a C-GET"):
                fetch_folder.fetch_into(DimseArchive(node_of(orthanc)), "1.2.3", tmp_path / "study")
        assert not [path for path in tmp_path.iterdir() if "study" in path.name]


def order(folder: Path, accession: str, **other: str) -> str:
    """Write a worklist entry for Orthanc's plugin. Returns its study instance UID."""
    dataset, step = Dataset(), Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate, dataset.PatientSex = (
        "Muster^Änne",
        other.get("patient", "TEST-7"),
        "19000102",
        "F",
    )
    dataset.AccessionNumber, dataset.StudyInstanceUID = accession, generate_uid()
    dataset.ReferringPhysicianName, dataset.RequestedProcedureID = "Invented^Doctor", "RP1"
    dataset.RequestedProcedureDescription = "US thyroid"
    step.Modality, step.ScheduledStationAETitle = other.get("modality", "US"), "CART7"
    step.ScheduledProcedureStepStartDate, step.ScheduledProcedureStepStartTime = other.get("date", "20260301"), "0930"
    step.ScheduledProcedureStepDescription, step.ScheduledProcedureStepID = "neck", "S1"
    step.ScheduledStationName = "cart 7"
    dataset.ScheduledProcedureStepSequence = Sequence([step])
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID, dataset.file_meta.MediaStorageSOPInstanceUID = (
        "1.2.276.0.7230010.3.1.0.1",  # dcmtk's, for files of a worklist
        generate_uid(),
    )
    dcmwrite(folder / f"{accession}.wl", dataset, enforce_file_format=True)
    return str(dataset.StudyInstanceUID)


@pytest.fixture(scope="module")
def ordered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[OrthancServer, str]]:
    """An Orthanc with four orders; the study UID of W1."""
    folder = tmp_path_factory.mktemp("worklists")
    study = order(folder, "W1")
    order(folder, "W2", date="20260302", patient="TEST-8")
    order(folder, "W3", date="20260303")
    order(folder, "W4", modality="CT")
    with running_orthanc(tmp_path_factory.mktemp("orthanc-worklist"), worklists=folder) as server:
        yield server, study


def test_the_worklist_is_listed_by_what_is_asked(ordered: tuple[OrthancServer, str]) -> None:
    to = f"ORTHANC@127.0.0.1:{ordered[0].dicom_port}"

    def accessions(*words: str) -> list[str]:
        listed = json.loads(run("pacs", "worklist", to, "--json", *words).output)
        return [item["study"]["accession_number"] for item in listed]

    assert accessions() == ["W1", "W2", "W3"]
    assert accessions("--modality", "CT") == ["W4"]
    assert accessions("--date", "20260302-") == ["W2", "W3"]
    assert accessions("--patient", "TEST-8") == ["W2"]
    assert accessions("--station", "CART7", "--accession", "W3") == ["W3"]
    assert accessions("--station", "CART8") == []
    table = run("pacs", "worklist", to).output
    assert all(text in table for text in ("Muster^Änne", "W1", "CART7", "neck", "20260301"))
    assert "no order that matches" in run("pacs", "worklist", to, "--accession", "W9").output


def test_the_study_of_an_order_is_written_and_several_are_refused(
    ordered: tuple[OrthancServer, str], tmp_path: Path
) -> None:
    to, path = f"ORTHANC@127.0.0.1:{ordered[0].dicom_port}", tmp_path / "study.json"
    many = run("pacs", "worklist", to, "--write", str(path))
    assert "3 orders match; name one with --accession" in str(many.exception)
    assert "W1" in many.output
    none = run("pacs", "worklist", to, "--accession", "W9", "--write", str(path))
    assert "no order matches: nothing was written" in str(none.exception)
    assert not path.exists()
    assert run("pacs", "worklist", to, "--accession", "W1", "--write", str(path)).exit_code == 0
    written = read_study(path)
    assert dataclasses.asdict(written) == {
        "patient_name": "Muster^Änne",
        "patient_id": "TEST-7",
        "patient_birth_date": "19000102",
        "patient_sex": "F",
        "accession_number": "W1",
        "study_instance_uid": ordered[1],
        "study_id": "RP1",
        "study_date": "",
        "study_time": "",
        "study_description": "US thyroid",
        "referring_physician_name": "Invented^Doctor",
        "station_name": "cart 7",
        "requested_procedure_id": "RP1",
        "scheduled_procedure_step_id": "S1",
    }
    assert path.stat().st_mode & 0o777 == 0o600
    assert run("pacs", "worklist", to, "--accession", "W1", "--write", str(path)).exit_code != 0


def test_tls_holds_against_the_authority_and_the_name(tmp_path: Path) -> None:
    other = make_certificate(tmp_path / "other", "other")
    settings = {"DicomTlsRemoteCertificateRequired": True}
    write_object(tmp_path / "one.dcm")
    with running_orthanc(tmp_path / "orthanc", tls=True, settings=settings) as orthanc:
        assert orthanc.certificate is not None
        known = {"tls_ca": str(orthanc.certificate.ca), "timeout_s": 5.0}
        own = {"tls_cert": str(orthanc.certificate.cert), "tls_key": str(orthanc.certificate.key)}

        def echo(**values: Any) -> str:
            return DimseArchive(node_of(orthanc, **(known | own | values))).echo()

        assert "DICOM over TLS" in echo()
        assert "DICOM over TLS" in echo(host="localhost")
        instances = look_at([tmp_path / "one.dcm"]).instances
        (outcome,) = DimseArchive(node_of(orthanc, **known, **own)).send(instances, lambda instance: None)
        assert outcome.state == "stored"
        with pytest.raises(ArchiveRefusedError, match=r"certificate that is not accepted: .*; check tls_ca"):
            echo(tls_ca=str(other.ca))
        with pytest.raises(ArchiveRefusedError, match=r"certificate that is not accepted: .*pacs\.example"):
            echo(tls_name="pacs.example")
        with pytest.raises(ArchiveRefusedError, match="does not accept our certificate"):
            echo(tls_cert=str(other.cert), tls_key=str(other.key))
        with pytest.raises(ArchiveError, match=r"does not accept our certificate|over TLS"):
            echo(tls_cert="", tls_key="")
        with pytest.raises(ArchiveDownError, match="if it speaks TLS, set tls_ca"):
            echo(tls_ca="", tls_cert="", tls_key="")


def test_objects_of_a_sweep_land_in_the_study_that_was_ordered(
    ordered: tuple[OrthancServer, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Worklist, export, sending; then the archive says where they are."""
    monkeypatch.setenv("USASSIST_STATE", str(tmp_path / "state"))
    orthanc, study = ordered
    to = f"ORTHANC@127.0.0.1:{orthanc.dicom_port}"
    order = str(tmp_path / "study.json")
    assert run("pacs", "worklist", to, "--accession", "W1", "--write", order).exit_code == 0
    session, out = (
        str(record_sweep(tmp_path / "session", [Moment(nodules=(Shown(track_id=1),))] * 8)),
        str(tmp_path / "dicom"),
    )
    exported = run("export", "dicom", session, "--out", out, "--study", order, "--only", "cine,report")
    assert exported.exit_code == 0, exported.output
    for said in ("objects sent to", "0 objects sent to"):  # again: nothing is doubled
        sent = run("pacs", "send", out, "--to", to)
        assert sent.exit_code == 0, sent.output
        assert said in sent.output
    (held,) = json.loads(orthanc.rest("/studies?expand"))
    tags = held["MainDicomTags"] | held["PatientMainDicomTags"]
    assert (tags["StudyInstanceUID"], tags["AccessionNumber"], tags["PatientID"]) == (study, "W1", "TEST-7")
    files = sorted(str(dcmread(path).SOPInstanceUID) for path in Path(out).iterdir())
    assert orthanc.instances() == files
    matches = json.loads(run("pacs", "find", to, "--accession", "W1", "--json").output)
    assert [(match["study_instance_uid"], match["objects"]) for match in matches] == [(study, len(files))]
