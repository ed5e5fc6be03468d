"""Images of a recording: each is matched to its line by its time stamp, so that none is shown for another."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from usassist.common.pyav import av
from usassist.errors import SourceError
from usassist.records import FrameLine
from usassist.sources.recorded import LineMatcher, PacketCheck, as_published, file_rate_hz

__all__ = ["FrameImage", "open_video", "read_frames", "read_wanted"]

FrameImage = npt.NDArray[np.uint8]


def open_video(path: Path) -> Any:
    """Open a video file of a recording, and no other file that it may reference.

    Raises
    ------
    SourceError
        If it is missing or holds no video.
    """
    try:
        container = av.open(f"file:{path.resolve()}", options={"protocol_whitelist": "file"})
    except (OSError, av.error.FFmpegError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise SourceError(f"{path} cannot be played: {why}; usassist session repair keeps the rest") from error
    if not container.streams.video:
        container.close()
        raise SourceError(f"{path} holds no video; usassist session repair keeps the rest")
    return container


def read_frames(
    path: Path, lines: Sequence[FrameLine], problems: list[str]
) -> Iterator[tuple[FrameLine, FrameImage | None]]:
    """Every line of one file with its image: uint8 (H, W), or (H, W, 3) RGB where the frame was in colour.

    Parameters
    ----------
    path : of the video file
    lines : of that file, in order
    problems : gets one line per problem; a line whose image is lost comes with None
    """
    given = 0
    try:
        with open_video(path) as container:
            stream = container.streams.video[0]
            matcher, check = LineMatcher(lines, file_rate_hz(stream)), PacketCheck(lines, stream)
            for pts_s, image in _decode(container, check, path.name, problems):
                index = matcher.find(pts_s)
                if index is None:
                    problems.append(f"{path.name} has a frame at {float(pts_s or 0):.3f} s that has no line")
                    continue
                for line in lines[given:index]:
                    yield line, None
                given = index + 1
                yield lines[index], as_published(lines[index], image)
    except SourceError as error:
        problems.append(str(error))
    except (OSError, av.error.FFmpegError) as error:
        problems.append(f"{path.name} breaks off: {getattr(error, 'strerror', None) or error}")
    for line in lines[given:]:
        yield line, None


def read_wanted(
    path: Path, lines: Sequence[FrameLine], wanted: Container[int], problems: list[str]
) -> Iterator[tuple[FrameLine, FrameImage]]:
    """Some frames of one file, in order, with their images; the others are passed over without being decoded.

    Parameters
    ----------
    path : of the video file
    lines : of that file, in order
    wanted : numbers of the frames
    problems : gets one line per problem with a frame that is wanted; one whose image is lost does not come
    """
    try:
        with open_video(path) as container:
            stream = container.streams.video[0]
            matcher, check = LineMatcher(lines, file_rate_hz(stream)), PacketCheck(lines, stream)
            packets = _wanted_packets(container, lines, wanted)
            for pts_s, image in _decode(container, check, path.name, problems, packets):
                index = matcher.find(pts_s)
                if index is not None and lines[index].frame_id in wanted:
                    yield lines[index], as_published(lines[index], image)
    except SourceError as error:
        problems.append(str(error))
    except (OSError, av.error.FFmpegError) as error:
        problems.append(f"{path.name} breaks off: {getattr(error, 'strerror', None) or error}")


def _wanted_packets(container: Any, lines: Sequence[FrameLine], wanted: Container[int]) -> Iterator[Any]:
    """The coded frames that are wanted, each with those since the last key frame that it may be predicted from."""
    stream = container.streams.video[0]
    matcher = LineMatcher(lines, file_rate_hz(stream))
    passed_over: list[Any] = []
    for packet in container.demux(stream):
        if packet.is_keyframe:
            passed_over.clear()
        passed_over.append(packet)
        index = None
        if packet.size and packet.pts is not None and matcher.by_stamp:
            index = matcher.find(packet.pts * packet.time_base)
        if index is None or lines[index].frame_id in wanted:
            yield from passed_over
            passed_over.clear()


def _decode(
    container: Any, check: PacketCheck, name: str, problems: list[str], packets: Iterator[Any] | None = None
) -> Iterator[tuple[Fraction | None, FrameImage]]:
    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    for number, packet in enumerate(container.demux(stream) if packets is None else packets):
        if packet.size and not check.passes(packet):
            problems.append(f"{name}: the checksum of coded frame {number} is wrong")
            continue
        try:
            frames = packet.decode()
        except av.error.EOFError:
            continue
        except av.error.FFmpegError as error:
            problems.append(f"{name}: coded frame {number} cannot be decoded: {error.strerror}")
            continue
        for frame in frames:
            image = frame.to_ndarray(format="gray" if frame.format.name == "gray" else "rgb24")
            yield None if frame.pts is None else frame.pts * frame.time_base, np.asarray(image, np.uint8)
