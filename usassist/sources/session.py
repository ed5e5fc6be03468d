"""A recorded session: its frames again, pixel for pixel, with the times at which they were captured.

``frames.jsonl`` says of each picture of ``frames.mkv`` what it was. A recording that was cut off is played up to the
last picture that both files know of.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import groupby
from pathlib import Path

import cv2  # before av: in the other order cv2.imshow hangs in this process

# isort: split
import av
import av.error
import msgspec
import numpy as np
import numpy.typing as npt

from usassist.errors import SourceError, SourceFormatError, UsageError
from usassist.records import SourceInfo
from usassist.sources.base import SourceOptions
from usassist.sources.paced import PacedSource, Picture

__all__ = ["SessionSource", "open_address"]


class _Line(msgspec.Struct, frozen=True, kw_only=True):
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


def open_address(rest: str, options: SourceOptions) -> SessionSource:
    """Open ``session:FOLDER``.

    Raises
    ------
    SourceError
        If the folder holds no recording.
    """
    return SessionSource(Path(rest), options)


class SessionSource(PacedSource):
    """The frames of a recorded session, in order. They are cropped already and are not cropped again.

    Parameters
    ----------
    folder : of the session
    options : ``crop`` and ``geometry`` must be left alone

    Raises
    ------
    UsageError
        If another crop or calibration is asked for.
    SourceError, SourceFormatError
        If the folder holds no recording that can be read.
    """

    def __init__(self, folder: Path, options: SourceOptions) -> None:
        if options.geometry is not None or options.crop not in ("auto", "none"):
            raise UsageError(
                "a recorded session keeps its own crop and calibration; leave --crop and --calibration out"
            )
        self._folder = folder
        self._lines = _read_lines(folder)
        first, last = self._lines[0], self._lines[-1]
        x1, y1, x2, y2 = first.roi_xyxy_px
        span_s = (last.t_capture_ns - first.t_capture_ns) / 1e9
        super().__init__(
            SourceInfo(
                description=f"recorded session, {len(self._lines)} frames",
                image_hw_px=(y2 - y1, x2 - x1),
                channels=first.channels,
                rate_hz=(len(self._lines) - 1) / span_s if span_s > 0 else None,
                frame_count=len(self._lines) if options.count is None else min(options.count, len(self._lines)),
                roi_xyxy_px=first.roi_xyxy_px,
                grab_hw_px=(y2, x2),
            ),
            options,
        )

    def _pictures(self) -> Iterator[Picture]:
        t_first_ns = self._lines[0].t_capture_ns
        t_round_ns = 0
        while True:
            t_media_ns = t_round_ns
            for file, lines in groupby(self._lines, lambda line: line.file):
                for line, image in zip(lines, self._decode(file), strict=False):
                    t_media_ns = t_round_ns + line.t_capture_ns - t_first_ns
                    yield _picture(line, image, t_media_ns)
            if not self._options.repeat:
                return
            t_round_ns = t_media_ns + 33_333_333

    def _decode(self, file: str) -> Iterator[npt.NDArray[np.uint8]]:
        path = self._folder / file
        try:
            with av.open(str(path)) as container:
                for frame in container.decode(video=0):
                    image = frame.to_ndarray(format="gray" if frame.format.name == "gray" else "rgb24")
                    yield np.asarray(image, np.uint8)
        except (OSError, av.error.FFmpegError) as error:
            raise SourceError(f"{path} breaks off: {error}; what came before it was played") from error


def _picture(line: _Line, image: npt.NDArray[np.uint8], t_media_ns: int) -> Picture:
    if line.channels == 3 and image.ndim == 2:
        image = np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2RGB), np.uint8)
    return Picture(
        image=image,
        roi_xyxy_px=line.roi_xyxy_px,
        t_media_ns=t_media_ns,
        spacing_rc_mm=line.spacing_rc_mm,
        spacing_rel_sd=line.spacing_rel_sd,
        calibration_id=line.calibration_id,
        pts=line.pts,
        time_base=None if line.time_base is None else Fraction(line.time_base),
    )


def _read_lines(folder: Path) -> list[_Line]:
    path = folder / "frames.jsonl"
    try:
        text = path.read_bytes()
    except OSError as error:
        raise SourceError(f"{folder} holds no recorded session ({error.strerror}); name a session folder") from error
    lines = []
    for number, raw in enumerate(text.splitlines(), 1):
        try:
            lines.append(msgspec.json.decode(raw, type=_Line))
        except msgspec.DecodeError as error:
            if number == text.count(b"\n") + 1:
                break  # the recorder was stopped in the middle of a line
            raise SourceFormatError(
                f"{path} is damaged in line {number}: {error}; the recording cannot be played"
            ) from error
    if not lines:
        raise SourceFormatError(f"the session in {folder} holds no frame; nothing was recorded")
    return lines
