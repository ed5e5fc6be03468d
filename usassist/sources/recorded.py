"""Frames of a session folder: the lines of ``frames.jsonl``, and the images that they belong to.

An image belongs to the line whose frame number follows from its time stamp, so that none is shown for another where one
is lost. An image with a wrong checksum is lost: FFmpeg would conceal the damage without an error. What the recorder
covered (burnt-in text) stays covered and is no text any more, so frames from here have no boxes of text.
"""

from __future__ import annotations

import zlib
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from fractions import Fraction
from itertools import groupby
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from usassist.common.pyav import av
from usassist.common.wire_fields import read_fraction
from usassist.errors import SourceError, SourceFormatError
from usassist.records import Frame, FrameLine, frame_metadata
from usassist.sources.checksums import SliceCheck

__all__ = [
    "LineMatcher",
    "PacketCheck",
    "as_published",
    "file_rate_hz",
    "frame_of",
    "read_frame_lines",
    "read_pixels",
]

UInt8Array = npt.NDArray[np.uint8]

_decode_line = msgspec.json.Decoder(FrameLine, dec_hook=read_fraction).decode
_FASTEST_HZ = 400  # a file keeps time in ms; above this rate two frames may have the same stamp, and order decides


class LineMatcher:
    """Matches the images of one file to their lines.

    Parameters
    ----------
    lines : of that file, in order
    rate_hz : of the file
    """

    def __init__(self, lines: Sequence[FrameLine], rate_hz: Fraction | None) -> None:
        self._rate_hz = rate_hz if rate_hz is not None and rate_hz <= _FASTEST_HZ else None
        self._by_id = {line.frame_id: index for index, line in enumerate(lines)}
        self._next = 0

    @property
    def by_stamp(self) -> bool:
        """True where images are told apart by their time stamps, so that some may be left out; else by their order."""
        return self._rate_hz is not None

    def find(self, pts_s: Fraction | None) -> int | None:
        """Index of the line of the next image; None where it has none."""
        if self._rate_hz is None or pts_s is None:
            index: int | None = self._next
        else:
            frame_id = round(pts_s * self._rate_hz)
            near = (self._by_id.get(frame_id + step) for step in (0, 1, -1))
            index = next((item for item in near if item is not None and item >= self._next), None)
        if index is None or index >= len(self._by_id):
            return None
        self._next = index + 1
        return index


def file_rate_hz(stream: Any) -> Fraction | None:
    """The rate that a file of a recording was written for, by which its time stamps become numbers of frames.

    Parameters
    ----------
    stream : of PyAV; of a NUT file FFmpeg guesses the average, and the base rate is what was written
    """
    rate: Fraction | None = stream.base_rate if stream.container.format.name == "nut" else stream.average_rate
    return rate


class PacketCheck:
    """Detects damaged frames of one file before they are decoded.

    A coded frame is checked against the CRC-32 of its line, and with FFV1 also against its own checksums. It passes
    where there are neither.

    Parameters
    ----------
    lines : of that file, in order
    stream : of PyAV
    """

    def __init__(self, lines: Sequence[FrameLine], stream: Any) -> None:
        self._lines = lines
        self._matcher = LineMatcher(lines, file_rate_hz(stream))
        self._slices = SliceCheck() if stream.codec_context.name == "ffv1" else None

    def passes(self, packet: Any) -> bool:
        """False when the next packet is known to be damaged."""
        index = self._matcher.find(None if packet.pts is None else packet.pts * packet.time_base)
        wanted = None if index is None else self._lines[index].crc32
        if wanted is not None and zlib.crc32(packet) != wanted:
            return False
        return self._slices is None or self._slices.passes(bytes(packet))


def read_frame_lines(folder: Path) -> list[FrameLine]:
    """The lines of ``frames.jsonl``, in order.

    Raises
    ------
    SourceError
        If the folder holds no recorded session.
    SourceFormatError
        If a line is damaged, if frame numbers do not rise, or if there is no frame.
    """
    path = folder / "frames.jsonl"
    try:
        text = path.read_bytes()
    except OSError as error:
        raise SourceError(f"{folder} holds no recorded session ({error.strerror}); name a session folder") from error
    lines: list[FrameLine] = []
    for number, raw in enumerate(text.splitlines(), 1):
        try:
            line = _decode_line(raw)
        except msgspec.DecodeError as error:
            if number == text.count(b"\n") + 1:
                break  # the recorder was stopped in the middle of a line
            raise SourceFormatError(
                f"{path} is damaged in line {number}: {error}; the recording cannot be played"
            ) from error
        if lines and line.frame_id <= lines[-1].frame_id:
            raise SourceFormatError(
                f"{path} has frame {line.frame_id} in line {number} after frame {lines[-1].frame_id}; frame numbers "
                "rise, so the recording cannot be played"
            )
        lines.append(line)
    if not lines:
        raise SourceFormatError(f"the session in {folder} holds no frame; nothing was recorded")
    return lines


def read_pixels(folder: Path, lines: Sequence[FrameLine]) -> Generator[tuple[FrameLine, UInt8Array], None, None]:
    """Each line with its image, uint8 (H, W) or (H, W, 3) RGB; lines whose image is lost are skipped.

    Raises
    ------
    SourceError
        When a video file breaks off.
    """
    for file, group in groupby(lines, lambda line: line.file):
        of_file = list(group)
        with closing(_decode(folder / Path(file).name, of_file)) as images:
            for index, image in images:
                yield of_file[index], image


def as_published(line: FrameLine, image: UInt8Array) -> UInt8Array:
    """The image with the channels that its frame had: a file may hold grey frames as colour, and vice versa.

    Parameters
    ----------
    line : of the image
    image : uint8 (H, W) or (H, W, 3) RGB, as it is in the file
    """
    if line.channels == 3 and image.ndim == 2:
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2RGB), np.uint8)
    if line.channels == 1 and image.ndim == 3:
        return np.ascontiguousarray(image[..., 1])
    return image


def frame_of(
    line: FrameLine,
    image: UInt8Array,
    *,
    session_id: str,
    source_id: str,
    frame_id: int,
    stamps_ns: Mapping[str, int | None],
) -> Frame:
    """A line and its image as a frame.

    Parameters
    ----------
    line, image : as :func:`read_pixels` gives them
    session_id, source_id, frame_id : of the frame
    stamps_ns : times of the frame, by the names of its fields; the others are those of the line
    """
    fields = frame_metadata(line) | {"frame_id": frame_id} | dict(stamps_ns)
    return Frame(session_id=session_id, source_id=source_id, image=as_published(line, image), **fields)


def _decode(path: Path, lines: Sequence[FrameLine]) -> Generator[tuple[int, UInt8Array], None, None]:
    """The images of one file, each with the index of its line; one without a line is skipped."""
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            matcher = LineMatcher(lines, file_rate_hz(stream))
            for frame in _undamaged(container, stream, PacketCheck(lines, stream)):
                index = matcher.find(None if frame.pts is None else frame.pts * frame.time_base)
                if index is not None:
                    image = frame.to_ndarray(format="gray" if frame.format.name == "gray" else "rgb24")
                    yield index, np.asarray(image, np.uint8)
    except (OSError, av.error.FFmpegError, IndexError) as error:
        raise SourceError(f"{path} breaks off: {error}; what came before it was played") from error


def _undamaged(container: Any, stream: Any, check: PacketCheck) -> Iterator[Any]:
    for packet in container.demux(stream):
        if not packet.size or check.passes(packet):
            yield from packet.decode()
