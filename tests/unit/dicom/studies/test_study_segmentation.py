import dataclasses
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest

from tests.clinic.dciodvfy import needs_dciodvfy, problems_of
from tests.ct_series import make_enhanced, make_series
from tests.unit.dicom.studies.contents import HEAD_LABELS, make_content, make_labelmap, make_result, read_study
from usassist.dicom.common import write_dataset
from usassist.dicom.studies.segmentation import make_segmentation
from usassist.dicom.studies.source import SourceSeries, StudyContent
from usassist.errors import DicomError, UsageError
from usassist.sources.volumes import read_volume
from usassist.volumes import StudyAnswer


def read_by_positions(path: Path, affine_ijk_to_lps_mm: np.ndarray, shape_zyx: tuple[int, int, int]) -> np.ndarray:
    """The labels of a segmentation on the grid of a volume, without highdicom: each frame put where it says it lies."""
    seg = pydicom.dcmread(path)
    shared = seg.SharedFunctionalGroupsSequence[0]
    across, down = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float).reshape(2, 3)
    rows_mm, columns_mm = map(float, shared.PixelMeasuresSequence[0].PixelSpacing)
    bits = np.unpackbits(np.frombuffer(seg.PixelData, np.uint8), bitorder="little")
    size = seg.Rows * seg.Columns
    volume = np.zeros(shape_zyx, np.uint8)
    to_ijk = np.linalg.inv(affine_ijk_to_lps_mm)
    for number, groups in enumerate(seg.PerFrameFunctionalGroupsSequence):
        frame = bits[number * size : (number + 1) * size].reshape(seg.Rows, seg.Columns)
        named = groups if "SegmentIdentificationSequence" in groups else shared  # shared where there is one segment
        segment = named.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        origin = np.array(groups.PlanePositionSequence[0].ImagePositionPatient, float)
        for row, column in np.argwhere(frame):
            point = origin + across * columns_mm * column + down * rows_mm * row
            i, j, k = (to_ijk @ (*point, 1.0))[:3]
            voxel = np.rint([k, j, i]).astype(int)
            np.testing.assert_allclose(voxel, [k, j, i], atol=1e-3)  # on a voxel, not between two
            assert volume[tuple(voxel)] == 0
            volume[tuple(voxel)] = segment
    return volume


def write(content: StudyContent, path: Path, kind: str = "seg") -> Path:
    write_dataset(path, make_segmentation(content, kind=kind))
    return path


@needs_dciodvfy
@pytest.mark.parametrize("tilt_deg", [0.0, 1.5, -21.0])
def test_the_mask_is_where_the_volume_has_it(tmp_path: Path, tilt_deg: float) -> None:
    study = read_study(tmp_path, tilt_deg=tilt_deg)
    content = make_content(study)
    path = write(content, tmp_path / "seg.dcm")
    assert problems_of(path) == []
    labels = content.result.answer.labelmap
    read = read_by_positions(path, study.volume.affine_ijk_to_lps_mm, study.volume.shape_zyx)
    np.testing.assert_array_equal(read == 1, labels == 1)
    np.testing.assert_array_equal(read == 2, labels == 3)
    seg = pydicom.dcmread(path)
    assert seg.NumberOfFrames == 3 + 2  # planes without a label have none
    spacing = float(seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SpacingBetweenSlices)
    assert spacing == pytest.approx(4.0)  # along the normal, also of a tilted gantry (C.7.6.16.2.1)
    assert "DimensionOrganizationType" not in seg  # two segments


@pytest.mark.parametrize("kind", ["seg", "labelmap"])
def test_highdicom_reads_every_mask_of_its_source_image(tmp_path: Path, kind: str) -> None:
    study = read_study(tmp_path)
    content = make_content(study)
    seg = hd.seg.segread(write(content, tmp_path / "seg.dcm", kind))
    uids = [plane.sop_instance_uid for plane in study.slices]
    masks = seg.get_pixels_by_source_instance(uids, assert_missing_frames_are_empty=True, combine_segments=True)
    expected = make_labelmap(study.volume.shape_zyx)
    expected[expected == 3] = 2
    np.testing.assert_array_equal(masks, expected)
    assert seg.FrameOfReferenceUID == content.source.headers[0].FrameOfReferenceUID
    assert [seg.get_segment_description(n).segment_label for n in (1, 2)] == [
        "Haemorrhage",
        "Intraventricular haemorrhage",
    ]
    one = seg.get_segment_description(1)
    assert (one.segmented_property_type.value, one.segmented_property_category.value) == ("50960005", "49755003")
    assert one.algorithm_type == hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC
    assert (one.algorithm_identification.name, one.algorithm_identification.version) == ("ct_ich", "0.1.0")
    assert "esearch" in one.algorithm_identification[0].AlgorithmParameters
    modifiers = seg.SegmentSequence[-1].SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence
    assert modifiers[0].CodeValue == "INTRAVENTRICULAR"


def test_a_single_segment_of_a_straight_stack_is_said_to_be_a_volume_and_of_a_tilted_one_is_not(
    tmp_path: Path,
) -> None:
    types = []
    for name, tilt_deg in (("straight", 0.0), ("tilted", 1.5)):
        (tmp_path / name).mkdir()
        study = read_study(tmp_path / name, tilt_deg=tilt_deg)
        labels = (make_labelmap(study.volume.shape_zyx) == 1).astype(np.uint8)
        content = make_content(study, make_result(study, StudyAnswer(found=True, labelmap=labels)))
        types.append(make_segmentation(content).get("DimensionOrganizationType"))
    assert types == ["3D", None]


