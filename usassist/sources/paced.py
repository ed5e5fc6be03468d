"""What the sources here share: pacing, stamping, counting and closing."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice

import numpy as np
import numpy.typing as npt

from usassist.common.closeable import Closeable
from usassist.records import Frame, Signal, SignalState, SourceInfo
from usassist.sources.base import SourceOptions

__all__ = ["PacedSource", "RawFrame"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RawFrame:
    """One picture on its way to become a frame, cropped already.

    Attributes
    ----------
    image : uint8 (H, W) or (H, W, 3) RGB
    roi_xyxy_px : where it lies on the grabbed screen, px
    t_media_ns : when it is due, ns since the first picture; never falls
    spacing_rc_mm, spacing_rel_sd, calibration_id : its scale where the source knows it, else None
    pts, time_base : its stamp in the file
    state, state_reason : what can be said of it, and why it is not live
    """

    image: npt.NDArray[np.uint8]
    roi_xyxy_px: tuple[int, int, int, int]
    t_media_ns: int
    spacing_rc_mm: tuple[float, float] | None = None
    spacing_rel_sd: float | None = None
    calibration_id: str | None = None
    pts: int | None = None
    time_base: Fraction | None = None
    state: SignalState = SignalState.LIVE
    state_reason: str = ""


class PacedSource(Closeable):
    """A source whose pictures are due at known times.

    A subclass gives pictures; this class hands them over when they are due. A picture that is late is handed over at
    once and none is skipped: dropping is the business of whoever cannot keep up.
    """

    signal: Signal | None = None

    def __init__(self, info: SourceInfo, options: SourceOptions) -> None:
        self.info = info
        self.decode_errors = 0
        self._options = options
        self._closed = threading.Event()

    @abstractmethod
    def _raw_frames(self) -> Iterator[RawFrame]:
        """Give the pictures in order, from the start; for ever when the source repeats."""

    def frames(self) -> Iterator[Frame]:
        """Give the frames in order, ``frame_id`` from 0; each call begins at the first picture."""
        options, clock = self._options, self._options.clock
        t_start_ns: int | None = None
        with closing(self._raw_frame_stream()) as pictures:
            for frame_id, picture in enumerate(islice(pictures, options.count)):
                if not options.fast:
                    if t_start_ns is None:
                        t_start_ns = clock.now_ns() - picture.t_media_ns
                    clock.sleep_until(t_start_ns + picture.t_media_ns)
                if self._closed.is_set():
                    return
                yield self._frame(frame_id, picture, clock.now_ns())

    def close(self) -> None:
        """End the stream at the next frame. May be called twice, and from another thread than ``frames()``."""
        self._closed.set()

    def _raw_frame_stream(self) -> Generator[RawFrame, None, None]:
        """The pictures as a generator, so that closing it releases the file at once."""
        if not self._closed.is_set():
            yield from self._raw_frames()

    def _frame(self, frame_id: int, picture: RawFrame, t_capture_ns: int) -> Frame:
        options = self._options
        spacing, spacing_rel_sd, calibration_id = (
            picture.spacing_rc_mm,
            picture.spacing_rel_sd,
            picture.calibration_id,
        )
        if options.geometry is not None and options.geometry.spacing_rc_mm is not None:
            spacing, spacing_rel_sd = options.geometry.spacing_rc_mm, options.geometry.spacing_rel_sd
            calibration_id = options.geometry.calibration_id
        return Frame(
            session_id=options.session_id,
            source_id=options.source_id,
            frame_id=frame_id,
            t_capture_ns=t_capture_ns,
            image=picture.image,
            roi_xyxy_px=picture.roi_xyxy_px,
            spacing_rc_mm=spacing,
            spacing_rel_sd=spacing_rel_sd,
            calibration_id=calibration_id,
            pts=picture.pts,
            time_base=picture.time_base,
            picture=picture.state,
            picture_reason=picture.state_reason,
        )
