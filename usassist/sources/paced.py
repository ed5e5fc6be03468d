"""Base class of sources whose frames are due at known times: pacing, timestamps, counting and closing."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice

import numpy as np
import numpy.typing as npt

from usassist.calibrate.two_points import Points
from usassist.common.closeable import Closeable
from usassist.records import Frame, Signal, SignalState, SourceInfo
from usassist.sources.base import SourceOptions
from usassist.sources.scale import Claim
from usassist.sources.scale_watch import ScaleWatch

__all__ = ["PacedSource", "RawFrame"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RawFrame:
    """A cropped image with its due time, before it is paced and stamped as a frame.

    Attributes
    ----------
    image : uint8 (H, W) or (H, W, 3) RGB
    roi_xyxy_px : its rectangle on the screen, px
    t_media_ns : when it is due, ns since the first frame; never falls
    own_scale : what the source itself states of its scale
    screen : gives the luma of the whole screen, uint8 (H, W), for its ruler; None where there is none to look at
    pts, time_base : its timestamp in the file
    state, state_reason : its signal state, and why it is not live
    """

    image: npt.NDArray[np.uint8]
    roi_xyxy_px: tuple[int, int, int, int]
    t_media_ns: int
    own_scale: Claim | None = None
    screen: Callable[[], npt.NDArray[np.uint8]] | None = None
    pts: int | None = None
    time_base: Fraction | None = None
    state: SignalState = SignalState.LIVE
    state_reason: str = ""


class PacedSource(Closeable):
    """A source whose frames are due at known times.

    A subclass yields raw frames; this class delivers them when they are due. A frame that is late is delivered at once
    and none is skipped: a reader that cannot keep up drops frames itself.
    """

    signal: Signal | None = None
    separate_images = False  # True where each frame is an image of its own, with its own ruler

    def __init__(self, info: SourceInfo, options: SourceOptions) -> None:
        self.info = info
        self.decode_errors = 0
        self._options = options
        self._scale = ScaleWatch(options.scale, options.geometry, separate=self.separate_images)
        self._closed = threading.Event()

    @property
    def scale_note(self) -> str:
        """Why frames have no scale; empty where they have one."""
        return self._scale.note

    def set_scale(self, frame_id: int, points_xy_px: Points, distance_mm: float) -> str:
        """Set the scale by two points; see :class:`usassist.sources.scale_by_hand.TakesScale`."""
        return self._scale.set_by_hand(frame_id, points_xy_px, distance_mm)

    @abstractmethod
    def _raw_frames(self) -> Iterator[RawFrame]:
        """Yield the frames in order, from the start; without end when the source repeats."""

    def frames(self) -> Iterator[Frame]:
        """Yield the frames in order, ``frame_id`` from 0; each call starts at the first frame."""
        options, clock = self._options, self._options.clock
        t_start_ns: int | None = None
        self._scale.reset()
        with closing(self._raw_frame_stream()) as raw_frames:
            for frame_id, raw in enumerate(islice(raw_frames, options.count)):
                # Before the frame is stamped: reading a ruler may take longer than a frame lasts.
                claim = self._scale.claim(raw.roi_xyxy_px, raw.t_media_ns, raw.screen, raw.own_scale, frame_id)
                if not options.fast:
                    if t_start_ns is None:
                        t_start_ns = clock.now_ns() - raw.t_media_ns
                    clock.sleep_until(t_start_ns + raw.t_media_ns)
                if self._closed.is_set():
                    return
                yield self._frame(frame_id, raw, clock.now_ns(), claim)

    def close(self) -> None:
        """End the stream at the next frame. May be called twice, and from another thread than ``frames()``."""
        self._closed.set()

    def _raw_frame_stream(self) -> Generator[RawFrame, None, None]:
        """The raw frames as a generator, so that closing it releases the file at once."""
        if not self._closed.is_set():
            yield from self._raw_frames()

    def _frame(self, frame_id: int, raw: RawFrame, t_capture_ns: int, claim: Claim | None) -> Frame:
        options = self._options
        return Frame(
            session_id=options.session_id,
            source_id=options.source_id,
            frame_id=frame_id,
            t_capture_ns=t_capture_ns,
            image=raw.image,
            roi_xyxy_px=raw.roi_xyxy_px,
            spacing_rc_mm=None if claim is None else claim.spacing_rc_mm,
            spacing_rel_sd=None if claim is None else claim.spacing_rel_sd,
            calibration_id=None if claim is None else claim.calibration_id,
            pts=raw.pts,
            time_base=raw.time_base,
            picture=raw.state,
            picture_reason=raw.state_reason,
        )
