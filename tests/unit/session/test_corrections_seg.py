"""Corrections from DICOM segmentations: of our key frames, and of frames of our cine."""

from __future__ import annotations

import io
import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

hd = pytest.importorskip("highdicom", reason="highdicom is not installed: pip install 'usassist[dicom]'")

import pydicom  # noqa: E402
from pydicom.sr.codedict import codes  # noqa: E402
from pydicom.uid import ExplicitVRLittleEndian, UltrasoundImageStorage, generate_uid  # noqa: E402

from usassist.dicom.study import StudyContext  # noqa: E402
from usassist.errors import SessionError  # noqa: E402
from usassist.frames import fill_labelmap  # noqa: E402
from usassist.records import Segmentation  # noqa: E402
from usassist.session import open_session  # noqa: E402
from usassist.session.corrections import (  # noqa: E402
    current_frames,
    import_corrections,
    labelled_frames,
    read_imports,
)
from usassist.session.corrections.record import CORRECTIONS_FILE  # noqa: E402
from usassist.session.export.sweep_content import sweep_content  # noqa: E402

SWEEP = Path(__file__).resolve().parents[2] / "golden" / "sessions" / "sweep"
HW = (200, 200)
STUDY = "2.25.123456789"
FRAME, OTHER = 12, 14  # both with N1; FRAME has a second nodule, N7
SECOND = [[20.5, 150.5], [20.5, 160.5], [32.5, 160.5], [32.5, 150.5]]


@pytest.fixture
def session(tmp_path: Path) -> Path:
    folder = tmp_path / "session"
    shutil.copytree(SWEEP, folder)
    lines = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    second = lines[FRAME]["nodules"][0] | {"track_id": 7, "contour_xy_px": SECOND}
    lines[FRAME]["nodules"].append(second)
    (folder / "results.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


@pytest.fixture
def uids(session: Path) -> Callable[..., str]:
    """SOP instance UIDs of the session's objects in the study."""
    content = sweep_content(open_session(session), StudyContext(study_instance_uid=STUDY))
    cine = content.cine_uid(content.parts[0])
    return lambda kind, *parts: cine if kind == "cine" else content.uid(kind, *parts)


def _of_result(session: Path, frame_id: int, row: int = 0) -> np.ndarray:
    line = json.loads((session / "results.jsonl").read_text().splitlines()[frame_id])
    contour = np.array(line["nodules"][row]["contour_xy_px"], np.float32)
    return fill_labelmap(Segmentation.of([contour]), HW)


def _image(sop_instance_uid: str) -> pydicom.Dataset:
    image = pydicom.Dataset()
    image.file_meta = pydicom.dataset.FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.SOPClassUID, image.SOPInstanceUID = UltrasoundImageStorage, sop_instance_uid
    image.StudyInstanceUID, image.SeriesInstanceUID = STUDY, generate_uid()
    image.Rows, image.Columns = HW
    image.SamplesPerPixel, image.BitsAllocated, image.PhotometricInterpretation = 1, 8, "MONOCHROME2"
    image.Modality, image.InstanceNumber = "US", 1
    for name in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID"):
        setattr(image, name, "")
    image.StudyDate = image.StudyTime = ""
    return image


def _seg(masks: np.ndarray, names: list[str], uid: str, kind: str = "BINARY", **changes: Any) -> pydicom.Dataset:
    """A segmentation of one image: `masks` (H, W, segments), as a viewer writes it."""
    described = [
        hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=name,
            segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
            segmented_property_type=changes.get("code", codes.SCT.Nodule),
            algorithm_type="MANUAL",
        )
        for number, name in enumerate(names, 1)
    ]
    pixels = masks[None].astype(np.float32 if kind == "FRACTIONAL" else np.uint8)
    return hd.seg.Segmentation(
        source_images=[_image(uid)],
        pixel_array=pixels,
        segmentation_type=kind,
        segment_descriptions=described,
        series_instance_uid=generate_uid(),
        series_number=1,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="viewer",
        manufacturer_model_name="viewer",
        software_versions="1",
        device_serial_number="1",
        omit_empty_frames=False,
    )


def _save(dataset: pydicom.Dataset, path: Path) -> Path:
    with io.BytesIO() as file:
        dataset.save_as(file)
        path.write_bytes(file.getvalue())
    return path


def _masks(session: Path) -> dict[int, np.ndarray]:
    return {item.frame_id: item.nodule for item in labelled_frames(open_session(session))}


