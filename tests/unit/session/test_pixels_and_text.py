"""Pixels of a recording, in each codec: all of them come back, damage is noticed, and no text is left."""

from __future__ import annotations

import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.recordings import record_session
from tests.samples import make_frame
from usassist.common.pyav import av
from usassist.config import resource_dir
from usassist.frames.burnt_text import find_text_boxes
from usassist.records import Frame
from usassist.session import open_session
from usassist.session.repair import repair_session
from usassist.session.trim import trim_session
from usassist.session.verify import verify_session
from usassist.sinks.video import LOSSLESS
from usassist.sources import open_source

TEXT_FROM, TEXT_TO, COUNT = 37, 71, 90


@pytest.mark.parametrize("codec", list(LOSSLESS))
@pytest.mark.parametrize("hw", [(48, 64), (51, 67)])
def test_every_pixel_comes_back_grey_and_in_colour(codec: str, hw: tuple[int, int], tmp_path: Path) -> None:
    frames = [make_frame(i, hw, channels=1 if i % 5 else 3) for i in range(12)]
    grey_in_three = make_frame(12, hw, 3, image=np.dstack([frames[1].image] * 3))
    record_session(tmp_path / "s", [*frames, grey_in_three], coding=LOSSLESS[codec])
    pictures = list(open_session(tmp_path / "s").images())
    assert len(pictures) == 13
    for frame, (line, image) in zip([*frames, grey_in_three], pictures, strict=True):
        assert line.file.endswith(LOSSLESS[codec].suffix)
        np.testing.assert_array_equal(image, frame.image)
    assert verify_session(tmp_path / "s").problems == []


@pytest.mark.parametrize("codec", list(LOSSLESS))
def test_grey_is_stored_as_grey_and_ffmpeg_alone_reads_it(codec: str, tmp_path: Path) -> None:
    frames = [make_frame(i) for i in range(5)]
    record_session(tmp_path / "s", frames, coding=LOSSLESS[codec])
    with av.open(str(tmp_path / "s" / f"frames{LOSSLESS[codec].suffix}")) as container:
        pictures = list(container.decode(video=0))
    assert {picture.format.name for picture in pictures} == {"gray"}
    assert all(np.array_equal(p.to_ndarray(), f.image) for p, f in zip(pictures, frames, strict=True))


@pytest.mark.parametrize("codec", list(LOSSLESS))
@pytest.mark.parametrize("share", [0.25, 0.5, 0.9])
def test_a_byte_that_changes_in_a_picture_loses_that_picture_and_no_other(
    codec: str, share: float, tmp_path: Path
) -> None:
    frames = [make_frame(i) for i in range(8)]
    record_session(tmp_path / "s", frames, coding=LOSSLESS[codec])
    path = tmp_path / "s" / f"frames{LOSSLESS[codec].suffix}"
    sums = (tmp_path / "s" / "session.toml").read_text()
    (tmp_path / "s" / "session.toml").write_text(sums[: sums.index("[files")])
    with av.open(str(path)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    content = bytearray(path.read_bytes())
    begin = content.index(packets[4])
    content[begin + int(share * len(packets[4]))] ^= 1
    path.write_bytes(content)
    assert any("checksum of coded frame 4 is wrong" in line for line in verify_session(tmp_path / "s").problems)
    for frame, (_, image) in zip(frames, open_session(tmp_path / "s").images(), strict=True):
        assert (image is None) == (frame.frame_id == 4)
        assert image is None or np.array_equal(image, frame.image)
    repair_session(tmp_path / "s", tmp_path / "r")
    assert verify_session(tmp_path / "r").problems == []
    assert [line.frame_id for line in open_session(tmp_path / "r").frames] == [0, 1, 2, 3, 5, 6, 7]


@pytest.mark.parametrize("rate_hz", [7.3, 119.88])
def test_copies_keep_the_rate(rate_hz: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import msgspec

    from tests import recordings

    monkeypatch.setattr(recordings, "SESSION", msgspec.structs.replace(recordings.SESSION, rate_hz=rate_hz))
    frames = [make_frame(i) for i in (0, 1, 5, 6, 1000, 20_000)]
    record_session(tmp_path / "s", frames)
    trim_session(tmp_path / "s", "5", "1000", tmp_path / "part")
    (tmp_path / "s" / "frames.jsonl").unlink()
    repair_session(tmp_path / "s", tmp_path / "r")
    for folder, ids in (("part", [5, 6, 1000]), ("r", [frame.frame_id for frame in frames])):
        pictures = list(open_session(tmp_path / folder).images())
        assert [line.frame_id for line, image in pictures if image is not None] == ids


def test_a_line_has_the_check_sum_of_its_picture_in_the_file(tmp_path: Path) -> None:
    record_session(tmp_path / "s", [make_frame(i) for i in range(4)])
    with av.open(str(tmp_path / "s" / "frames.nut")) as container:
        sums = [zlib.crc32(packet) for packet in container.demux(video=0) if packet.size]
    assert [line.crc32 for line in open_session(tmp_path / "s").frames] == sums


@pytest.fixture(scope="module")
def scanned() -> list[Frame]:
    """Frames of the simulated scanner; on some of them a name stands in the picture."""
    with open_source(f"clip:{resource_dir('demo') / 'clip.mkv'}", session_id="s", fast=True, count=COUNT) as source:
        images = [frame.image for frame in source.frames()]
    frames = []
    for number, image in enumerate(images):
        if TEXT_FROM <= number <= TEXT_TO:
            image = np.maximum(image, _strokes(image.shape[:2]))
        frames.append(make_frame(number, image.shape[:2], image=image, t_capture_ns=33_333_333 * number))
    return frames


def _strokes(hw: tuple[int, int]) -> np.ndarray:
    strokes = np.zeros(hw, np.uint8)
    cv2.putText(strokes, "MUELLER, ANNA 12.03.61", (60, 240), cv2.FONT_HERSHEY_SIMPLEX, 0.7, 255, 1, cv2.LINE_AA)
    return strokes


def test_text_that_appears_in_mid_stream_is_left_on_no_recorded_frame(scanned: list[Frame], tmp_path: Path) -> None:
    record_session(tmp_path / "s", scanned, find_text=find_text_boxes)
    session = open_session(tmp_path / "s")
    ink = _strokes(scanned[0].image_hw_px) > 100
    left = []
    for line, image in session.images():
        assert image is not None
        was = scanned[line.frame_id].image
        kept = float((image[ink] == was[ink]).mean())
        if TEXT_FROM <= line.frame_id <= TEXT_TO and kept > 0.02:
            left.append(line.frame_id)
    assert left == []
    assert len(session.frames) == COUNT
    verdict = verify_session(tmp_path / "s")
    assert verdict.problems == []
    assert not set(verdict.text_suspected) & set(range(TEXT_FROM, TEXT_TO + 1))


def test_text_that_was_left_is_reported(scanned: list[Frame], tmp_path: Path) -> None:
    record_session(tmp_path / "s", scanned)
    verdict = verify_session(tmp_path / "s")
    assert verdict.problems == []
    assert 0 < verdict.text_looked_at <= COUNT
    assert set(range(45, 60)) & set(verdict.text_suspected)
    assert verify_session(tmp_path / "s", look_for_text=False).text_looked_at == 0
