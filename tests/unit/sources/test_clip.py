from __future__ import annotations

import logging
import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from usassist.calibrate import Geometry
from usassist.common.clock import FakeClock
from usassist.errors import CalibrationError, ScanAreaError, SourceError, SourceFormatError, UsageError
from usassist.records import Frame, SignalState
from usassist.sources import Source, open_source
from usassist.sources.clip import Timeline

MakeImages = Callable[..., list[Any]]
WriteClip = Callable[..., Path]


def play(path: Path | str, **options: Any) -> list[Frame]:
    with open_source(str(path), session_id="s", **{"fast": True, "crop": "none", **options}) as source:
        return list(source.frames())


def play_until_error(source: Source) -> tuple[list[Frame], SourceError | None]:
    frames = []
    try:
        for frame in source.frames():
            frames.append(frame)
    except SourceError as error:
        return frames, error
    return frames, None


# Pixels


def test_grey_lossless_clip_gives_the_very_pixels(
    tmp_path: Path, make_images: MakeImages, write_clip: WriteClip
) -> None:
    images = make_images(7, (48, 64))
    frames = play(write_clip(tmp_path / "a.mkv", images))
    assert [frame.frame_id for frame in frames] == list(range(7))
    for frame, image in zip(frames, images, strict=True):
        assert frame.image.shape == (48, 64)
        assert frame.image.flags.c_contiguous
        assert not frame.image.flags.writeable
        np.testing.assert_array_equal(frame.image, image)


@pytest.mark.parametrize("size", [(187, 253), (1, 1), (33, 17)])
def test_odd_sizes_are_played(
    size: tuple[int, int], tmp_path: Path, make_images: MakeImages, write_clip: WriteClip
) -> None:
    images = make_images(2, size)
    for frame, image in zip(play(write_clip(tmp_path / "a.mkv", images)), images, strict=True):
        np.testing.assert_array_equal(frame.image, image)


@pytest.mark.parametrize(("pix_fmt", "bits"), [("gray10le", 10), ("gray12le", 12), ("gray16le", 16)])
def test_deep_grey_is_scaled_to_eight_bits(
    pix_fmt: str, bits: int, tmp_path: Path, make_images: MakeImages, write_clip: WriteClip
) -> None:
    most = 2**bits - 1
    images = make_images(3, (40, 50), most=most)
    frames = play(write_clip(tmp_path / "a.mkv", images, pix_fmt=pix_fmt, image_format=pix_fmt))
    for frame, image in zip(frames, images, strict=True):
        np.testing.assert_array_equal(frame.image, np.rint(image * (255 / most)).astype(np.uint8))


def test_limited_range_grey_is_stretched_to_0_to_255(tmp_path: Path, write_clip: WriteClip) -> None:
    def limited(stream: Any) -> None:
        stream.codec_context.color_range = 1

    ramp = np.tile(np.arange(256, dtype=np.uint8), (16, 1))
    (frame,) = play(write_clip(tmp_path / "a.mkv", [ramp], setup=limited))
    assert frame.image[0, [0, 16, 235, 255]].tolist() == [0, 0, 255, 255]
    assert frame.image[0, 128] == 130


@pytest.mark.parametrize("color_range", [0, 1])
def test_limited_range_colour_is_stretched_to_0_to_255(color_range: int, tmp_path: Path, write_clip: WriteClip) -> None:
    def tagged(stream: Any) -> None:
        stream.codec_context.color_range = color_range

    planes = np.full((48, 32), 128, np.uint8)
    planes[:32, :16], planes[:32, 16:] = 16, 235
    path = write_clip(
        tmp_path / "a.mkv", [planes], pix_fmt="yuv420p", image_format="yuv420p", setup=tagged, hw_px=(32, 32)
    )
    (frame,) = play(path)
    assert frame.image.shape == (32, 32)  # what shows no colour comes in one plane
    assert frame.image[:, :16].max() == 0
    assert frame.image[:, 16:].min() == 255


@pytest.mark.parametrize("pix_fmt", ["bgr0", "bgra", "gbrp10le"])
def test_colour_lossless_clip_gives_the_very_pixels(
    pix_fmt: str, tmp_path: Path, make_images: MakeImages, write_clip: WriteClip
) -> None:
    images = make_images(3, (48, 64), channels=3)
    frames = play(write_clip(tmp_path / "a.mkv", images, pix_fmt=pix_fmt, image_format="rgb24"))
    slack = 1 if pix_fmt == "gbrp10le" else 0
    for frame, image in zip(frames, images, strict=True):
        assert np.abs(frame.image.astype(int) - image).max() <= slack


