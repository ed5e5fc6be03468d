"""Key images and segmentations of drawn sweeps: the same pixels, the same masks, and who made them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from tests.clinic.dciodvfy import needs_dciodvfy, problems_of
from tests.sweep_contents import Drawn, draw_content, draw_image, with_study
from usassist.dicom.common import write_dataset
from usassist.dicom.objects.content import ULTRASOUND_MULTI_FRAME, SweepContent
from usassist.dicom.objects.shown import list_shown
from usassist.errors import DicomError
from usassist.frames import fill_labelmap
from usassist.records import Segmentation

pytest.importorskip("highdicom", reason="highdicom is missing: pip install 'usassist[dicom]'")
import highdicom as hd

from usassist.dicom.objects.pdf import draw_pdf, make_pdf
from usassist.dicom.objects.report import make_report
from usassist.dicom.objects.segmentation import make_segmentations

TWO = (Drawn(), Drawn(center=(6, 60), axes=(20, 31), cut=True, side="left"), Drawn(is_run=True, cut=None, side=None))


def _write(content: SweepContent, folder: Path) -> dict[str, pydicom.Dataset]:
    made = {}
    for name, dataset in make_segmentations(content):
        write_dataset(folder / name, dataset)
        made[name] = pydicom.dcmread(folder / name)
    return made


@pytest.mark.parametrize(("channels", "hw_px"), [(1, (120, 160)), (3, (120, 160)), (1, (121, 161))])
def test_masks_and_pixels_are_those_of_the_frame(tmp_path: Path, channels: int, hw_px: tuple[int, int]) -> None:
    content = draw_content(TWO, channels=channels, hw_px=hw_px)
    made = _write(content, tmp_path)
    shown = [item for item in list_shown(content) if item.is_best]
    assert len(made) == 3 * len(shown)
    for item, drawn in zip(shown, TWO, strict=True):
        mask = fill_labelmap(Segmentation.of([item.found.contour_xy_px]), hw_px)
        key = made[f"key_{item.slug}.dcm"]
        np.testing.assert_array_equal(key.pixel_array, draw_image([drawn], hw_px, channels))
        for suffix in ("", "_labelmap"):
            segmentation = hd.seg.Segmentation.from_dataset(made[f"seg_{item.slug}{suffix}.dcm"])
            pixels = segmentation.get_pixels_by_source_instance([key.SOPInstanceUID], combine_segments=True)
            np.testing.assert_array_equal(pixels[0], mask)
            described = segmentation.get_segment_description(1)
            assert (described.tracking_uid, described.tracking_id) == (item.tracking_uid, item.tracking_id)
            assert described.segmented_property_type.meaning == "Nodule"
            assert described.algorithm_type is hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC
            algorithm = described.algorithm_identification
            assert (algorithm.name, algorithm.version) == ("thyroid_nodule", "0.4.0+0123456789ab")
            assert algorithm.parameters["operating point"].startswith("balanced")


def test_a_key_image_names_its_frame_of_the_cine_and_its_scale(tmp_path: Path) -> None:
    content = with_study(draw_content(TWO, spacing_rc_mm=(0.11, 0.23)), patient_name="Invented^Test")
    made = _write(content, tmp_path)
    key = made["key_N1.dcm"]
    source = key.SourceImageSequence[0]
    assert (source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID, source.ReferencedFrameNumber) == (
        ULTRASOUND_MULTI_FRAME,
        content.cine_uid(content.parts[0]),
        2,
    )
    region = key.SequenceOfUltrasoundRegions[0]
    assert (region.PhysicalDeltaX, region.PhysicalDeltaY) == (0.023, 0.011)
    assert key.ImageLaterality == "L"
    assert "NumberOfFrames" not in key
    assert {str(dataset.PatientName) for dataset in made.values()} == {"Invented^Test"}
    assert {dataset.StudyInstanceUID for dataset in made.values()} == {content.study.study_instance_uid}
    assert not any(element.tag.is_private for dataset in made.values() for element in dataset.iterall())


def test_nodules_with_one_best_frame_share_its_image(tmp_path: Path) -> None:
    content = draw_content((Drawn(), Drawn(center=(40, 40), axes=(10, 8))))
    first = content.nodules[0]
    together = replace(first.best, frame_index=2, row=0)
    other = replace(content.nodules[1].best, frame_index=2, row=1)
    nodules = (replace(first, best=together), replace(content.nodules[1], best=other))
    made = _write(replace(content, nodules=nodules), tmp_path)
    assert list(made) == ["key_N0.dcm", "seg_N0.dcm", "seg_N0_labelmap.dcm", "seg_N1.dcm", "seg_N1_labelmap.dcm"]


def test_the_same_sweep_gives_the_same_bytes(tmp_path: Path) -> None:
    content = draw_content(TWO)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        _write(content, tmp_path / name)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_no_nodule_reads_no_pixels() -> None:
    def images() -> Iterator[tuple[int, np.ndarray]]:
        raise AssertionError("pixels were read")
        yield

    assert list(make_segmentations(replace(draw_content(()), images=images))) == []


def test_pixels_that_do_not_come_are_an_error() -> None:
    with pytest.raises(DicomError, match="session verify"):
        list(make_segmentations(replace(draw_content(TWO), images=lambda: iter(()))))


@needs_dciodvfy
@pytest.mark.parametrize("spacing", [None, (0.2, 0.2)])
def test_the_validator_finds_no_error(tmp_path: Path, spacing: tuple[float, float] | None) -> None:
    made = _write(draw_content(TWO, spacing_rc_mm=spacing), tmp_path)
    for name in made:
        if not name.endswith("_labelmap.dcm"):  # a class that came after the dicom3tools of 2022
            assert problems_of(tmp_path / name) == []


@pytest.mark.parametrize("points", [[(10.5, 12.5)], [(10.5, 12.5), (11.5, 12.5)], [(0.5, 0.5), (159.5, 119.5)]])
def test_outlines_without_an_inside_are_written_too(tmp_path: Path, points: list[tuple[float, float]]) -> None:
    content = draw_content((Drawn(with_ends=False),))
    found = replace(content.answers[0].nodules[0], contour_xy_px=np.array(points, np.float32))
    answers = (replace(content.answers[0], nodules=(found,)), *content.answers[1:])
    content = replace(content, answers=answers)
    made = _write(content, tmp_path)
    mask = fill_labelmap(Segmentation.of([found.contour_xy_px]), (120, 160))
    np.testing.assert_array_equal(made["seg_N0.dcm"].pixel_array.reshape(mask.shape), mask)
    (line,) = [element.value for element in make_report(content).iterall() if element.keyword == "GraphicData"]
    assert list(line) == [value for point in [*points, points[0]] for value in point]
    assert draw_pdf(content).startswith(b"%PDF-")


@pytest.mark.parametrize("name", ["Inventedperson", "Invented^Test=가나^다라", "Invented=", ""])
def test_no_library_says_the_name_of_the_patient(
    name: str, caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    content = with_study(draw_content((Drawn(),)), patient_name=name, referring_physician_name="Otherperson")
    made = [*(dataset for _, dataset in make_segmentations(content)), make_report(content), make_pdf(content)]
    assert {str(dataset.PatientName) for dataset in made} == {name.rstrip("=")}
    assert {str(dataset.ReferringPhysicianName) for dataset in made} == {"Otherperson"}
    said = " ".join([*caplog.messages, *(str(item.message) for item in recwarn.list)])
    assert "nvented" not in said
    assert "Otherperson" not in said
