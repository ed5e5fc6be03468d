"""Write frames into a video file so that what was written survives the writer's death."""

from __future__ import annotations

import errno
import zlib
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from usassist.common.pyav import av
from usassist.errors import SessionError

__all__ = ["LOSSLESS", "Coding", "VideoWriter"]

UInt8Array = npt.NDArray[np.uint8]

_TIME_BASE_HZ = 60_000  # MPEG-4 takes at most 65535


@dataclass(frozen=True, slots=True, kw_only=True)
class Coding:
    """How frames are coded, and in which container. FFmpeg reads all of them.

    Attributes
    ----------
    codec : FFmpeg's name of the encoder
    container : FFmpeg's name of the format, which is also the file's suffix
    grey, colour : pixel formats for (H, W) and for (H, W, 3) RGB frames
    options : of the encoder
    threads : of the encoder
    """

    codec: str
    container: str
    grey: str
    colour: str
    options: dict[str, str] = field(default_factory=dict)
    threads: int = 1

    @property
    def suffix(self) -> str:
        """Suffix of the file's name."""
        return ".mkv" if self.container == "matroska" else f".{self.container}"


LOSSLESS: dict[str, Coding] = {
    # NUT, because Matroska has no name for MagicYUV. It buffers nothing: each frame is in the file at once.
    "fast": Coding(codec="magicyuv", container="nut", grey="gray", colour="gbrp", options={"pred": "gradient"}),
    # Golomb-Rice coding: on speckle within a few per cent of the range coder's size at half the time.
    "small": Coding(
        codec="ffv1",
        container="matroska",
        grey="gray",
        colour="bgr0",
        options={"level": "3", "coder": "0", "context": "0", "g": "1", "slices": "4", "slicecrc": "1"},
        threads=2,
    ),
}
"""By the setting ``codec`` of ``[record]``; ``usassist bench codecs`` measures them beside others."""


class VideoWriter:
    """One video stream in one file.

    Parameters
    ----------
    path : a new file
    size_hw_px : height and width of every frame
    rate_hz : for players; frame k is shown at k / rate_hz
    coding : how
    colour : frames are (H, W, 3) RGB, or any; else (H, W)

    Raises
    ------
    SessionError
        If the file cannot be written.
    """

    def __init__(
        self, path: Path, size_hw_px: tuple[int, int], rate_hz: float, coding: Coding, *, colour: bool = True
    ) -> None:
        self._path = path
        self._pixel_format = coding.colour if colour else coding.grey
        self._step = Fraction(_TIME_BASE_HZ) / Fraction(rate_hz).limit_denominator(1001)
        try:
            # Each packet is written at once: a killed recorder loses at most the frame being written.
            self._container: Any = av.open(str(path), "w", format=coding.container, options={"flush_packets": "1"})
            stream: Any = self._container.add_stream(coding.codec, rate=Fraction(rate_hz).limit_denominator(1001))
            stream.height, stream.width = size_hw_px
            stream.pix_fmt = self._pixel_format
            stream.time_base = Fraction(1, _TIME_BASE_HZ)
            stream.codec_context.time_base = Fraction(1, _TIME_BASE_HZ)
            stream.codec_context.thread_count = coding.threads
            stream.codec_context.thread_type = "SLICE"
            stream.codec_context.options = dict(coding.options)
            self._stream: Any = stream
        except (OSError, av.error.FFmpegError, ValueError) as error:
            raise SessionError(_explain(path, error)) from error

    def write(self, image: UInt8Array, index: int) -> int | None:
        """Add a frame.

        Parameters
        ----------
        image : uint8 (H, W) or (H, W, 3) RGB, of the writer's size and kind
        index : its number; must rise, and may leave numbers out

        Returns
        -------
        crc32 : checksum of the coded frame; None where the codec delays it

        Raises
        ------
        SessionError
            If it cannot be written, for example because the disk is full.
        """
        try:
            if image.ndim == 2:
                frame = av.VideoFrame.from_ndarray(image, "gray")
                if self._pixel_format != "gray":
                    frame = frame.reformat(format=self._pixel_format)
            else:
                frame = av.VideoFrame.from_ndarray(image, "rgb24").reformat(format=self._pixel_format)
            frame.pts = int(index * self._step)
            frame.time_base = Fraction(1, _TIME_BASE_HZ)
            packets = self._stream.encode(frame)
            crc32 = zlib.crc32(packets[0]) if len(packets) == 1 and packets[0].pts == frame.pts else None
            self._container.mux(packets)
            return crc32
        except (OSError, av.error.FFmpegError) as error:
            raise SessionError(_explain(self._path, error)) from error

    def close(self) -> None:
        """Write what is pending and the file's index. May be called twice.

        Raises
        ------
        SessionError
            If that cannot be written; what was written before can still be read.
        """
        container, self._container = self._container, None
        if container is None:
            return
        try:
            container.mux(self._stream.encode(None))
        except (OSError, av.error.FFmpegError) as error:
            raise SessionError(_explain(self._path, error)) from error
        finally:
            try:
                container.close()
            except (OSError, av.error.FFmpegError) as error:
                raise SessionError(_explain(self._path, error)) from error


def _explain(path: Path, error: Exception) -> str:
    number = getattr(error, "errno", None)
    if number == errno.ENOSPC:
        return f"the disk is full: {path.name} ends here; free some space and start again with another --out"
    return f"{path} cannot be written: {getattr(error, 'strerror', None) or error}; choose another --out"