def test_one_plane_has_the_distance_of_the_series_and_not_a_made_up_one(tmp_path: Path) -> None:
    study = read_study(tmp_path)
    labels = make_labelmap(study.volume.shape_zyx)
    labels[:3] = labels[4:] = 0
    content = make_content(study, make_result(study, StudyAnswer(found=True, labelmap=labels)))
    seg = make_segmentation(content)
    assert float(seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SpacingBetweenSlices) == 4.0


def test_the_patient_is_the_one_of_the_images_in_any_character_set(tmp_path: Path) -> None:
    study = read_study(tmp_path)
    for file in (tmp_path / "series").iterdir():
        image = pydicom.dcmread(file)
        image.SpecificCharacterSet = ["", "ISO 2022 IR 149"]
        image.PatientName = "Hong^Gildong=洪^吉洞=홍^길동"
        image.PatientBirthDate = "19500101"
        image.add_new(0x00091001, "LO", "private")
        image.save_as(file)
    content = make_content(study)
    seg = pydicom.dcmread(write(content, tmp_path / "seg.dcm"))
    assert str(seg.PatientName) == "Hong^Gildong=洪^吉洞=홍^길동"
    assert (seg.PatientID, seg.PatientBirthDate, seg.PatientSex) == ("PHANTOM-CT", "19500101", "F")
    assert seg.StudyInstanceUID == content.source.headers[0].StudyInstanceUID
    assert seg.SeriesInstanceUID != content.source.series_uid
    assert not [element for element in seg if element.tag.is_private]
    assert "Hong" not in repr(content)
    assert "Hong" not in repr(content.source)


def test_the_same_answer_has_the_same_uid_and_another_has_not(tmp_path: Path) -> None:
    study = read_study(tmp_path)
    first, again = make_segmentation(make_content(study)), make_segmentation(make_content(study))
    other = make_segmentation(make_content(study, labels={**HEAD_LABELS, 3: "epidural"}))
    assert first.SOPInstanceUID == again.SOPInstanceUID != other.SOPInstanceUID
    assert first.SeriesInstanceUID == again.SeriesInstanceUID
    assert first.PixelData == again.PixelData


def test_an_empty_labelmap_is_no_segmentation(tmp_path: Path) -> None:
    study = read_study(tmp_path)
    labels = np.zeros(study.volume.shape_zyx, np.uint8)
    content = make_content(study, make_result(study, StudyAnswer(found=False, labelmap=labels)))
    with pytest.raises(UsageError, match="nothing was outlined"):
        make_segmentation(content)


def test_what_cannot_be_placed_is_refused_with_the_reason(tmp_path: Path) -> None:
    study = read_study(tmp_path)
    with pytest.raises(DicomError, match="not read from DICOM"):
        SourceSeries.read(dataclasses.replace(study, slices=()))
    for file in (tmp_path / "series").iterdir():
        image = pydicom.dcmread(file)
        del image.FrameOfReferenceUID
        image.save_as(file)
    with pytest.raises(DicomError, match="frame of reference"):
        make_segmentation(make_content(study))


@needs_dciodvfy
@pytest.mark.parametrize(
    "orientation",
    [(1, 0, 0, 0, -1, 0), (0, 1, 0, -1, 0, 0), (-1, 0, 0, 0, 1, 0), (0, 1, 0, 0, 0, -1)],
    ids=["rows to the front", "turned", "mirrored", "sagittal"],
)
def test_frames_lie_as_the_images_are_stored_whatever_was_turned_in_reading(
    tmp_path: Path, orientation: tuple[float, ...]
) -> None:
    hu = np.random.default_rng(5).integers(-100, 100, (4, 9, 12))
    make_series(tmp_path / "series", hu, orientation=orientation)
    study = read_volume(tmp_path / "series", session_id="study-1")
    labels = (study.volume.voxels > 60).astype(np.uint8)
    content = make_content(study, make_result(study, StudyAnswer(found=True, labelmap=labels)))
    path = write(content, tmp_path / "seg.dcm")
    assert problems_of(path) == []
    read = read_by_positions(path, study.volume.affine_ijk_to_lps_mm, study.volume.shape_zyx)
    np.testing.assert_array_equal(read, labels)
    seg = hd.seg.segread(path)
    for file in (tmp_path / "series").iterdir():
        image = pydicom.dcmread(file)
        mask = seg.get_pixels_by_source_instance(
            [image.SOPInstanceUID], combine_segments=True, assert_missing_frames_are_empty=True
        )
        np.testing.assert_array_equal(mask[0], image.pixel_array.astype(int) - 1024 > 60)


@needs_dciodvfy
def test_frames_of_a_multi_frame_image_are_referred_to_by_number(tmp_path: Path) -> None:
    hu = np.random.default_rng(5).integers(-100, 100, (4, 9, 12))
    hu[1] = -100
    make_enhanced(tmp_path / "ct.dcm", hu, order=[2, 0, 3, 1])
    study = read_volume(tmp_path / "ct.dcm", session_id="study-1")
    labels = (study.volume.voxels > 60).astype(np.uint8)
    content = make_content(study, make_result(study, StudyAnswer(found=True, labelmap=labels)))
    path = write(content, tmp_path / "seg.dcm")
    assert problems_of(path) == []
    np.testing.assert_array_equal(
        read_by_positions(path, study.volume.affine_ijk_to_lps_mm, study.volume.shape_zyx), labels
    )
    seg = pydicom.dcmread(path)
    frames = [
        int(groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber)
        for groups in seg.PerFrameFunctionalGroupsSequence
    ]
    assert sorted(frames) == [1, 2, 3]  # planes 2, 0 and 3
