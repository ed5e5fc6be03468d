"""Series of a store, and the ultrasound of a study in the order in which it was acquired."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import generate_uid

from tests.clinic.objects import write_object
from usassist.app.runtime.clips import clips_of
from usassist.dicom.network.store import StudyStore
from usassist.dicom.network.store_listing import studies
from usassist.errors import StoreError, UsageError

CT, CINE, SR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.3.1", "1.2.840.10008.5.1.4.1.1.88.33"
SEG, PDF, CAPTURE = "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.104.1", "1.2.840.10008.5.1.4.1.1.7"
CAPTURES = "1.2.840.10008.5.1.4.1.1.7.2"


def put(folder: Path, name: str, **attributes: Any) -> Path:
    folder.mkdir(exist_ok=True)
    write_object(folder / name, **attributes)
    return folder / name


def test_ultrasound_is_played_in_the_order_of_its_acquisition_and_the_rest_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    late = put(folder, "a.dcm", SOPClassUID=CINE, AcquisitionDateTime="20260102101300", NumberOfFrames=1)
    early = put(folder, "no_suffix", ContentDate="20260102", ContentTime="101200.5")
    between = put(folder, "c.dcm", AcquisitionDate="20260102", AcquisitionTime="101230", ContentTime="101500")
    untimed = put(folder, "b.dcm", InstanceNumber=2)
    first_untimed = put(folder, "d.dcm", InstanceNumber=1, SeriesInstanceUID="1.2.1")
    (folder / "z.dcm").write_bytes(b"damaged")
    (folder / "README.txt").write_text("no DICOM")
    put(folder, "ct.dcm", SOPClassUID=CT, Modality="CT")
    put(folder, "ct2.dcm", SOPClassUID=CT, Modality="CT")
    for number, kind in enumerate((SR, SEG, PDF, CAPTURE)):
        put(folder, f"ours{number}.dcm", SOPClassUID=kind, Manufacturer="usassist", Modality="US")
    put(folder, "ours_video.dcm", SOPClassUID=CAPTURES, Manufacturer="usassist", NumberOfFrames=9)
    put(folder, "ours_key.dcm", Manufacturer="usassist")
    scanner = put(folder, "captured.dcm", SOPClassUID=CAPTURES, NumberOfFrames=9, AcquisitionDateTime="2025010210")
    lines: list[str] = []
    clips = [Path(clip).name for clip in clips_of([str(folder)], lines.append)]
    assert clips[:4] == [path.name for path in (scanner, early, between, late)]
    assert set(clips[4:6]) == {untimed.name, first_untimed.name}
    assert clips[6:] == ["z.dcm"], "it is tried, and says what is wrong"
    left_out = "2 CT Image, 1 PDF, 1 key image of usassist, 2 secondary capture, 1 segmentation, 1 structured report"
    assert lines == [f"left out of {folder}: {left_out}"]


def test_a_study_without_ultrasound_is_refused_by_what_it_holds(tmp_path: Path) -> None:
    put(tmp_path / "study", "ct.dcm", SOPClassUID=CT, Modality="CT")
    with pytest.raises(UsageError, match="holds no ultrasound to play, but 1 CT Image"):
        clips_of([str(tmp_path / "study")])


def test_a_wrong_date_is_left_out_and_not_quoted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    wrong = put(tmp_path / "study", "a.dcm", AcquisitionDate="20260101", AcquisitionTime="090000")
    data = wrong.read_bytes()
    assert data.count(b"20260101") == 1
    wrong.write_bytes(data.replace(b"20260101", b"1.1.2026"))
    right = put(tmp_path / "study", "b.dcm", AcquisitionDate="20260102", AcquisitionTime="090000")
    assert clips_of([str(tmp_path / "study")]) == [str(right), str(wrong)]
    assert "2026" not in caplog.text


def test_the_folder_of_all_studies_names_them(tmp_path: Path) -> None:
    store = StudyStore(tmp_path / "store")
    with pytest.raises(UsageError, match="has no complete study yet"):
        clips_of([str(store.folder)])
    path = put(tmp_path / "x", "x.dcm")
    store.keep("1.2", "1.2.3", path.read_bytes())
    folder = store.complete("1.2")
    with pytest.raises(UsageError, match=f"name one: {folder}"):
        clips_of([str(store.folder)])
    assert clips_of([str(folder)]) == [str(folder / "1.2.3.dcm")]


def test_complete_series_are_listed_by_instance_number(tmp_path: Path) -> None:
    store = StudyStore(tmp_path / "store")
    study, first, second = (generate_uid() for _ in range(3))
    for series, modality, kind, numbers in ((first, "CT", CT, (10, 9, 2)), (second, "US", CINE, (1,))):
        for number in numbers:
            path = tmp_path / "one.dcm"
            more = {"NumberOfSeriesRelatedInstances": 4} if modality == "CT" else {}
            uid = write_object(
                path,
                StudyInstanceUID=study,
                SeriesInstanceUID=series,
                SOPClassUID=kind,
                Modality=modality,
                InstanceNumber=number,
                **more,
            )
            store.keep(study, uid, path.read_bytes())
    assert studies(store.folder) == [], "it is being received"
    store.complete(study)
    (found,) = studies(store.folder)
    by_uid = {item.series_uid: item for item in found.series}
    ct, us = by_uid[first], by_uid[second]
    assert [item.number for item in ct.objects] == [2, 9, 10]
    assert (ct.modality, ct.sop_classes, len(ct.paths), ct.missing) == ("CT", (CT,), 3, 1)
    assert (us.modality, us.missing, us.study_uid) == ("US", None, study)
    assert all(path.is_file() and path.parent == found.folder for path in (*ct.paths, *us.paths))
    with pytest.raises(StoreError, match="no received studies"):
        studies(tmp_path)
