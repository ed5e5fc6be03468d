"""Frames of a session folder: the lines of ``frames.jsonl``, and the pictures that they belong to.

A picture belongs to the line whose frame number its time stamp gives, so that none stands for another where one is
lost. A picture whose check sum is wrong is lost: FFmpeg would paint over the damage and say nothing. What the recorder
covered (text that the scanner burnt in) stays covered: it is no text any more, so frames that come from here have no
boxes of text.
"""

from __future__ import annotations

import zlib
from collections.abc import Generator, Iterator, Sequence
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
from usassist.errors import SourceError, SourceFormatError
from usassist.records import Frame, SignalState
from usassist.sources.checksums import SliceCheck

__all__ = [
    "FrameLine",
    "PacketCheck",
    "Places",
    "as_published",
    "file_rate_hz",
    "frame_of",
    "read_frame_lines",
    "read_pixels",
]

UInt8Array = npt.NDArray[np.uint8]

_FASTEST_HZ = 400  # a file keeps time in ms; beyond this rate two frames may have the same, and their order counts


class FrameLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of ``frames.jsonl``: a frame without its pixels, and where these are.

    ``crc32`` is of the picture as it is coded in the file; recordings before 2.1 had none.
    """

    frame_id: int
    t_capture_ns: int
    file: str
    channels: int
    roi_xyxy_px: tuple[int, int, int, int]
    spacing_rc_mm: tuple[float, float] | None = None
    spacing_rel_sd: float | None = None
    calibration_id: str | None = None
    pts: int | None = None
    time_base: str | None = None
    t_decoded_ns: int | None = None
    t_cropped_ns: int | None = None
    picture: SignalState = SignalState.LIVE
    picture_reason: str = ""
    covered_xyxy_px: tuple[tuple[int, int, int, int], ...] = ()
    crc32: int | None = None

    @property
    def t_given_ns(self) -> int:
        """When the source had the frame ready, which is never before it was captured."""
        return max(self.t_capture_ns, self.t_decoded_ns or 0, self.t_cropped_ns or 0)


class Places:
    """Which line a picture of one file belongs to.

    Parameters
    ----------
    lines : of that file, in order
    rate_hz : of the file
    """

    def __init__(self, lines: Sequence[FrameLine], rate_hz: Fraction | None) -> None:
        self._rate_hz = rate_hz if rate_hz is not None and rate_hz <= _FASTEST_HZ else None
        self._by_id = {line.frame_id: index for index, line in enumerate(lines)}
        self._next = 0

    def find(self, pts_s: Fraction | None) -> int | None:
        """Index of the line of the next picture; None where there is no line for it."""
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
    """Tells damaged pictures of one file from good ones, before they are decoded.

    A picture is checked against its line, and one of FFV1 against its own check sums as well. Where there is neither,
    nothing can be told and it passes.

    Parameters
    ----------
    lines : of that file, in order
    stream : of PyAV
    """

    def __init__(self, lines: Sequence[FrameLine], stream: Any) -> None:
        self._lines = lines
        self._places = Places(lines, file_rate_hz(stream))
        self._slices = SliceCheck() if stream.codec_context.name == "ffv1" else None

    def passes(self, packet: Any) -> bool:
        """False when the next packet is known to be damaged."""
        index = self._places.find(None if packet.pts is None else packet.pts * packet.time_base)
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
            line = msgspec.json.decode(raw, type=FrameLine)
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
    """Each line with its picture, uint8 (H, W) or (H, W, 3) RGB; lines whose picture is lost are left out.

    Raises
    ------
    SourceError
        When a video file breaks off.
    """
    for file, group in groupby(lines, lambda line: line.file):
        of_file = list(group)
        with closing(_decode(folder / Path(file).name, of_file)) as pictures:
            for index, image in pictures:
                yield of_file[index], image


def as_published(line: FrameLine, image: UInt8Array) -> UInt8Array:
    """A picture with as many channels as its frame had: a file may hold grey as colour, and colour without any as grey.

    Parameters
    ----------
    line : of the picture
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
    stamps_ns: tuple[int, int | None, int | None],
) -> Frame:
    """A line and its picture as a frame.

    Parameters
    ----------
    line, image : as :func:`read_pixels` gives them
    session_id, source_id, frame_id : of the frame
    stamps_ns : captured, decoded, cropped
    """
    return Frame(
        session_id=session_id,
        source_id=source_id,
        frame_id=frame_id,
        t_capture_ns=stamps_ns[0],
        image=as_published(line, image),
        roi_xyxy_px=line.roi_xyxy_px,
        spacing_rc_mm=line.spacing_rc_mm,
        spacing_rel_sd=line.spacing_rel_sd,
        calibration_id=line.calibration_id,
        pts=line.pts,
        time_base=None if line.time_base is None else Fraction(line.time_base),
        t_decoded_ns=stamps_ns[1],
        t_cropped_ns=stamps_ns[2],
        picture=line.picture,
        picture_reason=line.picture_reason,
    )


def _decode(path: Path, lines: Sequence[FrameLine]) -> Generator[tuple[int, UInt8Array], None, None]:
    """The pictures of one file, each with the index of its line; one that no line tells of is left out."""
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            places = Places(lines, file_rate_hz(stream))
            for frame in _undamaged(container, stream, PacketCheck(lines, stream)):
                index = places.find(None if frame.pts is None else frame.pts * frame.time_base)
                if index is not None:
                    image = frame.to_ndarray(format="gray" if frame.format.name == "gray" else "rgb24")
                    yield index, np.asarray(image, np.uint8)
    except (OSError, av.error.FFmpegError, IndexError) as error:
        raise SourceError(f"{path} breaks off: {error}; what came before it was played") from error


def _undamaged(container: Any, stream: Any, check: PacketCheck) -> Iterator[Any]:
    for packet in container.demux(stream):
        if not packet.size or check.passes(packet):
            yield from packet.decode()