@pytest.mark.parametrize(
    ("suffix", "codec", "pix_fmt"),
    [
        (".mp4", "mpeg4", "yuv420p"),
        (".mov", "mjpeg", "yuvj420p"),
        (".avi", "mpeg4", "yuv420p"),
        (".mpeg", "mpeg2video", "yuv420p"),
        (".webm", "libvpx", "yuv420p"),
        (".mkv", "ffv1", "yuv420p10le"),
    ],
)
def test_usual_containers_and_codecs_play_to_the_end(
    suffix: str, codec: str, pix_fmt: str, tmp_path: Path, write_clip: WriteClip
) -> None:
    ramp = np.tile(np.linspace(20, 230, 64).astype(np.uint8), (64, 1))
    images = [np.repeat(np.roll(ramp, 4 * index, axis=1)[..., None], 3, axis=2) for index in range(9)]
    path = write_clip(tmp_path / f"a{suffix}", images, codec=codec, pix_fmt=pix_fmt, image_format="rgb24", rate=25)
    frames = play(path)
    assert len(frames) == 9
    for frame, image in zip(frames, images, strict=True):
        assert np.abs(frame.image.astype(int) - (image if frame.image.ndim == 3 else image[..., 0])).mean() < 12


@pytest.mark.parametrize("degrees", [0, 90, 180, -90])
@pytest.mark.parametrize("flip", [{}, {"hflip": True}, {"vflip": True}])
def test_display_matrix_is_applied(degrees: int, flip: dict[str, bool], tmp_path: Path, write_clip: WriteClip) -> None:
    image = np.zeros((32, 64, 3), np.uint8)
    image[:12, :20] = (200, 150, 90)
    image[20:, 50:] = (40, 90, 120)
    path = write_clip(
        tmp_path / "a.mp4",
        [image],
        codec="mjpeg",
        pix_fmt="yuvj444p",
        image_format="rgb24",
        setup=lambda stream: stream.set_display_rotation(degrees, **flip),
    )
    (frame,) = play(path)
    upright = np.rot90(image, degrees // 90)
    upright = upright[:, ::-1] if flip.get("hflip") else upright
    upright = upright[::-1] if flip.get("vflip") else upright
    assert frame.image.shape == upright.shape
    assert np.abs(frame.image.astype(int) - upright).mean() < 4


# Time


def test_frames_are_delivered_at_their_timestamps(
    tmp_path: Path, make_images: MakeImages, write_clip: WriteClip
) -> None:
    stamps = [0, 1, 2, 5, 6, 12]
    path = write_clip(tmp_path / "a.mkv", make_images(6, (16, 16)), stamps=stamps)
    frames = play(path, fast=False, clock=FakeClock(5_000_000_000))
    assert [frame.t_capture_ns for frame in frames] == [5_000_000_000 + stamp * 100_000_000 for stamp in stamps]
    assert all(frame.pts is not None and frame.time_base is not None for frame in frames)
    assert [frame.pts * frame.time_base * 10 for frame in frames if frame.pts is not None] == stamps


def test_late_frames_are_neither_slept_for_nor_skipped(
    tmp_path: Path, make_images: MakeImages, write_clip: WriteClip
) -> None:
    clock = FakeClock()
    stamps_ms = []
    with open_source(
        str(write_clip(tmp_path / "a.mkv", make_images(5, (16, 16)))), session_id="s", crop="none", clock=clock
    ) as source:
        for frame in source.frames():
            stamps_ms.append(frame.t_capture_ns / 1e6)
            clock.advance_ms(250 if frame.frame_id == 0 else 0)
    assert stamps_ms == [0, 250, 250, 300, 400]


def test_fast_does_not_wait(tmp_path: Path, make_images: MakeImages, write_clip: WriteClip) -> None:
    frames = play(write_clip(tmp_path / "a.mkv", make_images(5, (16, 16))), clock=FakeClock(7))
    assert {frame.t_capture_ns for frame in frames} == {7}


def test_repeat_goes_on_with_frame_ids_and_time(tmp_path: Path, make_images: MakeImages, write_clip: WriteClip) -> None:
    images = make_images(3, (16, 16))
    path = write_clip(tmp_path / "a.mkv", images)
    frames = play(path, fast=False, repeat=True, count=8, clock=FakeClock())
    assert [frame.frame_id for frame in frames] == list(range(8))
    assert [frame.t_capture_ns for frame in frames] == [index * 100_000_000 for index in range(8)]
    for frame in frames:
        np.testing.assert_array_equal(frame.image, images[frame.frame_id % 3])


def test_count_ends_the_stream(tmp_path: Path, make_images: MakeImages, write_clip: WriteClip) -> None:
    path = write_clip(tmp_path / "a.mp4", make_images(6, (16, 16)), codec="mjpeg", pix_fmt="yuvj420p")
    with open_source(str(path), session_id="s", fast=True, crop="none", count=4) as source:
        assert source.info.frame_count == 4
        assert len(list(source.frames())) == 4
    with open_source(str(path), session_id="s", fast=True, crop="none") as source:
        assert source.info.frame_count == 6
    with pytest.raises(UsageError, match="count must be 1 or more"):
        play(path, count=0)


def test_each_call_of_frames_begins_at_the_start(
    tmp_path: Path, make_images: MakeImages, write_clip: WriteClip
) -> None:
    with open_source(
        str(write_clip(tmp_path / "a.mkv", make_images(3, (16, 16)))), session_id="s", fast=True, crop="none"
    ) as source:
        assert next(source.frames()).frame_id == 0
        assert [frame.frame_id for frame in source.frames()] == [0, 1, 2]


def test_closing_ends_the_stream_at_the_next_frame(
    tmp_path: Path, make_images: MakeImages, write_clip: WriteClip
) -> None:
    source = open_source(
        str(write_clip(tmp_path / "a.mkv", make_images(5, (16, 16)))), session_id="s", fast=True, crop="none"
    )
    frames = source.frames()
    next(frames)
    source.close()
    source.close()
    assert list(frames) == []
    assert list(source.frames()) == []


@pytest.mark.parametrize(("suffix", "codec"), [(".h264", "libx264"), (".m2v", "mpeg2video"), (".m4v", "mpeg4")])
def test_rate_of_a_raw_stream_is_the_one_of_its_codec(
    suffix: str, codec: str, tmp_path: Path, write_clip: WriteClip
) -> None:
    images = [np.full((64, 64), 9 * number, np.uint8) for number in range(10)]
    path = write_clip(tmp_path / f"a{suffix}", images, codec=codec, pix_fmt="yuv420p", rate=50)
    with open_source(str(path), session_id="s", crop="none", clock=FakeClock()) as source:
        assert source.info.rate_hz == 50
        stamps_ms = [frame.t_capture_ns / 1e6 for frame in source.frames()]
    assert stamps_ms == [20 * number for number in range(10)]


def test_raw_stream_without_a_rate_is_played_at_a_default_rate_with_a_warning(
    tmp_path: Path, make_images: MakeImages, write_clip: WriteClip, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_clip(tmp_path / "a.mjpeg", make_images(3, (16, 16)), codec="mjpeg", pix_fmt="yuvj420p", rate=50)
    with open_source(str(path), session_id="s", crop="none", clock=FakeClock()) as source:
        assert source.info.rate_hz is None
    assert "states no rate; played at 25 frames a second" in caplog.text


def test_long_pause_is_kept_and_logged(
    tmp_path: Path, make_images: MakeImages, write_clip: WriteClip, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_clip(tmp_path / "a.mkv", make_images(4, (16, 16)), stamps=[0, 1, 451, 452])
    frames = play(path, fast=False, clock=FakeClock())
    assert [frame.t_capture_ns // 100_000_000 for frame in frames] == [0, 1, 451, 452]
    assert "a pause of 45.0 s at 0.1 s" in caplog.text


def test_stamps_that_jump_or_fall_back_are_reported_and_cost_one_period() -> None:
    reported: list[str] = []
    timeline = Timeline(100, report=reported.append)
    unit = Fraction(1, 1_000_000_000)
    hour = 3600 * 1_000_000_000
    stamps = [-500, -400, hour, hour + 100, 50, 150, 20, None, 150, 250]
    due = [timeline.due_ns(stamp, unit) for stamp in stamps]
    assert due == [0, 100, 200, 300, 400, 500, 600, 700, 730, 830]
    assert len(reported) == 2
    assert "jump ahead by 3600.0 s" in reported[0]
    assert "fall back" in reported[1]


# Shape of the pixels, and interlacing


@pytest.mark.parametrize(
    ("aspect", "shown_hw_px"), [(Fraction(16, 11), (64, 93)), (Fraction(8, 9), (72, 64)), (Fraction(5), (64, 64))]
)
def test_pixels_that_are_not_square_are_made_square_with_a_warning(
    aspect: Fraction,
    shown_hw_px: tuple[int, int],
    tmp_path: Path,
    write_clip: WriteClip,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def set_aspect(stream: Any) -> None:
        stream.codec_context.sample_aspect_ratio = aspect

    image = np.zeros((64, 64), np.uint8)
    image[16:48, 16:48] = 200
    path = write_clip(tmp_path / "a.mkv", [image] * 2, codec="mpeg4", pix_fmt="yuv420p", setup=set_aspect)
    with open_source(str(path), session_id="s", fast=True, crop="none") as source:
        info, frames = source.info, list(source.frames())
    height, width = shown_hw_px
    assert info.grab_hw_px == info.image_hw_px == frames[0].image_hw_px == shown_hw_px
    assert frames[1].roi_xyxy_px == (0, 0, width, height)
    rows, columns = np.nonzero(frames[0].image > 100)
    assert np.ptp(columns) == pytest.approx(width / 2, abs=2)
    assert np.ptp(rows) == pytest.approx(height / 2, abs=2)
    words = "cannot be true" if aspect > 4 else f"pixels of {aspect.numerator}:{aspect.denominator} made square"
    assert words in info.description
    assert words in caplog.text


def test_an_aspect_that_is_off_by_rounding_alone_changes_no_pixel(tmp_path: Path, write_clip: WriteClip) -> None:
    def set_aspect(stream: Any) -> None:
        stream.codec_context.sample_aspect_ratio = Fraction(1200, 1201)

    path = write_clip(tmp_path / "a.mkv", [np.zeros((1080, 64), np.uint8)] * 2, codec="ffv1", setup=set_aspect)
    with open_source(str(path), session_id="s", fast=True, crop="none") as source:
        assert source.info.grab_hw_px == (1080, 64)
        assert "pixels of" not in source.info.description


def interlaced(path: Path, write_clip: WriteClip) -> Path:
    """A bar that moves 6 px between the two fields of each frame."""

    def weave(stream: Any) -> None:
        stream.codec_context.options = {"flags": "+ilme+ildct", "top": "1", "b": "4000000"}

    images = []
    for number in range(12):
        image = np.full((96, 128), 30, np.uint8)
        for field in range(2):
            left = 10 + 6 * (2 * number + field) % 100
            image[field::2, left : left + 20] = 220
        images.append(image)
    return write_clip(path, images, codec="mpeg2video", pix_fmt="yuv420p", rate=25, setup=weave)


def comb(image: Any) -> float:
    """How far lines differ from those above and below, of which both lie on the same side."""
    lines = image.astype(int)
    above, below = lines[1:-1] - lines[:-2], lines[1:-1] - lines[2:]
    return float(np.where(above * below > 0, np.minimum(abs(above), abs(below)), 0).mean())


def test_interlaced_video_is_reported_and_deinterlaced_on_request(
    tmp_path: Path, write_clip: WriteClip, caplog: pytest.LogCaptureFixture
) -> None:
    path = interlaced(tmp_path / "a.mpg", write_clip)
    with open_source(str(path), session_id="s", fast=True, crop="none") as source:
        assert "interlaced: moving edges are torn; --deinterlace fixes that" in source.info.description
        woven = list(source.frames())
    assert "interlaced: moving edges are torn" in caplog.text
    with open_source(str(path), session_id="s", fast=True, crop="none", deinterlace=True) as source:
        assert source.info.description.endswith("; deinterlaced")
        apart = list(source.frames())
    assert [frame.pts for frame in apart] == [frame.pts for frame in woven]
    assert comb(woven[5].image) > 5
    assert comb(apart[5].image) < 0.2 * comb(woven[5].image)


def test_deinterlacing_of_what_is_never_interlaced_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a null source is never interlaced; leave out --deinterlace"):
        play("null:frames=2", deinterlace=True)


# Crop and scale


def test_explicit_crop_cuts_and_is_in_the_frame(tmp_path: Path, make_images: MakeImages, write_clip: WriteClip) -> None:
    images = make_images(2, (48, 64))
    path = write_clip(tmp_path / "a.mkv", images)
    with open_source(str(path), session_id="s", fast=True, crop=(5, 7, 40, 31)) as source:
        assert source.info.image_hw_px == (24, 35)
        assert source.info.grab_hw_px == (48, 64)
        assert source.info.roi_xyxy_px == (5, 7, 40, 31)
        frame = next(source.frames())
    assert frame.roi_xyxy_px == (5, 7, 40, 31)
    np.testing.assert_array_equal(frame.image, images[0][7:31, 5:40])


@pytest.mark.parametrize("crop", [(0, 0, 65, 48), (-1, 0, 10, 10), (20, 0, 20, 10), (0, 30, 10, 20)])
def test_crop_outside_the_screen_is_refused(
    crop: tuple[int, int, int, int], tmp_path: Path, make_images: MakeImages, write_clip: WriteClip
) -> None:
    with pytest.raises(UsageError, match=r"does not lie on the screen of 64 x 48 px; give"):
        play(write_clip(tmp_path / "a.mkv", make_images(1, (48, 64))), crop=crop)


def screens(count: int, first: int = 0) -> list[Any]:
    """Scanner screens: the image moves, the banner does not."""
    images = []
    for seed in range(count):
        screen = np.zeros((240, 320), np.uint8)
        cv2.putText(screen, "DOE JANE 1970", (10, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.4, 255, 1)
        if seed >= first:
            screen[40:220, 80:260] = np.random.default_rng(seed).integers(20, 200, (180, 180), dtype=np.uint8)
        images.append(screen)
    return images


def test_automatic_crop_leaves_out_the_banner_and_gives_every_frame(tmp_path: Path, write_clip: WriteClip) -> None:
    images = screens(12)
    frames = play(write_clip(tmp_path / "a.mkv", images), crop="auto")
    assert len(frames) == 12
    assert np.abs(np.subtract(frames[0].roi_xyxy_px, (80, 40, 260, 220))).max() <= 4
    x1, y1, x2, y2 = frames[0].roi_xyxy_px
    np.testing.assert_array_equal(frames[0].image, images[0][y1:y2, x1:x2])


def test_scan_area_is_looked_for_further_on_when_the_clip_begins_dark(tmp_path: Path, write_clip: WriteClip) -> None:
    frames = play(write_clip(tmp_path / "a.mkv", screens(330, first=100)), crop="auto", count=3)
    assert np.abs(np.subtract(frames[0].roi_xyxy_px, (80, 40, 260, 220))).max() <= 4


def test_clip_without_an_ultrasound_image_is_an_error(tmp_path: Path, write_clip: WriteClip) -> None:
    path = write_clip(tmp_path / "a.mkv", screens(5, first=99))
    with pytest.raises(ScanAreaError, match="no ultrasound image"):
        play(path, crop="auto")
    assert len(play(path, crop="none")) == 5


def geometry(**values: Any) -> Geometry:
    return Geometry(
        **{
            "calibration_id": "probe_a",
            "crop_xyxy_px": (4, 8, 40, 44),
            "grab_hw_px": (48, 64),
            "spacing_rc_mm": (0.1, 0.2),
            "spacing_rel_sd": 0.01,
            **values,
        }
    )


def test_geometry_gives_crop_and_scale(tmp_path: Path, make_images: MakeImages, write_clip: WriteClip) -> None:
    path = write_clip(tmp_path / "a.mkv", make_images(1, (48, 64)))
    (frame,) = play(path, crop="auto", geometry=geometry())
    assert frame.roi_xyxy_px == (4, 8, 40, 44)
    assert (frame.spacing_rc_mm, frame.spacing_rel_sd, frame.calibration_id) == ((0.1, 0.2), 0.01, "probe_a")
    (frame,) = play(path, crop=(0, 0, 10, 10), geometry=geometry())
    assert frame.roi_xyxy_px == (0, 0, 10, 10)


def test_geometry_of_another_screen_is_refused(tmp_path: Path, make_images: MakeImages, write_clip: WriteClip) -> None:
    path = write_clip(tmp_path / "a.mkv", make_images(1, (48, 64)))
    with pytest.raises(CalibrationError, match=r"640 x 480 px, but this one has 64 x 48 px"):
        play(path, crop="auto", geometry=geometry(grab_hw_px=(480, 640)))
    with pytest.raises(CalibrationError, match="does not lie on this screen"):
        play(path, crop="auto", geometry=geometry(grab_hw_px=None, crop_xyxy_px=(0, 0, 100, 100)))


def test_description_does_not_name_the_file(tmp_path: Path, make_images: MakeImages, write_clip: WriteClip) -> None:
    path = write_clip(tmp_path / "DOE_JANE.mkv", make_images(1, (16, 16)))
    with open_source(f"clip:{path}", session_id="s", crop="none") as source:
        assert source.info.description == "clip, ffv1, 10 Hz"


# Bad input


def test_missing_file_folder_and_empty_file_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(SourceError, match=r"there is no file .*gone\.mp4; check the path"):
        play(tmp_path / "gone.mp4")
    with pytest.raises(SourceError, match=r"is a folder, not a video file; give"):
        play(f"clip:{tmp_path}")
    with pytest.raises(SourceFormatError, match=r"empty\.mp4 is empty; copy"):
        play(tmp_path / "empty.mp4")
    with pytest.raises(UsageError, match="needs a path; write"):
        play("clip:")


def test_file_without_permission_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"x")

    def refuse(*_args: Any, **_options: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(SourceError, match=r"a\.mp4 may not be read by this user; change"):
        play(path)


@pytest.mark.parametrize("content", [b"this is a text, not a video\n" * 50, b"#EXTM3U\n/etc/passwd\n", b"\0" * 4096])
def test_file_that_is_no_video_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "note.mp4"
    path.write_bytes(content)
    with pytest.raises(SourceFormatError, match=r"note\.mp4 holds no (video|frame).*; (give|export)"):
        play(path)


def test_sound_alone_is_no_video(tmp_path: Path, write_sound: Callable[[Path], Path]) -> None:
    for name in ("a.mkv", "a.wav"):
        with pytest.raises(SourceFormatError, match="it has no video stream"):
            play(write_sound(tmp_path / name))


def test_longer_sound_does_not_make_the_video_look_truncated(
    tmp_path: Path, make_images: MakeImages, write_clip: WriteClip
) -> None:
    assert len(play(write_clip(tmp_path / "a.mkv", make_images(4, (32, 32)), audio_s=3.0))) == 4


def test_container_without_frames_is_an_error(tmp_path: Path, make_images: MakeImages, write_clip: WriteClip) -> None:
    path = write_clip(tmp_path / "a.mkv", make_images(4, (64, 64)))
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"\x1f\x43\xb6\x75")])  # up to the first cluster
    with pytest.raises(SourceFormatError, match=r"a\.mkv holds no (frame|video).*; (export|give)"):
        play(path)


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "options", "claimed"),
    [
        ("a.mkv", "ffv1", "gray", {}, None),
        ("a.mkv", "mpeg4", "yuv420p", {}, None),
        ("a.avi", "mpeg4", "yuv420p", {}, 40),
        ("a.mp4", "mpeg4", "yuv420p", {"movflags": "faststart"}, 40),
    ],
)
def test_truncated_file_plays_what_it_holds_and_then_fails(
    name: str,
    codec: str,
    pix_fmt: str,
    options: dict[str, str],
    claimed: int | None,
    tmp_path: Path,
    make_images: MakeImages,
    write_clip: WriteClip,
) -> None:
    path = write_clip(tmp_path / name, make_images(40, (64, 64)), codec=codec, pix_fmt=pix_fmt, options=options)
    whole = play(path)
    assert len(whole) == 40
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * 0.6)])
    with open_source(str(path), session_id="s", fast=True, crop="none") as source:
        frames, error = play_until_error(source)
    assert 15 <= len(frames) <= 30
    assert error is not None
    of = f" of {claimed}" if claimed else ""
    assert str(error).startswith(f"{name} broke off after {len(frames)}{of} frames")
    assert str(error).endswith("copy or export the clip again")
    for frame, reference in zip(frames[:-1], whole, strict=False):
        np.testing.assert_array_equal(frame.image, reference.image)


