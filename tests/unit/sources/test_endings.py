"""Truncated files are recognised by their bytes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from usassist.common.pyav import av
from usassist.errors import SourceError, SourceFormatError
from usassist.records import Frame
from usassist.sources import open_source

FORMATS = {  # suffix → codec
    ".avi": "mpeg4",
    ".mkv": "mpeg4",
    ".webm": "libvpx",
    ".ts": "mpeg2video",
    ".mpg": "mpeg2video",
    ".mp4": "mpeg4",
    ".mov": "mjpeg",
}
Clip = Callable[[str], Path]


def play(path: Path) -> tuple[list[Frame], SourceError | None]:
    frames: list[Frame] = []
    with open_source(str(path), session_id="s", fast=True, crop="none") as source:
        try:
            for frame in source.frames():
                frames.append(frame)
        except SourceError as error:
            return frames, error
    return frames, None


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("whole")
    return {suffix: folder / f"a{suffix}" for suffix in FORMATS}


@pytest.fixture
def clip(made: dict[str, Path], tmp_path: Path, write_clip: Any) -> Clip:
    """An intact clip of 40 frames, in a file that may be changed."""

    def call(suffix: str) -> Path:
        path = made[suffix]
        if not path.exists():
            rng = np.random.default_rng(1)
            images = [cv2.blur(rng.integers(0, 256, (64, 80), np.uint8), (3, 3)) for _ in range(40)]
            options = {"movflags": "faststart"} if suffix in (".mp4", ".mov") else {}
            codec = FORMATS[suffix]
            pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            write_clip(path, images, codec=codec, pix_fmt=pix_fmt, rate=25, options=options)
        return Path(shutil.copy(path, tmp_path / path.name))

    return call


@pytest.mark.parametrize("suffix", list(FORMATS))
def test_whole_file_ends_without_a_word(suffix: str, clip: Clip) -> None:
    frames, error = play(clip(suffix))
    assert error is None
    assert len(frames) == 40


@pytest.mark.parametrize("share", [0.5, 0.8, 0.93])
@pytest.mark.parametrize("suffix", list(FORMATS))
def test_truncated_file_fails_after_the_frames_that_it_holds(suffix: str, share: float, clip: Clip) -> None:
    path = clip(suffix)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share) // 188 * 188 + 77])
    frames, error = play(path)
    assert error is not None
    assert str(error).startswith(f"a{suffix} broke off after {len(frames)}")
    assert str(error).endswith("copy or export the clip again")
    assert 40 * share - 16 <= len(frames) <= 40


@pytest.mark.parametrize("count", [0, 1, 41, 120, 4_000_000])
def test_count_in_the_header_of_an_avi_file_decides_nothing(count: int, clip: Clip) -> None:
    path = clip(".avi")
    data = bytearray(path.read_bytes())
    for mark, offset in ((b"avih", 8 + 16), (b"strh", 8 + 32)):  # dwTotalFrames, dwLength
        place = data.index(mark) + offset
        data[place : place + 4] = count.to_bytes(4, "little")
    path.write_bytes(data)
    with open_source(str(path), session_id="s", fast=True, crop="none") as source:
        assert source.info.frame_count is None
    frames, error = play(path)
    assert error is None
    assert len(frames) == 40


def test_length_in_the_header_of_a_matroska_file_decides_nothing(clip: Clip) -> None:
    path = clip(".mkv")
    data = bytearray(path.read_bytes())
    place = data.index(b"00:00:01.6")
    data[place : place + 8] = b"00:10:01"
    path.write_bytes(data)
    frames, error = play(path)
    assert error is None
    assert len(frames) == 40


@pytest.mark.parametrize("suffix", [".avi", ".mkv"])
def test_index_that_is_missing_at_the_end_is_no_loss(suffix: str, clip: Clip) -> None:
    path = clip(suffix)
    data = path.read_bytes()
    path.write_bytes(data[: data.rindex(b"idx1" if suffix == ".avi" else b"\x1c\x53\xbb\x6b") + 10])
    frames, error = play(path)
    assert error is None
    assert len(frames) == 40


def test_dropped_frames_of_an_avi_file_are_a_pause(tmp_path: Path, make_images: Any, write_clip: Any) -> None:
    stamps = [0, 1, 2, 5, 6, 7]
    path = write_clip(tmp_path / "a.avi", make_images(6, (48, 64)), codec="mpeg4", pix_fmt="yuv420p", stamps=stamps)
    frames, error = play(path)
    assert error is None
    assert len(frames) == 6
    stamps_s = [frame.pts * frame.time_base for frame in frames if frame.pts is not None and frame.time_base]
    assert [round(10 * (stamp - stamps_s[0])) for stamp in stamps_s] == stamps


def test_avi_of_copied_b_frames_plays_in_order_and_ends_well(tmp_path: Path, write_clip: Any) -> None:
    """What ``ffmpeg -c copy`` makes of an mp4: twice as many slots as frames, stamped in decoding order."""
    images = [np.full((64, 64), 20 + 8 * number, np.uint8) for number in range(20)]

    def between(stream: Any) -> None:
        stream.codec_context.options = {"bf": "2", "b-adapt": "0", "x264-params": "scenecut=0"}

    source = write_clip(tmp_path / "a.ts", images, codec="libx264", pix_fmt="yuv420p", rate=25, setup=between)
    path = tmp_path / "a.avi"
    with av.open(str(source)) as reader, av.open(str(path), "w") as writer:
        stream = writer.add_stream_from_template(reader.streams.video[0])
        for packet in reader.demux(video=0):
            if packet.size:
                packet.stream = stream
                writer.mux(packet)
    frames, error = play(path)
    assert error is None
    levels = [float(frame.image.mean()) for frame in frames]
    assert len(levels) == 20
    assert levels == sorted(levels)
    stamps = [frame.pts for frame in frames if frame.pts is not None]
    assert stamps == sorted(stamps)


@pytest.mark.parametrize("suffix", list(FORMATS))
def test_zeros_and_another_suffix_end_in_one_line_or_play(suffix: str, clip: Clip, tmp_path: Path) -> None:
    whole = clip(suffix)
    zeros = tmp_path / f"zeros{suffix}"
    zeros.write_bytes(bytes(whole.stat().st_size))
    with pytest.raises(SourceFormatError, match=r"zeros\..* holds no (video|frame)"):
        play(zeros)
    other = tmp_path / "other.mp4"
    whole.rename(other)
    frames, error = play(other)
    assert error is None
    assert len(frames) == 40
