"""``Engine.stream``: every kind of source, lazily, with the identity of every frame."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset

from tests.recordings import record_session
from tests.samples import make_frame
from usassist import Engine, FrameResult
from usassist.config import resource_dir
from usassist.errors import SourceError, UsageError
from usassist.records import SignalState

DEMO = resource_dir("demo") / "clip.mkv"


def test_a_clip_is_read_frame_by_frame_as_results_are_asked_for(engine: Engine) -> None:
    with engine.stream(DEMO) as stream:
        first, second = next(stream), next(stream)
        assert stream.info.image_hw_px == first.image.shape[:2]
    assert [first.frame_id, second.frame_id] == [0, 1]
    assert list(stream) == []  # it was closed after two of 300


def test_a_frame_keeps_its_time_and_its_stamp(results: list[FrameResult]) -> None:
    assert [result.frame_id for result in results] == list(range(len(results)))
    assert results[0].t_ms == 0.0
    for result in results:
        assert result.pts is not None
        assert result.frame.time_base is not None
        stamp_ms = float(1000 * (result.pts - (results[0].pts or 0)) * result.frame.time_base)
        assert result.t_ms == pytest.approx(stamp_ms, abs=1e-3)


def test_the_bundled_clip_comes_with_its_calibration_and_the_file_without(
    engine: Engine, results: list[FrameResult]
) -> None:
    assert all(result.record.calibration_id == "phantom_demo" for result in results)
    (plain,) = engine.stream(DEMO, count=1, scale="none")
    assert plain.record.calibration_id is None
    x1, y1, x2, y2 = plain.frame.roi_xyxy_px
    assert 0 < x1 < x2 < 1280
    assert 0 < y1 < y2 < 720
    (whole,) = engine.stream(DEMO, count=1, crop=None)
    assert whole.image.shape[:2] == (720, 1280)
    (part,) = engine.stream(DEMO, count=1, crop=(334, 76, 634, 376))
    assert part.image.shape[:2] == (300, 300)


def test_a_folder_of_pictures_is_a_stream(engine: Engine, results: list[FrameResult], tmp_path: Path) -> None:
    chosen = results[16:20]
    for result in chosen:
        cv2.imwrite(str(tmp_path / f"{result.frame_id}.png"), result.image)
    again = list(engine.stream(tmp_path, crop=None))
    assert [result.frame_id for result in again] == [0, 1, 2, 3]
    assert [result.t_ms for result in again] == [0.0, 100.0, 200.0, 300.0]
    for one, other in zip(again, chosen, strict=True):
        np.testing.assert_array_equal(one.scores, other.scores)


def test_a_recorded_session_keeps_numbers_times_and_what_is_no_picture(engine: Engine, tmp_path: Path) -> None:
    frozen = {"picture": SignalState.FROZEN, "picture_reason": "the scanner is frozen"}
    damaged = {"picture": SignalState.DAMAGED, "picture_reason": "packets were lost"}
    frames = [
        make_frame(3, t_capture_ns=10_000_000),
        make_frame(5, t_capture_ns=77_000_000, **frozen),
        make_frame(6, t_capture_ns=110_000_000, **damaged),
    ]
    record_session(tmp_path / "s", frames)
    results = list(engine.stream(tmp_path / "s"))
    assert [result.frame_id for result in results] == [3, 5, 6]
    assert [result.t_ms for result in results] == [0.0, 67.0, 100.0]
    assert not any(result.is_answer for result in results)
    assert [str(result.cause) for result in results] == ["out_of_domain", "not_live", "damaged"]  # no neck
    assert [result.reason for result in results[1:]] == ["the scanner is frozen", "packets were lost"]
    assert all(result.infer_ms is None for result in results[1:])
    for result, frame in zip(results, frames, strict=True):
        np.testing.assert_array_equal(result.image, frame.image)
    options = {"backend": "onnxruntime", "precision": "fp32"}
    with (
        Engine(spacing_mm=(0.1, 0.1), spacing_rel_sd=0.01, **options) as scaled,
        pytest.raises(UsageError, match="keeps its own scale"),
    ):
        scaled.stream(tmp_path / "s")
    with pytest.raises(UsageError, match="keeps its own crop"):
        engine.stream(tmp_path / "s", crop=(0, 0, 8, 8))


def test_a_clip_that_breaks_off_gives_what_came_before_and_says_so(engine: Engine, tmp_path: Path) -> None:
    session = tmp_path / "s"
    record_session(session, [make_frame(i, channels=1 if i < 3 else 3) for i in range(6)])
    (session / "frames_2.nut").unlink()
    stream = engine.stream(session)
    assert [next(stream).frame_id for _ in range(3)] == [0, 1, 2]
    with pytest.raises(SourceError, match="breaks off"):
        next(stream)
    assert list(stream) == []


@pytest.mark.parametrize("source", ["v4l2:/dev/video0", "rtsp://127.0.0.1/x", "loop:demo"])
def test_live_input_is_refused(engine: Engine, source: str) -> None:
    with pytest.raises(UsageError, match="usassist live"):
        engine.stream(source)


def test_what_is_not_there_is_said_at_once(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(SourceError):
        engine.stream(tmp_path / "none.mp4")
    with pytest.raises(UsageError, match="count must be 1 or more"):
        engine.stream(DEMO, count=0)


def test_a_dicom_file_is_a_stream_whose_scale_is_not_used_without_its_uncertainty(
    engine: Engine, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (3, 64, 80), dtype=np.uint8)
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = uid.UltrasoundMultiFrameImageStorage
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    region = Dataset()
    region.RegionSpatialFormat, region.RegionDataType = 1, 1
    region.RegionFlags = 0
    region.RegionLocationMinX0, region.RegionLocationMinY0 = 0, 0
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = 79, 63
    region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = 3  # cm
    region.PhysicalDeltaX = region.PhysicalDeltaY = 0.01
    dataset = Dataset()
    dataset.file_meta = meta
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, "1.2.3"
    dataset.Modality, dataset.PhotometricInterpretation = "US", "MONOCHROME2"
    dataset.Rows, dataset.Columns, dataset.NumberOfFrames = 64, 80, 3
    dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset.FrameTime = 40.0
    dataset.SequenceOfUltrasoundRegions = [region]
    dataset.PixelData = frames.tobytes()
    dataset.save_as(tmp_path / "x.dcm", enforce_file_format=True)
    results = list(engine.stream(tmp_path / "x.dcm", crop=None))
    assert [result.t_ms for result in results] == [0.0, 40.0, 80.0]
    for result, image in zip(results, frames, strict=True):
        np.testing.assert_array_equal(result.image, image)
        assert result.frame.spacing_rc_mm is None
        assert not result.sizes.calibrated