def test_cut_mp4_without_index_cannot_be_opened(tmp_path: Path, make_images: MakeImages, write_clip: WriteClip) -> None:
    path = write_clip(tmp_path / "a.mp4", make_images(40, (64, 64)), codec="mpeg4", pix_fmt="yuv420p")
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(SourceFormatError, match=r"a\.mp4 holds no video that can be played"):
        play(path)


def damage(path: Path, length: int) -> None:
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + length] = bytes(length)
    path.write_bytes(bytes(data))


def test_packets_with_a_wrong_check_sum_are_left_out_counted_and_logged(
    tmp_path: Path, make_images: MakeImages, write_clip: WriteClip, caplog: pytest.LogCaptureFixture
) -> None:
    def checked(stream: Any) -> None:
        stream.codec_context.options = {"level": "3", "slicecrc": "1", "slices": "4"}
        stream.codec_context.gop_size = 1

    images = make_images(12, (64, 64))
    path = write_clip(tmp_path / "a.mkv", images, setup=checked)
    assert len(play(path)) == 12
    damage(path, 40)
    with (
        caplog.at_level(logging.WARNING),
        open_source(str(path), session_id="s", fast=True, crop="none") as source,
    ):
        frames, error = play_until_error(source)
        assert error is None
        assert source.decode_errors == 1
    assert [frame.frame_id for frame in frames] == list(range(11))
    assert any("cannot be decoded" in record.message for record in caplog.records)
    for frame in frames:
        assert any(np.array_equal(frame.image, image) for image in images)