def _circle(x: int, y: int, radius: int) -> np.ndarray:
    mask = np.zeros(HW, np.uint8)
    cv2.circle(mask, (x, y), radius, 1, -1)
    return mask


@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
def test_a_segmentation_of_a_key_frame_corrects_its_nodule_and_leaves_the_others(
    session: Path, uids: Callable[..., str], tmp_path: Path, kind: str
) -> None:
    drawn = np.roll(_of_result(session, FRAME), 7, axis=1)
    path = _save(_seg(drawn[..., None], ["N1"], uids("key", FRAME), kind), tmp_path / "seg.dcm")
    outcome = import_corrections(session, [path], role="radiologist")
    assert (outcome.frame_ids, outcome.changed, outcome.accepted) == ([FRAME], 1, 1)
    np.testing.assert_array_equal(_masks(session)[FRAME], drawn | _of_result(session, FRAME, 1))
    assert read_imports(session)[0].files[0].kind == "dicom_seg"
    frame = current_frames(read_imports(session))[FRAME]
    assert {item.track_id: item.change for item in frame.outlines} == {1: "changed", 7: "accepted"}


def test_an_unchanged_segmentation_is_no_correction(session: Path, uids: Callable[..., str], tmp_path: Path) -> None:
    path = _save(_seg(_of_result(session, FRAME)[..., None], ["N1"], uids("key", FRAME)), tmp_path / "seg.dcm")
    assert import_corrections(session, [path], role="reader").untouched == 1
    assert import_corrections(session, [path], role="reader", reviewed=True).accepted == 2


def test_the_nodules_of_one_frame_may_come_in_files_of_their_own(
    session: Path, uids: Callable[..., str], tmp_path: Path
) -> None:
    first, second = _circle(90, 90, 12), _circle(30, 155, 5)
    one = _save(_seg(first[..., None], ["N1"], uids("key", FRAME)), tmp_path / "one.dcm")
    two = _save(_seg(second[..., None], ["N7"], uids("key", FRAME)), tmp_path / "two.dcm")
    again = _save(_seg(_circle(95, 90, 12)[..., None], ["N1"], uids("key", FRAME)), tmp_path / "again.dcm")
    with pytest.raises(SessionError, match="both have nodule N1 of frame 12"):
        import_corrections(session, [one, again], role="reader")
    together = shutil.copytree(session, tmp_path / "together")
    import_corrections(together, [one, two], role="reader")
    import_corrections(session, [one], role="reader")
    import_corrections(session, [two], role="reader")
    for folder in (session, together):
        np.testing.assert_array_equal(_masks(folder)[FRAME], first | second)


def test_a_nodule_that_the_reader_emptied_is_removed(session: Path, uids: Callable[..., str], tmp_path: Path) -> None:
    path = _save(_seg(np.zeros((*HW, 1)), ["N1"], uids("key", FRAME)), tmp_path / "seg.dcm")
    outcome = import_corrections(session, [path], role="reader")
    assert (outcome.removed, outcome.accepted) == (1, 1)
    np.testing.assert_array_equal(_masks(session)[FRAME], _of_result(session, FRAME, 1))


def _of_cine(dataset: pydicom.Dataset, cine_uid: str, frame_numbers: list[int]) -> pydicom.Dataset:
    """The same, as programs write it that segment frames of a cine (dcmqi, MONAI Label)."""
    for groups, number in zip(dataset.PerFrameFunctionalGroupsSequence, frame_numbers, strict=True):
        source = groups.DerivationImageSequence[0].SourceImageSequence[0]
        source.ReferencedSOPInstanceUID, source.ReferencedFrameNumber = cine_uid, number
    return dataset


def test_a_segmentation_of_frames_of_the_cine_has_all_nodules_of_each(
    session: Path, uids: Callable[..., str], tmp_path: Path
) -> None:
    masks = np.stack([_circle(90, 90, 12), _circle(150, 60, 9)], axis=-1)
    _save(_seg(masks, ["nodule", "Segment_2"], "1.2.3"), tmp_path / "seg.dcm")
    dataset = _of_cine(pydicom.dcmread(tmp_path / "seg.dcm"), uids("cine"), [FRAME + 1, OTHER + 1])
    outcome = import_corrections(session, [_save(dataset, tmp_path / "seg.dcm")], role="reader")
    assert outcome.frame_ids == [FRAME, OTHER]
    found = _masks(session)
    np.testing.assert_array_equal(found[FRAME], masks[..., 0])
    np.testing.assert_array_equal(found[OTHER], masks[..., 1])
    assert [len(current_frames(read_imports(session))[number].removed) for number in (FRAME, OTHER)] == [1, 1]


