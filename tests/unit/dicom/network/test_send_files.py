"""Files that are to be sent: what is no object for an archive is refused, by file, in one line."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import pytest
from pydicom import dcmread, dcmwrite
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian

from tests.clinic.objects import ULTRASOUND, an_object, write_object
from usassist.dicom.network.send_files import files_below, look_at, read_instance
from usassist.errors import DicomError


def test_an_object_is_read_with_its_uids(tmp_path: Path) -> None:
    path = tmp_path / "one.dcm"
    uid = write_object(path, SeriesInstanceUID="1.2.3")
    instance = read_instance(path)
    assert (instance.sop_instance_uid, instance.series_instance_uid) == (uid, "1.2.3")
    assert (instance.path, instance.size_bytes, instance.sop_class_uid) == (path, path.stat().st_size, ULTRASOUND)
    assert instance.transfer_syntax_uid == "1.2.840.10008.1.2.1"


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_other_encodings_are_read_too(tmp_path: Path, syntax: str) -> None:
    write_object(tmp_path / "one.dcm", syntax=syntax)
    assert read_instance(tmp_path / "one.dcm").transfer_syntax_uid == syntax


@pytest.mark.parametrize("name", ["SOPInstanceUID", "SOPClassUID", "StudyInstanceUID", "SeriesInstanceUID"])
@pytest.mark.parametrize("value", [b"", b"                ", b"not.a.uid.at.all", b"1..2.3.4.5.6.777"])
def test_an_object_without_a_uid_is_refused(tmp_path: Path, name: str, value: bytes) -> None:
    path = tmp_path / "one.dcm"
    uid = "1.2.3.4.5.6.7777"
    dataset = an_object(**{name: uid})
    dcmwrite(path, dataset, enforce_file_format=True)
    if value:
        path.write_bytes(path.read_bytes().replace(uid.encode(), value))
    else:
        written = dcmread(path)
        del written[name]
        dcmwrite(path, written)
    with pytest.raises(DicomError, match=r"one\.dcm (has no .* UID|has a .* UID that is no UID)"):
        read_instance(path)


def test_what_is_no_dicom_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    for content in (b"", b"Test^Invented " * 50, bytes(128) + b"DICM", bytes(2000)):
        path.write_bytes(content)
        with pytest.raises(DicomError, match=r"notes\.txt") as caught:
            read_instance(path)
        assert "Test^" not in str(caught.value)


def test_an_object_that_is_cut_off_is_refused_wherever_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "one.dcm"
    write_object(path)
    data = path.read_bytes()
    for size in range(0, len(data), 3):
        path.write_bytes(data[:size])
        with pytest.raises(DicomError):
            read_instance(path)


def test_an_object_with_two_identities_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "one.dcm"
    write_object(path)
    dataset = dcmread(path)
    dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    dcmwrite(path, dataset)
    with pytest.raises(DicomError, match="other UIDs in its file meta information"):
        read_instance(path)


def test_an_element_with_a_broken_length_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "one.dcm"
    write_object(path)
    data = path.read_bytes()
    at = data.index(struct.pack("<HH2s", 0x0010, 0x0010, b"PN")) + 6
    path.write_bytes(data[:at] + struct.pack("<H", 0xFFFE) + data[at + 2 :])
    with pytest.raises(DicomError, match=r"one\.dcm") as caught:
        read_instance(path)
    assert "Test^" not in str(caught.value)


def test_an_index_of_a_medium_is_refused(tmp_path: Path) -> None:
    write_object(tmp_path / "DICOMDIR", SOPClassUID="1.2.840.10008.1.3.10")
    with pytest.raises(DicomError, match="index of a medium"):
        read_instance(tmp_path / "DICOMDIR")


def test_all_files_are_looked_at_and_each_refusal_is_said(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    uids = [write_object(tmp_path / "a" / "1.dcm"), write_object(tmp_path / "a" / "b" / "2.dcm")]
    shutil.copy(tmp_path / "a" / "1.dcm", tmp_path / "a" / "again.dcm")
    (tmp_path / "a" / ".hidden").write_text("x")
    (tmp_path / "a" / "note.txt").write_text("x")
    write_object(tmp_path / "a" / "other.dcm", SOPInstanceUID=uids[0], PatientID="TEST-2")
    looked = look_at(files_below([tmp_path / "a"]))
    assert sorted(item.sop_instance_uid for item in looked.instances) == sorted(uids)
    assert len(looked.refused) == 2
    assert any("note.txt is not a DICOM file" in line for line in looked.refused)
    assert any("other.dcm has the SOP instance UID of" in line for line in looked.refused)


def test_private_attributes_are_counted(tmp_path: Path) -> None:
    write_object(tmp_path / "1.dcm")
    dataset = an_object()
    block = dataset.private_block(0x0099, "INVENTED", create=True)
    block.add_new(1, "LO", "value")
    dcmwrite(tmp_path / "2.dcm", dataset, enforce_file_format=True)
    assert look_at(files_below([tmp_path])).with_private == 1


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(DicomError, match="there is no file"):
        files_below([tmp_path / "nothing.dcm"])
    with pytest.raises(DicomError, match="has no files"):
        files_below([tmp_path])
