"""Cine objects of frames that are made up: how they are divided, padded, and that only one frame is in memory."""

import dataclasses
from collections.abc import Iterator

import numpy as np
import pydicom
import pytest

from usassist.dicom.objects import cine
from usassist.dicom.objects.cine import divide, frame_steps, write_cine
from usassist.dicom.objects.content import EngineUsed, Image, SweepContent, SweepFrame
from usassist.dicom.objects.secondary import write_secondary
from usassist.dicom.study import anonymous_study
from usassist.errors import DicomError

FRAME = SweepFrame(
    frame_id=0,
    t_ms=0.0,
    hw_px=(7, 9),
    channels=1,
    spacing_rc_mm=(0.1, 0.2),
    spacing_rel_sd=0.01,
    calibration_id="scale_by_ruler",
)


def frames_of(count: int, **changes: object) -> tuple[SweepFrame, ...]:
    return tuple(
        dataclasses.replace(FRAME, frame_id=number, t_ms=number * 33_366_700 / 1e6, **changes)
        for number in range(count)
    )


def content_of(frames: tuple[SweepFrame, ...], **changes: object) -> SweepContent:
    def images() -> Iterator[tuple[int, Image]]:
        image = np.empty(frames[0].hw_px, np.uint8)  # one for all, so that a frame that is kept would change
        for index, _ in enumerate(frames):
            image[...] = np.arange(image.size).reshape(image.shape) + index
            yield index, image

    values = {
        "study": anonymous_study("s", "2026-03-14T10:15:00+00:00"),
        "session_id": "s",
        "fingerprint": "f",
        "begun_utc": "2026-03-14T10:15:00+00:00",
        "state": "ended",
        "engine": EngineUsed(
            engine_id="e@1", version="1", backend="b", precision="fp32", intended_use="", software_version="0"
        ),
        "frames": frames,
        "images": images,
        "answers": (),
        "nodules": (),
        "untracked": (),
        "parts": divide(frames),
        "text_free": True,
    }
    return SweepContent(**(values | changes))


def test_an_odd_number_of_bytes_is_padded_and_frames_are_written_one_by_one(tmp_path):
    content = content_of(frames_of(3))
    (path,) = write_cine(content, tmp_path)
    dataset = pydicom.dcmread(path)
    assert len(dataset.PixelData) == 3 * 7 * 9 + 1
    for index, image in content.images():
        np.testing.assert_array_equal(dataset.pixel_array[index], image)


def test_scales_and_sizes_are_apart_and_come_together_again():
    a, b, c = FRAME, dataclasses.replace(FRAME, spacing_rc_mm=(0.3, 0.3)), dataclasses.replace(FRAME, hw_px=(8, 9))
    parts = divide((a, a, b, a, c, b, a))
    assert [part.frame_indices for part in parts] == [(0, 1, 3, 6), (2, 5), (4,)]
    assert [part.number for part in parts] == [1, 2, 3]


def test_a_long_sweep_is_divided_before_its_times_or_pixels_are_too_many(monkeypatch):
    frames = frames_of(20_000)
    parts = divide(frames)
    content = content_of(frames)
    lengths = [len("\\".join(frame_steps(content, part))) for part in parts]
    assert len(parts) == 3
    assert max(lengths) <= 65_534
    assert [index for part in parts for index in part.frame_indices] == list(range(20_000))
    monkeypatch.setattr(cine, "MOST_BYTES", 10 * 63)
    assert [len(part.frame_indices) for part in divide(frames[:25])] == [10, 10, 5]


def test_a_scale_that_changes_all_the_time_is_refused():
    frames = [dataclasses.replace(FRAME, spacing_rc_mm=(0.1, 0.1 + number / 1e4)) for number in range(201)]
    assert len(divide(frames[:200])) == 200
    with pytest.raises(DicomError, match="201 cine objects, more than 200; export parts of the session"):
        divide(frames)


def test_frames_that_go_missing_while_they_are_read_are_told(tmp_path):
    content = content_of(frames_of(3))
    short = dataclasses.replace(content, images=lambda: iter(list(content.images())[:2]))
    with pytest.raises(DicomError, match="1 frames have gone"):
        write_cine(short, tmp_path)
    drawn = np.zeros((20, 30, 3), np.uint8)
    short = dataclasses.replace(content, drawings=lambda: iter([(0, drawn), (2, drawn)]))
    with pytest.raises(DicomError, match="1 frames cannot be drawn"):
        write_secondary(short, tmp_path)
    assert not (tmp_path / "secondary.dcm").exists()


def test_references_name_the_frame_of_the_object_that_holds_it(tmp_path):
    content = content_of((FRAME, dataclasses.replace(FRAME, spacing_rc_mm=None, spacing_rel_sd=None), FRAME))
    datasets = {dataset.SOPInstanceUID: dataset for dataset in map(pydicom.dcmread, write_cine(content, tmp_path))}
    for index, image in content.images():
        reference = content.reference(index)
        dataset = datasets[reference.sop_instance_uid]
        assert reference.sop_class_uid == dataset.SOPClassUID
        assert reference.series_instance_uid == dataset.SeriesInstanceUID
        pixels = dataset.pixel_array.reshape(-1, 7, 9)[reference.frame_number - 1]
        np.testing.assert_array_equal(pixels, image)


def test_another_version_of_the_program_makes_other_objects():
    content = content_of(frames_of(1))
    other = dataclasses.replace(content, made_by_version="9.9")
    assert content.uid("cine", 1) == content_of(frames_of(1)).uid("cine", 1)
    assert content.uid("cine", 1) != other.uid("cine", 1)
    assert content.series_uid("cine") != other.series_uid("cine")
    assert list(cine.make_cine(other, other.parts[0]).SoftwareVersions) == ["0", "9.9"]