Change = Callable[[pydicom.Dataset, Callable[..., str]], Any]


def _source(dataset: pydicom.Dataset) -> pydicom.Dataset:
    item: pydicom.Dataset = (
        dataset.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0].SourceImageSequence[0]
    )
    return item


WRONG: dict[str, tuple[Change, str]] = {
    "other study": (lambda d, u: setattr(d, "StudyInstanceUID", "2.25.9"), "not of this session in this study"),
    "no study": (lambda d, u: setattr(d, "StudyInstanceUID", "MUELLER"), "no valid UID"),
    "other image": (lambda d, u: setattr(_source(d), "ReferencedSOPInstanceUID", "2.25.7"), "not of this session"),
    "no source": (lambda d, u: _drop_sources(d), "does not say which image"),
    "no frame number": (lambda d, u: setattr(_source(d), "ReferencedSOPInstanceUID", u("cine")), "without a frame"),
    "frame 99": (lambda d, u: _of_cine(d, u("cine"), [99]), "a frame that the cine has not"),
    "other label": (lambda d, u: _rename(d), "segment 1 is no label of the session"),
    "no segments": (lambda d, u: setattr(d, "SegmentSequence", []), "has no segments"),
    "planes": (lambda d, u: d.PerFrameFunctionalGroupsSequence.append(pydicom.Dataset()), "1 planes and describes 2"),
    "other kind": (lambda d, u: setattr(d, "SegmentationType", "NONE"), "kind of segmentation"),
    "no segmentation": (lambda d, u: setattr(d, "SOPClassUID", UltrasoundImageStorage), "is DICOM and no segmentation"),
    "no pixels": (lambda d, u: setattr(d, "PixelData", b"\0\0"), "pixels that cannot be read"),
    "no rows": (lambda d, u: delattr(d, "Rows"), "pixels that cannot be read"),
}


def _rename(dataset: pydicom.Dataset) -> None:
    segment = dataset.SegmentSequence[0]
    segment.SegmentLabel = "MUELLER"
    segment.SegmentedPropertyTypeCodeSequence[0].CodeValue = "44567001"  # trachea


def _drop_sources(dataset: pydicom.Dataset) -> None:
    del dataset.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence
    del dataset.ReferencedSeriesSequence


def test_wrong_segmentations_are_refused_in_one_line(session: Path, uids: Callable[..., str], tmp_path: Path) -> None:
    good = _seg(_circle(90, 90, 12)[..., None], ["nodule"], uids("key", FRAME))
    whole = _save(good, tmp_path / "good.dcm").read_bytes()
    for name, (change, words) in WRONG.items():
        dataset = pydicom.dcmread(io.BytesIO(whole))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            change(dataset, uids)
            _save(dataset, tmp_path / "bad.dcm")
        with pytest.raises(SessionError, match=words) as raised:
            import_corrections(session, [tmp_path / "bad.dcm"], role="reader")
        assert "\n" not in str(raised.value), name
        assert "MUELLER" not in str(raised.value), name
    for cut in (whole[:2000], whole[:-700]):
        (tmp_path / "cut.dcm").write_bytes(cut)
        with pytest.raises(SessionError, match=r"cut off|cannot be read"):
            import_corrections(session, [tmp_path / "good.dcm", tmp_path / "cut.dcm"], role="reader")
    fractional = _seg(0.5 * _circle(90, 90, 12)[..., None], ["nodule"], uids("key", FRAME), "FRACTIONAL")
    with pytest.raises(SessionError, match="fractional segmentation"):
        import_corrections(session, [_save(fractional, tmp_path / "f.dcm")], role="reader")
    assert not (session / CORRECTIONS_FILE).exists()
    assert import_corrections(session, [tmp_path / "good.dcm"], role="reader").frames == 1


def test_a_segmentation_of_another_session_is_refused(session: Path, uids: Callable[..., str], tmp_path: Path) -> None:
    path = _save(_seg(_circle(90, 90, 12)[..., None], ["nodule"], uids("key", FRAME)), tmp_path / "seg.dcm")
    shutil.copytree(SWEEP, tmp_path / "other")  # the same frames, with other results
    with pytest.raises(SessionError, match="not of this session"):
        import_corrections(tmp_path / "other", [path], role="reader")
