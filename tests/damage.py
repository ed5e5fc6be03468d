"""Encoded streams, damage done to them, and what came of it: for the tests, and for ``python -m tests.damage``.

That prints, of the bundled clip in several codecs, how many frames were damaged, how many of those were called whole,
and how many sound ones were not. Damage is what differs visibly from the undamaged decoding of the same frame.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from usassist.common.pyav import av
from usassist.sources.damage import FrameDecoder, set_threads
from usassist.sources.decoding import VideoPass

GOP = 12
VISIBLE_LEVELS = 12  # of grey by which a pixel has to differ
MIN_SHARE = 0.0005  # of the pixels
_X264 = {"preset": "ultrafast", "tune": "zerolatency", "g": str(GOP)}
# name → codec, its options, most pictures in a row that are no reference
CODECS: dict[str, tuple[str, dict[str, str], int]] = {
    "h264": ("libx264", _X264, 0),
    "h264 cabac": ("libx264", _X264 | {"preset": "veryfast"}, 0),
    "h264 b": ("libx264", {"preset": "veryfast", "g": str(GOP), "bf": "2"}, 2),
    "h264 open": ("libx264", {"preset": "veryfast", "g": str(GOP), "bf": "2", "x264-params": "open-gop=1"}, 2),
    "h264 refresh": ("libx264", _X264 | {"preset": "veryfast", "x264-params": "intra-refresh=1"}, 0),
    "mpeg2": ("mpeg2video", {"g": str(GOP), "b": "3000000"}, 0),
    "mpeg4": ("mpeg4", {"g": str(GOP), "b": "3000000"}, 0),
    "hevc": (
        "libx265",
        {"preset": "ultrafast", "tune": "zerolatency", "g": str(GOP), "x265-params": "log-level=none"},
        0,
    ),
}
Picture = tuple[int | None, Any, str]


def encode(images: Sequence[Any], codec: str, container: str, gop: int = GOP) -> bytes:
    """Grey pictures, uint8 (H, W), as a stream of 30 a second."""
    name, options, between = CODECS[codec]
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream: Any = output.add_stream(name, rate=30, options=options | {"g": str(gop)})
        stream.height, stream.width = images[0].shape
        stream.pix_fmt = "yuv420p"
        stream.max_b_frames = between
        for number, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="gray").reformat(format="yuv420p")
            frame.pts = number
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return file.getvalue()


def decode(data: bytes, *, live: bool) -> list[Picture]:
    with av.open(io.BytesIO(data), "r") as container:
        stream = container.streams.video[0]
        set_threads(stream, low_latency=live)
        decoder, found = FrameDecoder(stream, hold=not live), []
        for packet in container.demux(stream):
            try:
                pictures = decoder.decode(packet)
            except av.error.FFmpegError:
                continue
            found += [(frame.pts, frame.to_ndarray(), why) for frame, why in pictures]
    return found


def lose_packets(data: bytes, seed: int, share: float, together: int = 1) -> bytes:
    """Without some of the packets of 188 bytes, so many at a time, but with those of the first picture."""
    rng = np.random.default_rng(seed)
    packets = [data[start : start + 188] for start in range(0, len(data), 188)]
    starts = [place for place, packet in enumerate(packets) if packet[1] == 0x41 and packet[2] == 0]
    groups = [packets[start : start + together] for start in range(starts[1] + 1, len(packets), together)]
    kept = [packet for group in groups if rng.random() >= share for packet in group]
    return b"".join(packets[: starts[1] + 1] + kept)


def change_bytes(data: bytes, seed: int, count: int) -> bytes:
    """With single bytes changed, but not at its beginning or end, where containers keep what they need."""
    rng = np.random.default_rng(seed)
    changed = bytearray(data)
    for place in rng.integers(4000, len(data) - 20000, count):
        changed[place] ^= int(rng.integers(1, 256))
    return bytes(changed)


def compare(whole: list[Picture], found: list[Picture]) -> dict[str, int]:
    reference = {pts: image for pts, image, _ in whole}
    counts = {"damaged": 0, "missed": 0, "refused": 0, "whole": 0}
    for pts, image, why in found:
        other = reference.get(pts)
        differs = other is None or (cv2.absdiff(image, other) > VISIBLE_LEVELS).mean() > MIN_SHARE
        counts["damaged"] += differs
        counts["missed"] += differs and not why
        counts["refused"] += not differs and bool(why)
        counts["whole"] += not why
    return counts


def main(path: Path, seeds: int = 3) -> None:
    """Print the table."""
    with VideoPass(path) as video:
        images = [frame.reformat(width=640, height=360, format="gray").to_ndarray() for frame in video.frames()]
    say = sys.stdout.write
    say(f"{len(images)} frames of 640 x 360 px, a key frame every 30, each row {seeds} times\n")
    say(f"{'codec':14s}{'container':11s}{'damage':16s}{'as':6s}")
    say(f"{'damaged':>9s}{'of these whole':>16s}{'sound not':>11s}\n")
    for codec in CODECS:
        for container, damage in (("mpegts", "lost datagrams"), ("mpegts", "changed bytes"), ("mp4", "changed bytes")):
            data = encode(images, codec, container, 30)
            for live in (False, True) if container == "mpegts" else (False,):
                whole, total = decode(data, live=live), dict.fromkeys(("damaged", "missed", "refused"), 0)
                for seed in range(seeds):
                    hurt = lose_packets(data, seed, 0.004, 7) if "lost" in damage else change_bytes(data, seed, 6)
                    counts = compare(whole, decode(hurt, live=live))
                    total = {name: total[name] + counts[name] for name in total}
                say(f"{codec:14s}{container:11s}{damage:16s}{'live' if live else 'clip':6s}")
                say(f"{total['damaged']:9d}{total['missed']:16d}{total['refused']:11d}\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main(Path(__file__).parents[1] / "demo" / "clip.mkv")
