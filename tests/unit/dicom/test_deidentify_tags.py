"""Attributes: nothing of an invented identity gets through, and what an image needs stays."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.tag import Tag
from pydicom.uid import UltrasoundMultiFrameImageStorage

from tools.identified_dicom import SECRETS, identified
from usassist.dicom.deidentify.dates import shift_moments
from usassist.dicom.deidentify.key import Pseudonyms, read_key
from usassist.dicom.deidentify.profile import TYPE_2, Action, action_of, is_plain
from usassist.dicom.deidentify.tags import clean_tags
from usassist.errors import UsageError

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")  # of values that are wrong on purpose
KEY = Pseudonyms(b"k" * 32)
FRAMES = [np.zeros((8, 8), np.uint8)]


def cleaned(keep_dates: bool = False, **changes: object) -> tuple[Dataset, Dataset]:
    dataset = identified(FRAMES, area=(0, 0, 8, 8))
    for keyword, value in changes.items():
        setattr(dataset, keyword, value)
    return dataset, clean_tags(dataset, KEY, keep_dates=keep_dates)[0]


def test_nothing_invented_is_left_at_any_depth() -> None:
    before, after = cleaned()
    everything, left = (" ".join(repr(element.value) for element in data.iterall()) for data in (before, after))
    assert [secret for secret in SECRETS if secret not in everything] == []
    assert [secret for secret in SECRETS if secret in left] == []


def test_no_private_unknown_overlay_or_curve_attribute_is_left() -> None:
    _, after = cleaned()
    groups = {element.tag.group for element in after.iterall()}
    assert not [group for group in groups if group % 2 or group >> 8 in (0x50, 0x60)]
    assert "IconImageSequence" not in after
    assert "WaveformSequence" not in after
    assert not any(element.VR == "UN" for element in after.iterall())


def test_what_describes_the_image_stays() -> None:
    before, after = cleaned()
    for keyword in ("Modality", "Rows", "ImageType", "FrameTime", "NumberOfFrames", "Manufacturer", "SOPClassUID"):
        assert after[keyword].value == before[keyword].value, keyword
    assert after.SequenceOfUltrasoundRegions[0] == before.SequenceOfUltrasoundRegions[0]
    assert after.AnatomicRegionSequence[0].CodeMeaning == "Thyroid gland"


def test_attributes_of_type_2_are_there_and_empty() -> None:
    _, after = cleaned()
    assert len(TYPE_2) == 7
    for tag in TYPE_2:
        assert after[tag].value in ("", None), tag


def test_references_between_objects_stay_true() -> None:
    _, after = cleaned()
    other = clean_tags(identified(FRAMES, number=2), KEY, keep_dates=False)[0]
    assert after.SourceImageSequence[0].ReferencedSOPInstanceUID == other.SOPInstanceUID != after.SOPInstanceUID
    assert after.SourceImageSequence[0].ReferencedSOPClassUID == UltrasoundMultiFrameImageStorage
    assert (after.StudyInstanceUID, after.PatientID) == (other.StudyInstanceUID, other.PatientID)


def test_another_key_gives_other_uids_and_another_pseudonym() -> None:
    _, after = cleaned()
    other = clean_tags(identified(FRAMES), Pseudonyms(b"x" * 32), keep_dates=False)[0]
    assert after.StudyInstanceUID != other.StudyInstanceUID
    assert after.PatientID != other.PatientID


def test_a_uid_that_only_looks_registered_is_replaced() -> None:
    _, after = cleaned(SynchronizationFrameOfReferenceUID="1.2.840.10008.4711.19510203")
    assert after.SynchronizationFrameOfReferenceUID.startswith("2.25.")


@pytest.mark.parametrize(
    ("keyword", "value"),
    [("ScanOptions", "Invented Nobody"), ("ConvolutionKernel", "x" * 65), ("Manufacturer", "Größe\n")],
)
def test_text_in_a_code_or_a_technical_name_is_removed(keyword: str, value: str) -> None:
    _, after = cleaned(**{keyword: value})
    assert keyword not in after


def test_bytes_of_a_text_read_as_numbers_are_removed() -> None:
    tag = Tag("LargestImagePixelValue")
    assert not is_plain(tag, "US", [0x4F4E, 0x4F42, 0x5944])
    assert is_plain(tag, "US", 255)
    assert is_plain(Tag("PixelSpacing"), "DS", [0.5, 0.5])
    assert not is_plain(Tag("PixelSpacing"), "DS", [0.5] * 3)


@pytest.mark.parametrize(
    ("keyword", "vr", "action"),
    [
        ("PatientComments", "LT", Action.REMOVED),  # X
        ("DeviceSerialNumber", "LO", Action.REMOVED),  # X/Z/D
        ("StudyDate", "DA", Action.EMPTIED),  # Z
        ("SOPInstanceUID", "UI", Action.UID),  # U
        ("EvaluatorName", "PN", Action.REMOVED),  # not listed, but a name
        ("ExpiryDate", "DA", Action.REMOVED),  # not listed, but a date
        ("EthnicGroupCodeSequence", "SQ", Action.REMOVED),  # listed since 2026
        ("ICCProfile", "OB", Action.REMOVED),  # not listed, bytes
        ("ICCProfile", "UN", Action.REMOVED),
        ("PixelSpacing", "DS", Action.KEPT),
    ],
)
def test_actions_of_the_profile(keyword: str, vr: str, action: Action) -> None:
    assert action_of(Tag(keyword), vr) is action


def test_dates_are_moved_together_with_their_times() -> None:
    before, after = cleaned(keep_dates=True)
    moved = shift_moments(before, timedelta(days=-1, seconds=-20))
    assert moved["StudyDate"], moved["StudyTime"] == ("20240228", "235910.500000")
    assert (moved["SeriesDate"], moved["SeriesTime"]) == ("20240228", "235950")
    assert (moved["ContentDate"], moved["ContentTime"]) == ("20240229", "000110")
    assert moved["AcquisitionDateTime"] == "20240229000110.250000"
    assert after.SeriesDate
    assert after.SeriesDate != before.SeriesDate
    assert after.PatientBirthDate in ("", None)


@pytest.mark.parametrize(("date", "time"), [("20240230", "1200"), ("2024", "1200"), ("", "1200"), ("00010101", "0000")])
def test_what_is_no_moment_is_not_kept(date: str, time: str) -> None:
    dataset = Dataset()
    dataset.StudyDate, dataset.StudyTime = date, time
    assert shift_moments(dataset, timedelta(days=-400)) == {}


def test_a_damaged_element_is_removed_and_not_passed_on(tmp_path: Path) -> None:
    path = tmp_path / "x.dcm"
    identified(FRAMES).save_as(path, enforce_file_format=True)
    path.write_bytes(path.read_bytes().replace(b"33.3", b"NOBO"))  # FrameTime, a decimal string
    after, log = clean_tags(dcmread(path, stop_before_pixels=True), KEY, keep_dates=False)
    assert "FrameTime" not in after
    assert log.done[Action.REMOVED]["(0018,1063) FrameTime"] == 1


def test_a_key_is_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "key"
    first = read_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_key(path) == first
    assert len(first) == 32
    assert read_key(None) != read_key(None)


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    read_key(path)
    path.chmod(0o644)
    with pytest.raises(UsageError, match="chmod 600"):
        read_key(path)


def test_a_file_that_is_no_key_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("short")
    path.chmod(0o600)
    with pytest.raises(UsageError, match="64 hexadecimal digits"):
        read_key(path)
    assert path.read_text() == "short"


def test_a_key_does_not_show() -> None:
    assert "kkk" not in repr(KEY)
