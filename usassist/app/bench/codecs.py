"""``usassist bench codecs``: processor time and size of frames in the lossless codecs of FFmpeg."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from usassist.common.pyav import av
from usassist.errors import SessionError, UsageError
from usassist.sinks.pixels import USUAL_RATE_HZ
from usassist.sinks.video import LOSSLESS, Coding, VideoWriter
from usassist.sources import open_source

__all__ = ["CodecFigures", "candidates", "measure_codecs", "read_frames"]

UInt8Array = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class CodecFigures:
    """Figures of one coding. Times are processor time.

    Attributes
    ----------
    name : of the coding
    encode_p50_ms, encode_p95_ms : of a frame, written to a file
    decode_p50_ms : of a frame
    frame_kb : size of a frame in the file, 1000 bytes
    lossless : every pixel was read back unchanged
    problem : why it cannot be used; empty where it can
    """

    name: str
    encode_p50_ms: float = 0.0
    encode_p95_ms: float = 0.0
    decode_p50_ms: float = 0.0
    frame_kb: float = 0.0
    lossless: bool = False
    problem: str = ""


def candidates() -> dict[str, Coding]:
    """The codings that are measured: the two that can be chosen, and their alternatives.

    UT Video and HuffYUV have no grey format: grey frames are written as colour. Compressors that FFmpeg does not read
    without another library (zstd, LZ4) are left out.
    """
    small = LOSSLESS["small"]

    def ffv1(**options: str) -> Coding:
        return Coding(
            codec="ffv1",
            container="matroska",
            grey=small.grey,
            colour=small.colour,
            options={**small.options, **options},
        )

    def in_nut(codec: str, grey: str, colour: str, **options: str) -> Coding:
        return Coding(codec=codec, container="nut", grey=grey, colour=colour, options=options)

    return {
        "fast: MagicYUV gradient": LOSSLESS["fast"],
        "small: FFV1 level 3, 4 slices": small,
        "FFV1 16 slices": ffv1(slices="16"),
        "FFV1 large context": ffv1(context="1"),
        "FFV1 range coder": ffv1(coder="1"),
        "FFV1 level 1": Coding(
            codec="ffv1", container="matroska", grey="gray", colour="bgr0", options={"level": "1", "coder": "0"}
        ),
        "MagicYUV left": in_nut("magicyuv", "gray", "gbrp", pred="left"),
        "MagicYUV median": in_nut("magicyuv", "gray", "gbrp", pred="median"),
        "UT Video left": in_nut("utvideo", "gbrp", "gbrp", pred="left"),
        "UT Video median": in_nut("utvideo", "gbrp", "gbrp", pred="median"),
        "FFVHUFF left": in_nut("ffvhuff", "gray", "gbrp", pred="left"),
        "FFVHUFF median, adaptive": in_nut("ffvhuff", "gray", "gbrp", pred="median", context="1"),
        "HuffYUV left": in_nut("huffyuv", "rgb24", "rgb24", pred="left"),
        "PNG sub, zlib 1": in_nut("png", "gray", "rgb24", pred="sub", compression_level="1"),
        "JPEG-LS": in_nut("jpegls", "gray", "rgb24"),
        "raw, zlib 1": in_nut("zlib", "bgr24", "bgr24", compression_level="1"),
        "raw": in_nut("rawvideo", "gray", "rgb24"),
    }


def read_frames(source: str, count: int, *, colour: bool, size_wh_px: tuple[int, int] | None) -> list[UInt8Array]:
    """Frames as a recorder gets them: cropped to the scan area.

    Parameters
    ----------
    source : address
    count : at most so many
    colour : as RGB with a little colour in it, as a screen with a tinted map gives them
    size_wh_px : scaled to this width and height; None = as they are

    Raises
    ------
    UsageError
        If the source gives no frame.
    """
    with open_source(source, session_id="bench", fast=True, count=count) as opened:
        frames = [frame.image for frame in opened.frames()]
    if not frames:
        raise UsageError(f"{source} gives no frame to measure with")
    if size_wh_px is not None:
        frames = [np.asarray(cv2.resize(item, size_wh_px, interpolation=cv2.INTER_CUBIC), np.uint8) for item in frames]
    if colour:
        grey = [item if item.ndim == 2 else np.asarray(cv2.cvtColor(item, cv2.COLOR_RGB2GRAY)) for item in frames]
        return [np.dstack([item, item, item - item // 8]).astype(np.uint8) for item in grey]
    return [item if item.ndim == 2 or _has_colour(item) else np.ascontiguousarray(item[..., 1]) for item in frames]


def measure_codecs(
    frames: Sequence[UInt8Array], codings: dict[str, Coding], log: Callable[[str], None] = lambda line: None
) -> list[CodecFigures]:
    """Write frames with each coding, one thread each, and read them again.

    Parameters
    ----------
    frames : uint8 (H, W), or (H, W, 3) RGB, all of one size
    codings : by name
    log : called with the name of each coding
    """
    figures = []
    with tempfile.TemporaryDirectory(prefix="usassist-codecs-") as folder:
        for name, coding in codings.items():
            log(name)
            path = Path(folder) / f"frames{coding.suffix}"
            try:
                figures.append(_measure(frames, name, coding, path))
            except (SessionError, av.error.FFmpegError, ValueError) as error:
                figures.append(CodecFigures(name=name, problem=str(error).split(";")[0].replace(f"{folder}/", "")))
            path.unlink(missing_ok=True)
    return figures


def _measure(frames: Sequence[UInt8Array], name: str, coding: Coding, path: Path) -> CodecFigures:
    size_hw_px = (frames[0].shape[0], frames[0].shape[1])
    writer = VideoWriter(path, size_hw_px, USUAL_RATE_HZ, coding, colour=frames[0].ndim == 3)
    times_ms = []
    try:
        for number, image in enumerate(frames):
            begin_s = time.process_time()
            writer.write(image, number)
            times_ms.append(1e3 * (time.process_time() - begin_s))
    finally:
        writer.close()
    decode_ms, same = _read(frames, path)
    low, high = np.percentile(times_ms, [50, 95])
    return CodecFigures(
        name=name,
        encode_p50_ms=round(float(low), 2),
        encode_p95_ms=round(float(high), 2),
        decode_p50_ms=round(float(np.median(decode_ms)), 2),
        frame_kb=round(path.stat().st_size / len(frames) / 1e3, 1),
        lossless=same,
    )


def _read(frames: Sequence[UInt8Array], path: Path) -> tuple[list[float], bool]:
    times_ms: list[float] = []
    same = True
    with av.open(str(path)) as container:
        container.streams.video[0].thread_count = 1
        frames_read = container.decode(video=0)
        for image in frames:
            begin_s = time.process_time()
            frame = next(frames_read, None)
            times_ms.append(1e3 * (time.process_time() - begin_s))
            if frame is None:
                return times_ms, False
            back = frame.to_ndarray(format="gray" if image.ndim == 2 else "rgb24")
            same = same and np.array_equal(back, image)
    return times_ms, same


def _has_colour(image: UInt8Array) -> bool:
    red, green, blue = cv2.split(image)
    return not (np.array_equal(red, green) and np.array_equal(green, blue))