def test_damaged_frames_carry_that_state_and_are_logged(
    tmp_path: Path, make_images: MakeImages, write_clip: WriteClip, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_clip(tmp_path / "a.avi", make_images(30, (64, 64)), codec="mpeg4", pix_fmt="yuv420p")
    damage(path, 300)
    with caplog.at_level(logging.WARNING):
        frames = play(path)
    damaged = [frame for frame in frames if frame.picture is SignalState.DAMAGED]
    assert 0 < len(damaged) < 20
    assert all("lost or damaged" in frame.picture_reason for frame in damaged)
    assert f"{len(damaged)} frames are damaged and get no result" in caplog.text


def test_frame_size_that_changes_is_an_error(tmp_path: Path, make_images: MakeImages, write_clip: WriteClip) -> None:
    parts = [
        write_clip(tmp_path / f"{index}.m2v", make_images(4, hw), codec="mpeg2video", pix_fmt="yuv420p", rate=25)
        for index, hw in enumerate([(64, 64), (96, 128)])
    ]
    path = tmp_path / "a.m2v"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    with open_source(str(path), session_id="s", fast=True, crop="none") as source:
        frames, error = play_until_error(source)
    assert {frame.image.shape for frame in frames} == {(64, 64)}
    assert error is not None
    assert "changes its frame format" in str(error)


def test_pixel_format_that_cannot_be_converted_is_named(
    tmp_path: Path, make_images: MakeImages, write_clip: WriteClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_frame: Any) -> None:
        raise ValueError("Conversion to numpy array with format `x` is not yet supported")

    path = write_clip(tmp_path / "a.mkv", make_images(2, (16, 16)))
    monkeypatch.setattr("usassist.sources.screen.to_image", refuse)
    with pytest.raises(SourceFormatError, match=r"pixels of the format gray, which cannot .*; export"):
        play(path)


@pytest.mark.long
def test_every_real_clip_plays_to_its_end() -> None:
    root = Path(os.environ.get("USASSIST_DATA", ""))
    folders = [root / "ultrasound_clips_lung", root / "ultrasound_clips_itkpocus"]
    if "USASSIST_DATA" not in os.environ or not all(folder.is_dir() for folder in folders):
        pytest.skip("USASSIST_DATA does not name a folder with ultrasound_clips_lung and ultrasound_clips_itkpocus")
    paths = sorted(path for folder in folders for path in folder.rglob("*") if path.suffix in {".mp4", ".mov", ".mpeg"})
    assert len(paths) >= 39
    for path in paths:
        with open_source(str(path), session_id="s", fast=True) as source:
            count = sum(1 for _ in source.frames())
            assert source.decode_errors == 0, path.name
            assert source.info.frame_count in (None, count), path.name
            assert count >= 50, path.name
