"""Write frames into a Matroska file so that what was written survives the writer's death."""

from __future__ import annotations

import errno
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
import numpy.typing as npt

from usassist.errors import SessionError

__all__ = ["VideoWriter"]

UInt8Array = npt.NDArray[np.uint8]

# FFV1 level 3 with Golomb-Rice coding: on speckle within a few per cent of the range coder's size at half the time.
_LOSSLESS = {"level": "3", "coder": "0", "context": "0", "g": "1", "slices": "4", "slicecrc": "1"}
_TIME_BASE_HZ = 60_000  # MPEG-4 takes at most 65535


class VideoWriter:
    """One video stream in one file.

    Parameters
    ----------
    path : a new file
    size_hw_px : height and width of every frame
    rate_hz : for players; frame k is shown at k / rate_hz
    codec : ``ffv1`` is lossless
    pixel_format : of the file; ``gray`` for (H, W) frames, else for (H, W, 3) RGB
    options : of the codec

    Raises
    ------
    SessionError
        If the file cannot be written.
    """

    def __init__(
        self,
        path: Path,
        size_hw_px: tuple[int, int],
        rate_hz: float,
        *,
        codec: str = "ffv1",
        pixel_format: str = "bgr0",
        options: dict[str, str] | None = None,
    ) -> None:
        self._path = path
        self._pixel_format = pixel_format
        self._step = Fraction(_TIME_BASE_HZ) / Fraction(rate_hz).limit_denominator(1001)
        try:
            # Each packet goes to the operating system at once: a killed recorder loses at most the frame at hand.
            self._container: Any = av.open(str(path), "w", format="matroska", options={"flush_packets": "1"})
            stream: Any = self._container.add_stream(codec, rate=Fraction(rate_hz).limit_denominator(1001))
            stream.height, stream.width = size_hw_px
            stream.pix_fmt = pixel_format
            stream.time_base = Fraction(1, _TIME_BASE_HZ)
            stream.codec_context.time_base = Fraction(1, _TIME_BASE_HZ)
            stream.codec_context.thread_count = 2
            stream.codec_context.thread_type = "SLICE"
            stream.codec_context.options = _LOSSLESS if options is None else options
            self._stream: Any = stream
        except (OSError, av.error.FFmpegError, ValueError) as error:
            raise SessionError(_explain(path, error)) from error

    def write(self, image: UInt8Array, index: int) -> None:
        """Add a frame.

        Parameters
        ----------
        image : uint8 (H, W) or (H, W, 3) RGB, of the writer's size and kind
        index : its number; must rise, and may leave numbers out

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
            self._container.mux(self._stream.encode(frame))
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
