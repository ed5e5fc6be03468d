"""No damaged frame, and none predicted from one, counts as intact; the reference is the undamaged decoding."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.damage import CODECS, GOP, Picture, compare, decode, encode, lose_packets
from usassist.common.pyav import av
from usassist.records import SignalState
from usassist.sources import open_source
from usassist.sources.damage import FrameDecoder
from usassist.sources.decoding import VideoPass
from usassist.sources.recovery import recovery_frames

WriteClip = Callable[..., Path]
HW_PX = (128, 192)


@pytest.fixture(scope="module")
def streams() -> Callable[[str, str], bytes]:
    """An encoded stream of 72 frames of something that moves, by codec and container; each is made once."""
    made: dict[tuple[str, str], bytes] = {}
    rng = np.random.default_rng(5)
    texture = cv2.GaussianBlur(rng.integers(0, 256, (HW_PX[0], HW_PX[1] + 160), dtype=np.uint8), (0, 0), 1.5)
    texture = cv2.normalize(texture, None, 20, 230, cv2.NORM_MINMAX)

    def make(codec: str, container: str) -> bytes:
        if (codec, container) not in made:
            images = [np.ascontiguousarray(texture[:, 2 * n : 2 * n + HW_PX[1]]) for n in range(6 * GOP)]
            made[codec, container] = encode(images, codec, container)
        return made[codec, container]

    return make


def spoil(data: bytes, numbers: tuple[int, ...]) -> bytes:
    """With random bytes in the middle of some frames."""
    rng = np.random.default_rng(3)
    spoilt = bytearray(data)
    with av.open(io.BytesIO(data)) as container:
        for number, packet in enumerate(container.demux(video=0)):
            if number in numbers:
                place, size = data.index(bytes(packet)), packet.size
                spoilt[place + size // 4 : place + size // 2] = rng.bytes(size // 2 - size // 4)
    return bytes(spoilt)


@pytest.mark.parametrize("live", [False, True], ids=["clip", "live"])
@pytest.mark.parametrize("codec", list(CODECS))
def test_undamaged_stream_is_intact_from_its_first_frame(codec: str, live: bool, streams: Any) -> None:
    found = decode(streams(codec, "mpegts"), live=live)
    assert len(found) == 6 * GOP
    assert {why for *_, why in found} == {""}
    stamps = [pts for pts, *_ in found]
    assert stamps == sorted(stamps)
    assert len(set(stamps)) == 6 * GOP


@pytest.mark.parametrize("live", [False, True], ids=["clip", "live"])
@pytest.mark.parametrize("codec", list(CODECS))
def test_frames_after_lost_packets_are_damaged_until_the_stream_recovers(codec: str, live: bool, streams: Any) -> None:
    data = streams(codec, "mpegts")
    whole = decode(data, live=live)
    total: dict[str, int] = {"damaged": 0, "missed": 0, "refused": 0, "whole": 0}
    for seed in range(4):
        counts = compare(whole, decode(lose_packets(data, seed, 600 / len(data)), live=live))
        total = {name: total[name] + counts[name] for name in total}
    assert total["missed"] == 0
    assert total["damaged"] > GOP
    assert total["whole"] > 3 * GOP  # it does come back
    assert total["refused"] < 4 * GOP


@pytest.mark.parametrize("number", [5, 2 * GOP])
@pytest.mark.parametrize("container", ["matroska", "avi"])
@pytest.mark.parametrize("codec", ["h264", "h264 cabac", "h264 b", "h264 open", "mpeg2", "mpeg4"])
def test_spoilt_slices_are_noticed_by_the_decoder(codec: str, container: str, number: int, streams: Any) -> None:
    data = streams(codec, container)
    found = decode(spoil(data, (number,)), live=False)
    counts = compare(decode(data, live=False), found)
    assert counts["damaged"] > 0
    assert counts["missed"] == 0
    assert counts["whole"] >= 4 * GOP


def test_frames_shown_before_the_damaged_frame_that_they_need_are_held_back(streams: Any) -> None:
    data = streams("h264 b", "matroska")
    with av.open(io.BytesIO(data), "r") as container:
        stamps = [packet.pts for packet in container.demux(video=0) if packet.pts is not None]
    first = next(number for number in range(4, len(stamps)) if stamps[number + 1] < stamps[number])
    whole, spoilt = decode(data, live=False), spoil(data, (first,))
    assert compare(whole, decode(spoilt, live=False))["missed"] == 0
    assert compare(whole, decode(spoilt, live=True))["missed"] > 0  # those are not held back


@pytest.mark.parametrize("codec", ["h264", "mpeg2", "mpeg4", "h264 refresh"])
def test_stream_that_is_joined_is_damaged_before_its_first_keyframe(codec: str, streams: Any) -> None:
    data = streams(codec, "mpegts")
    whole = decode(data, live=True)
    packets = [data[start : start + 188] for start in range(0, len(data), 188)]
    found = decode(b"".join(packets[:2] + packets[len(packets) // 9 :]), live=True)
    counts = compare(whole, found)
    assert counts["missed"] == 0
    assert counts["whole"] > GOP


def test_a_lost_packet_damages_no_other_frame_of_an_intra_only_stream() -> None:
    file = io.BytesIO()
    with av.open(file, "w", format="nut") as output:
        stream: Any = output.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for number in range(4):
            image = np.full((48, 64), 40 * number, np.uint8)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="gray").reformat(format="yuvj420p")))
    with av.open(io.BytesIO(file.getvalue())) as container:
        decoder = FrameDecoder(container.streams.video[0], hold=False)
        decoder.lost()
        words = [why for packet in container.demux(video=0) for _, why in decoder.decode(packet)]
    assert words == [""] * 4


def test_damage_that_never_ends_takes_no_more_memory(streams: Any) -> None:
    with av.open(io.BytesIO(streams("h264", "mpegts"))) as container:
        decoder = FrameDecoder(container.streams.video[0], hold=False)
        for _ in range(5000):
            decoder.lost()
        assert len(decoder._damaged_packets) < 100
        words = [why for packet in container.demux(video=0) for _, why in decoder.decode(packet)]
    assert set(words) == {""}  # a keyframe came first


def test_recovery_point_is_read_from_either_form() -> None:
    sei = bytes([6, 6, 2, 0b00101100, 0x80, 0x80])  # recovery_frame_cnt 4 in Exp-Golomb: 00101
    slice_ = bytes([0x41, 1, 2, 3])
    parted = b"\0\0\0\1" + sei + b"\0\0\1" + slice_
    assert recovery_frames(parted, None) == 4
    lengths = len(sei).to_bytes(4, "big") + sei + len(slice_).to_bytes(4, "big") + slice_
    assert recovery_frames(lengths, bytes([1, 66, 0, 30, 0xFF, 0xE1])) == 4
    assert recovery_frames(b"\0\0\1" + slice_ + b"\0\0\1" + sei, None) is None
    assert recovery_frames(b"", None) is None
    assert recovery_frames(b"\0\0\1\6\xff\xff", None) is None


def test_damaged_frames_of_a_clip_carry_that_state(streams: Any, tmp_path: Path) -> None:
    data = streams("h264 cabac", "mpegts")
    path = tmp_path / "a.ts"
    path.write_bytes(lose_packets(data, 1, 600 / len(data)))
    with open_source(str(path), session_id="s", fast=True, crop="none") as source:
        frames = list(source.frames())
    states = {frame.picture for frame in frames}
    assert states == {SignalState.LIVE, SignalState.DAMAGED}
    for frame in frames:
        assert bool(frame.picture_reason) == (frame.picture is SignalState.DAMAGED)
    assert len(frames) >= 6 * GOP - 2  # they are shown and recorded


def test_checksums_of_a_matroska_file_show_damage_that_a_decoder_misses(streams: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    path.write_bytes(streams("hevc", "matroska"))
    whole = list(clip(path))
    assert {why for *_, why in whole} == {""}
    place = int(0.8 * path.stat().st_size)
    data = bytearray(path.read_bytes())
    data[place : place + 200] = np.random.default_rng(1).bytes(200)
    path.write_bytes(data)
    counts = compare(whole, list(clip(path)))
    assert counts["damaged"] > 0
    assert counts["missed"] == 0


def clip(path: Path) -> Iterator[Picture]:
    with VideoPass(path) as video:
        for frame, why in video.all_frames():
            yield frame.pts, frame.to_ndarray(), why
