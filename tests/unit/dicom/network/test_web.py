"""DICOMweb against a real Orthanc, and against servers that answer wrongly: the outcome of each object."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.uid import JPEGBaseline8Bit, generate_uid

from tests.clinic.certificates import make_certificate
from tests.clinic.objects import ULTRASOUND, write_object
from tests.clinic.orthanc import OrthancServer, free_port, running_orthanc
from tests.clinic.tcp_proxy import tcp_proxy
from tests.clinic.web_server import AnyServer, any_server
from usassist.dicom.network.nodes import Instance, Query, WebNode
from usassist.dicom.network.web import WebArchive
from usassist.errors import ArchiveDownError, ArchiveError, ArchiveRefusedError, UsageError, UsAssistError

pytest.importorskip("dicomweb_client", reason="needs the extra dicom")


def an_instance(path: Path, **attributes: Any) -> Instance:
    write_object(path, **attributes)
    dataset = dcmread(path, stop_before_pixels=True)
    return Instance(
        path=path,
        size_bytes=path.stat().st_size,
        sop_class_uid=dataset.SOPClassUID,
        sop_instance_uid=dataset.SOPInstanceUID,
        study_instance_uid=dataset.StudyInstanceUID,
        series_instance_uid=dataset.SeriesInstanceUID,
        transfer_syntax_uid=dataset.file_meta.TransferSyntaxUID,
    )


def a_series(folder: Path, count: int, **attributes: Any) -> list[Instance]:
    uids = {"StudyInstanceUID": generate_uid(), "SeriesInstanceUID": generate_uid()} | attributes
    return [an_instance(folder / f"{number}.dcm", InstanceNumber=number, **uids) for number in range(1, count + 1)]


def archive(url: str, **settings: Any) -> WebArchive:
    return WebArchive(WebNode(name="web", url=url, **({"timeout_s": 10.0} | settings)))


@pytest.fixture
def server() -> Iterator[AnyServer]:
    with any_server() as running:
        yield running


def test_thirty_objects_arrive_and_come_back_byte_for_byte(orthanc: OrthancServer, tmp_path: Path) -> None:
    web = archive(orthanc.dicomweb_url)
    instances = a_series(tmp_path, 30, AccessionNumber="ACC30", PatientID="TEST-30")
    begun: list[Instance] = []
    outcomes = list(web.send(instances, begun.append))
    assert begun == instances
    assert [(item.instance, item.state, item.detail) for item in outcomes] == [(i, "stored", "") for i in instances]
    assert all(orthanc.file(item.sop_instance_uid) == item.path.read_bytes() for item in instances[::7])
    study, series = instances[0].study_instance_uid, instances[0].series_instance_uid
    assert web.present(study, series) == {item.sop_instance_uid for item in instances}
    fetched = tmp_path / "fetched"
    fetched.mkdir()
    assert web.fetch(study, fetched) == 30
    assert {path.name for path in fetched.iterdir()} == {f"{item.sop_instance_uid}.dcm" for item in instances}
    for item in instances:
        assert (fetched / f"{item.sop_instance_uid}.dcm").read_bytes() == item.path.read_bytes()
    again = list(web.send(instances[:3], begun.append))
    assert {item.state for item in again} == {"stored"}
    held = orthanc.instances()
    assert all(held.count(item.sop_instance_uid) == 1 for item in instances)


def test_a_search_finds_by_every_key_and_says_how_many(orthanc: OrthancServer, tmp_path: Path) -> None:
    web = archive(orthanc.dicomweb_url)
    (instance, other) = a_series(
        tmp_path, 2, AccessionNumber="ACC7", PatientID="TEST-7", StudyDate="20250307", SeriesDescription="Sweep"
    )
    list(web.send([instance, other], lambda _: None))
    study = instance.study_instance_uid
    for query in (
        Query(patient_id="TEST-7"),
        Query(patient_id="TEST-?", accession_number="ACC7"),
        Query(patient_id="TES*7"),
        Query(accession_number="ACC7", study_date="20250301-20250331"),
        Query(study_instance_uid=study, modality="US"),
    ):
        (match,) = web.find(query)
        assert (match.study_instance_uid, match.objects, match.modality) == (study, 2, "US")
        assert (match.patient_id, match.study_date, match.accession_number) == ("TEST-7", "20250307", "ACC7")
    assert web.find(Query(patient_id="TEST-7", modality="CT")) == []
    (series,) = web.find(Query(level="SERIES", study_instance_uid=study))
    assert (series.series_instance_uid, series.objects) == (instance.series_instance_uid, 2)
    assert series.description == "Sweep"
    images = web.find(Query(level="IMAGE", study_instance_uid=study))
    assert {item.sop_class_uid for item in images} == {ULTRASOUND}
    assert {item.sop_instance_uid for item in images} == {instance.sop_instance_uid, other.sop_instance_uid}


def test_compressed_pixels_come_back_as_they_were_sent(orthanc: OrthancServer, tmp_path: Path) -> None:
    from pydicom.encaps import encapsulate

    web = archive(orthanc.dicomweb_url)
    pixels = encapsulate([b"\xff\xd8 no real JPEG, and nobody may decode it \xff\xd9"])
    (instance,) = a_series(tmp_path, 1, syntax=JPEGBaseline8Bit, PixelData=pixels)
    (outcome,) = web.send([instance], lambda _: None)
    assert outcome.state == "stored"
    (tmp_path / "back").mkdir()
    web.fetch(instance.study_instance_uid, tmp_path / "back")
    (path,) = (tmp_path / "back").iterdir()
    assert path.read_bytes() == instance.path.read_bytes()


def test_over_https_with_a_password_and_not_without(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("invented\n")
    password.chmod(0o600)
    wrong = tmp_path / "wrong"
    wrong.write_text("guessed\n")
    wrong.chmod(0o600)
    other = make_certificate(tmp_path / "other", "other")
    with running_orthanc(tmp_path / "orthanc", tls=True, user="test", password="invented") as orthanc:
        assert orthanc.certificate is not None
        ca = str(orthanc.certificate.ca)
        known: dict[str, Any] = {"user": "test", "password_file": str(password), "ca": ca}
        web = archive(orthanc.dicomweb_url, **known)
        assert web.echo() == f"web answers as DICOMweb at {orthanc.dicomweb_url}"
        (instance,) = a_series(tmp_path, 1)
        assert [item.state for item in web.send([instance], lambda _: None)] == ["stored"]
        for settings, message in (
            (known | {"user": ""}, "does not accept the password"),
            (known | {"password_file": str(wrong)}, "does not accept the password"),
            (known | {"ca": str(other.ca)}, "is not signed by"),
            (known | {"ca": ""}, "an authority that this machine trusts"),
        ):
            with pytest.raises(ArchiveRefusedError, match=message):
                archive(orthanc.dicomweb_url, **settings).echo()
        with pytest.raises(ArchiveRefusedError, match="speaks no TLS"):
            archive(orthanc.url.replace("http:", "https:"), ca=ca).echo()
        with pytest.raises(ArchiveDownError, match="try again"):
            archive(orthanc.dicomweb_url.replace("https:", "http:")).echo()
        password.chmod(0o644)
        with pytest.raises(ArchiveRefusedError, match="chmod 600"):
            archive(orthanc.dicomweb_url, **known)


def test_a_bearer_token_is_sent_and_never_in_the_clear_to_another_machine(server: AnyServer, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("abc.def\n")
    token.chmod(0o600)
    server.answers["GET"] = [(200, "application/dicom+json", b"[]")]
    archive(server.url, token_file=str(token)).echo()
    assert server.headers["Authorization"] == "Bearer abc.def"
    with pytest.raises(UsageError, match="use https"):
        archive("http://pacs.example/dicom-web", token_file=str(token))


def test_a_server_that_is_down_hangs_or_is_none_is_told_so(orthanc: OrthancServer, server: AnyServer) -> None:
    with pytest.raises(ArchiveDownError, match="cannot be reached"):
        archive(f"http://127.0.0.1:{free_port()}/dicom-web").echo()
    with pytest.raises(ArchiveRefusedError, match="check its url"):
        archive(orthanc.url).echo()
    orthanc.pause()
    try:
        with pytest.raises(ArchiveDownError, match=r"does not answer within 0\.2 s"):
            archive(orthanc.dicomweb_url, timeout_s=0.2).echo()
    finally:
        orthanc.pause(paused=False)
    for answer, error, message in (
        ((200, "text/html", b"<html>Log in</html>"), ArchiveRefusedError, "something else than DICOMweb"),
        ((200, "application/json", b'["text"]'), ArchiveRefusedError, "something else than DICOM JSON"),
        ((302, "text/html", b""), ArchiveRefusedError, "check its url"),
        ((403, "text/html", b""), ArchiveRefusedError, "does not allow"),
        ((404, "text/html", b""), ArchiveRefusedError, "root of DICOMweb"),
        ((503, "text/html", b""), ArchiveDownError, "cannot answer now"),
    ):
        server.answers["GET"] = [answer]
        with pytest.raises(error, match=message):
            archive(server.url).echo()


def test_values_that_are_wrong_are_shown_and_not_quoted_in_a_log(
    server: AnyServer, caplog: pytest.LogCaptureFixture
) -> None:
    found = {
        "0020000D": {"vr": "UI", "Value": ["1.2.3"]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Test^Invented"}]},
        "00080020": {"vr": "DA", "Value": ["1994.11.05"]},
        "00081030": {"vr": "LO"},
        "00201208": {"vr": "IS", "Value": ["3"]},
        "00080061": {"vr": "CS", "Value": ["US", "SR"]},
    }
    server.answers["GET"] = [(200, "application/dicom+json", json.dumps([found]).encode())]
    (match,) = archive(server.url).find(Query())
    assert (match.patient_name, match.study_date, match.description) == ("Test^Invented", "1994.11.05", "")
    assert (match.objects, match.modality) == (3, "US,SR")
    assert "1994" not in caplog.text


def test_no_message_names_the_patient_that_was_asked_for(server: AnyServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    messages = []
    for answer in ((200, "text/html", b"<html>"), (503, "text/html", b""), (400, "text/html", b"")):
        server.answers["GET"] = [answer]
        with pytest.raises(ArchiveError) as caught:
            archive(server.url).find(Query(patient_id="TEST-SECRET"))
        messages.append(str(caught.value))
    with pytest.raises(ArchiveError) as caught:
        archive(f"http://127.0.0.1:{free_port()}").find(Query(patient_id="TEST-SECRET"))
    assert "TEST-SECRET" not in " ".join([*messages, str(caught.value), caplog.text])


def reference(instance: Instance, **codes: int) -> dict[str, Any]:
    item: dict[str, Any] = {
        "00081150": {"vr": "UI", "Value": [instance.sop_class_uid]},
        "00081155": {"vr": "UI", "Value": [instance.sop_instance_uid]},
    }
    if "failure" in codes:
        item["00081197"] = {"vr": "US", "Value": [codes["failure"]]}
    if "warning" in codes:
        item["00081196"] = {"vr": "US", "Value": [codes["warning"]]}
    return item


def test_each_object_has_the_outcome_that_the_response_gives_it(server: AnyServer, tmp_path: Path) -> None:
    kept, warned, full, broken, alien = a_series(tmp_path, 5)
    answer = {
        "00081199": {"vr": "SQ", "Value": [reference(kept), reference(warned, warning=0xB000)]},
        "00081198": {
            "vr": "SQ",
            "Value": [
                reference(full, failure=0xA700),
                reference(broken, failure=0xC000),
                reference(alien, failure=7),
            ],
        },
    }
    server.answers["POST"] = [(202, "application/dicom+json", json.dumps(answer).encode())]
    outcomes = archive(server.url).send([kept, warned, full, broken, alien], lambda _: None)
    assert {item.instance.path.stem: (item.state, item.detail) for item in outcomes} == {
        "1": ("stored", ""),
        "2": ("stored", "with warning B000"),
        "3": ("later", "it is out of resources (A700)"),
        "4": ("refused", "it cannot understand the object (C000)"),
        "5": ("refused", "it gives no known reason (0007)"),
    }


@pytest.mark.parametrize("status", [200, 409])
def test_what_a_response_does_not_name_is_asked_for(server: AnyServer, tmp_path: Path, status: int) -> None:
    here, lost = a_series(tmp_path, 2)
    server.answers["POST"] = [(status, "text/html", b"")]
    found = [{"0008" + "0018": {"vr": "UI", "Value": [here.sop_instance_uid]}}]
    server.answers["GET"] = [(200, "application/dicom+json", json.dumps(found).encode())]
    outcomes = list(archive(server.url).send([here, lost], lambda _: None))
    expected = "refused" if status == 409 else "later"
    assert [item.state for item in outcomes] == ["stored", expected]
    assert server.asked.count("POST /studies") == (2 if status == 409 else 1), "alone it may pass"


def test_one_broken_object_does_not_have_its_neighbours_refused(orthanc: OrthancServer, tmp_path: Path) -> None:
    first, broken, last = a_series(tmp_path, 3)
    broken.path.write_bytes(broken.path.read_bytes()[:200])
    broken = dataclasses.replace(broken, size_bytes=200)
    outcomes = archive(orthanc.dicomweb_url).send([first, broken, last], lambda _: None)
    states = {item.instance.path.stem: item.state for item in outcomes}
    assert states == {"1": "stored", "2": "refused", "3": "stored"}
    held = orthanc.instances()
    assert [held.count(item.sop_instance_uid) for item in (first, broken, last)] == [1, 0, 1]


def test_404_of_a_study_is_nothing_found_and_of_the_address_an_error(server: AnyServer) -> None:
    server.answers["GET"] = [(404, "text/html", b""), (200, "application/dicom+json", b"[]")]
    assert archive(server.url).present("1.2", "1.2.3") == set()
    server.answers["GET"] = [(404, "text/html", b"")]
    with pytest.raises(ArchiveRefusedError, match="root of DICOMweb"):
        archive(server.url).present("1.2", "1.2.3")


def test_objects_that_are_too_large_together_are_sent_alone(server: AnyServer, tmp_path: Path) -> None:
    small, large = a_series(tmp_path, 2)
    stored = json.dumps({"00081199": {"vr": "SQ", "Value": [reference(small)]}}).encode()
    too_large = (413, "text/html", b"")
    server.answers["POST"] = [too_large, (200, "application/dicom+json", stored), too_large]
    outcomes = list(archive(server.url).send([small, large], lambda _: None))
    assert [item.state for item in outcomes] == ["stored", "refused"]
    assert "413" in outcomes[1].detail


@pytest.mark.parametrize("status", [503, 401])
def test_a_refused_request_says_nothing_of_its_objects(server: AnyServer, tmp_path: Path, status: int) -> None:
    server.answers["POST"] = [(status, "text/html", b"")]
    with pytest.raises(ArchiveDownError if status == 503 else ArchiveRefusedError, match=str(status)):
        list(archive(server.url).send(a_series(tmp_path, 2), lambda _: None))


def test_a_connection_that_is_cut_leaves_what_was_begun_in_doubt(orthanc: OrthancServer, tmp_path: Path) -> None:
    instances = a_series(tmp_path, 3, size_px=512)
    begun: list[Instance] = []
    with tcp_proxy(orthanc.http_port) as proxy:
        url = f"http://localhost:{proxy.port}/dicom-web"
        proxy.cut_after_bytes = 300_000  # in the middle of the second
        with pytest.raises(ArchiveDownError, match="try again"):
            list(archive(url).send(instances, begun.append))
        proxy.cut_after_bytes = None
        assert 1 <= len(begun) <= 3
        assert archive(url).present(instances[0].study_instance_uid, instances[0].series_instance_uid) == set()
        proxy.cut_before_answer = True  # all of it arrives, and the answer is lost
        with pytest.raises(ArchiveDownError, match="try again"):
            list(archive(url).send(instances, begun.append))
        proxy.cut_before_answer = False
        held = archive(url).present(instances[0].study_instance_uid, instances[0].series_instance_uid)
        assert held == {item.sop_instance_uid for item in instances}


def test_an_object_that_comes_cut_off_is_not_written(server: AnyServer, tmp_path: Path) -> None:
    (instance,) = a_series(tmp_path, 1)
    found = [
        {
            "0020000E": {"vr": "UI", "Value": [instance.series_instance_uid]},
            "00080018": {"vr": "UI", "Value": [instance.sop_instance_uid]},
        }
    ]
    kind = 'multipart/related; type="application/dicom"; boundary=xyz'
    whole = b"--xyz\r\nContent-Type: application/dicom\r\n\r\n" + instance.path.read_bytes() + b"\r\n--xyz--\r\n"
    pages = [(200, "application/dicom+json", json.dumps(found).encode()), (200, "application/dicom+json", b"[]")]
    (tmp_path / "back").mkdir()
    for body in (whole[:-9], b"<html>", b"--xyz--\r\n"):
        server.answers["GET"] = [*pages, (200, kind, body)]
        with pytest.raises(ArchiveDownError, match="cut off"):
            archive(server.url).fetch(instance.study_instance_uid, tmp_path / "back")
        assert list((tmp_path / "back").iterdir()) == []
    server.answers["GET"] = [*pages, (406, "text/html", b""), (200, kind, whole)]
    assert archive(server.url).fetch(instance.study_instance_uid, tmp_path / "back") == 1
    (path,) = (tmp_path / "back").iterdir()
    assert path.read_bytes() == instance.path.read_bytes()


def test_a_server_that_gives_the_same_page_for_ever_is_read_once(server: AnyServer) -> None:
    found = [{"0020000D": {"vr": "UI", "Value": ["1.2.3"]}}]
    server.answers["GET"] = [(200, "application/dicom+json", json.dumps(found).encode())]
    assert [item.study_instance_uid for item in archive(server.url).find(Query())] == ["1.2.3"]
    assert len(server.asked) == 2


def test_a_file_that_was_changed_since_is_refused_and_the_others_leave(orthanc: OrthancServer, tmp_path: Path) -> None:
    first, gone, last = a_series(tmp_path, 3)
    changed = dataclasses.replace(last, size_bytes=last.size_bytes + 1)
    gone.path.unlink()
    outcomes = archive(orthanc.dicomweb_url).send([first, gone, changed], lambda _: None)
    assert {item.instance.path.stem: item.state for item in outcomes} == {"1": "stored", "2": "refused", "3": "refused"}


def test_a_study_that_is_not_there_is_an_error_and_no_empty_folder(orthanc: OrthancServer, tmp_path: Path) -> None:
    with pytest.raises(UsAssistError, match="has no study"):
        archive(orthanc.dicomweb_url).fetch("1.2.3.4", tmp_path)


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dicomweb_client", None)
    with pytest.raises(UsageError, match=r"pip install 'usassist\[dicom\]'"):
        archive("https://pacs.example/dicom-web")
