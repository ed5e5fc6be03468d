"""A recorded session as a source: its frames again, pixel for pixel, with their numbers and metadata.

See ``recorded.py`` for how a recording that was cut off is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from usassist.calibrate.two_points import Points
from usassist.common.wire_fields import stamp_fields
from usassist.errors import UsageError
from usassist.records import Frame, FrameLine, SourceInfo
from usassist.sources.base import SourceOptions
from usassist.sources.paced import PacedSource, RawFrame
from usassist.sources.recorded import frame_of, read_frame_lines, read_pixels
from usassist.sources.scale import Claim

__all__ = ["RECORDED_SCALE", "SessionSource", "open_address"]

_READY_STAMPS = tuple(name for name in stamp_fields(FrameLine) if name != "t_capture_ns")
RECORDED_SCALE = "the frames of a recording carry the scale that they were recorded with"
_PAUSE_NS = 33_333_333  # between the last frame and the first, where a session is repeated


@dataclass(frozen=True, slots=True, kw_only=True)
class _Recorded(RawFrame):
    line: FrameLine
    frame_id: int


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

    A frame keeps its number, so that a gap stays a gap, and its signal state. It is delivered when the recorded source
    had it ready, and its stamps keep their distance to that time.

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
        self._lines = read_frame_lines(folder)
        self._last_capture_ns = 0
        first, last = self._lines[0], self._lines[-1]
        x1, y1, x2, y2 = first.roi_xyxy_px
        span_s = (last.t_capture_ns - first.t_capture_ns) / 1e9
        super().__init__(
            SourceInfo(
                description=f"recorded session, {len(self._lines)} frames",
                image_hw_px=(y2 - y1, x2 - x1),
                channels=first.channels,
                rate_hz=(len(self._lines) - 1) / span_s if span_s > 0 else None,
                frame_count=options.frame_count(len(self._lines)),
                roi_xyxy_px=first.roi_xyxy_px,
                grab_hw_px=(y2, x2),
                kind="replay",
            ),
            options,
        )

    def set_scale(self, frame_id: int, points_xy_px: Points, distance_mm: float) -> str:
        """Refuse it: recorded frames carry their scale."""
        return RECORDED_SCALE

    def _raw_frames(self) -> Iterator[RawFrame]:
        t_first_ns = self._lines[0].t_given_ns
        t_round_ns = id_round = 0
        while True:
            t_media_ns, given = t_round_ns, 0
            with closing(read_pixels(self._folder, self._lines)) as pixels:
                for line, image in pixels:
                    t_media_ns = max(t_media_ns, t_round_ns + line.t_given_ns - t_first_ns)
                    given += 1
                    yield _picture(line, image, t_media_ns, id_round + line.frame_id)
            self.decode_errors += len(self._lines) - given
            if not self._options.repeat or not given:
                return
            t_round_ns = t_media_ns + _PAUSE_NS
            id_round += self._lines[-1].frame_id + 1

    def _frame(self, frame_id: int, picture: RawFrame, t_capture_ns: int, claim: Claim | None) -> Frame:
        assert isinstance(picture, _Recorded)  # _raw_frames gives no others
        line, now_ns = picture.line, t_capture_ns
        # Where frames are delivered faster than recorded, stamps must still not go backwards.
        t_capture_ns = max(now_ns - (line.t_given_ns - line.t_capture_ns), self._last_capture_ns)
        self._last_capture_ns = t_capture_ns
        stamps_ns: dict[str, int | None] = {"t_capture_ns": t_capture_ns}
        for name in _READY_STAMPS:
            stamp_ns: int | None = getattr(line, name)
            stamps_ns[name] = None if stamp_ns is None else min(stamp_ns - line.t_capture_ns + t_capture_ns, now_ns)
        options = self._options
        return frame_of(
            line,
            picture.image,
            session_id=options.session_id,
            source_id=options.source_id,
            frame_id=picture.frame_id,
            stamps_ns=stamps_ns,
        )


def _picture(line: FrameLine, image: npt.NDArray[np.uint8], t_media_ns: int, frame_id: int) -> _Recorded:
    return _Recorded(image=image, roi_xyxy_px=line.roi_xyxy_px, t_media_ns=t_media_ns, line=line, frame_id=frame_id)
