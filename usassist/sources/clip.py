"""A video file as a source, at its own pace or as fast as it is read.

Pixels are given as the file has them, in one grey plane where they show no colour, else RGB; turned upright where the
file asks for it, and made square where they are not. The fields of interlaced video stay woven together unless
deinterlacing is asked for. A frame that is damaged, or predicted from one that is, is given with that word on it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt

from usassist.common.pyav import av
from usassist.errors import SourceError, SourceFormatError, UsageError
from usassist.records import SignalState, SourceInfo
from usassist.sources.base import SourceOptions
from usassist.sources.cropping import choose_roi, cut_plain, is_automatic
from usassist.sources.decoding import VideoPass, check_file
from usassist.sources.interlacing import DEINTERLACED, INTERLACED
from usassist.sources.paced import PacedSource, RawFrame
from usassist.sources.pixels import is_grey, orient, orientation_of

__all__ = ["ClipSource", "Timeline", "open_address"]

_log = logging.getLogger(__name__)

_DEFAULT_RATE_HZ = 25.0  # where the file states none
_FIRST_LOOK = frozenset({0, 2, 5, 10, 20, 35, 55, 80})  # frames on which the scan area is searched
_LOOK_AGAIN_EVERY = 25  # after that, when those show nothing
_FRAMES_PER_LOOK = 8
_LOOK_NO_FURTHER = 1500
_TOLD_GAP_NS = 10_000_000_000  # a longer pause is told
_LONGEST_GAP_NS = 600_000_000_000  # a longer one is a fault of the stamps


def open_address(rest: str, options: SourceOptions) -> ClipSource:
    """Open ``clip:PATH``."""
    if not rest:
        raise UsageError("source clip needs a path; write clip:FILE")
    return ClipSource(Path(rest).expanduser(), options)


class ClipSource(PacedSource):
    """A video file as a source.

    Parameters
    ----------
    path : the file
    options : see :class:`usassist.sources.SourceOptions`

    Raises
    ------
    SourceError
        If the file is missing or may not be read.
    SourceFormatError
        If it holds no frame that can be decoded.
    ScanAreaError
        If the scan area is to be found and is not.
    """

    def __init__(self, path: Path, options: SourceOptions) -> None:
        check_file(path)
        self._path = path
        self._deinterlace = options.deinterlace
        with self._open() as video, closing(video.all_frames()) as pictures:
            try:
                picture = next(pictures, None)
            except SourceError as error:
                raise SourceFormatError(f"{path.name} holds no frame that can be decoded; export it again") from error
            if picture is None:
                raise SourceFormatError(f"{path.name} holds no frame that can be decoded; export it again")
            first = picture[0]
            self._raw_wh_px = (first.width, first.height)
            self._grey = is_grey(first)
            orientation = orientation_of(first)
            rate_hz, codec, notes = video.rate_hz, video.codec_name, video.notes
            claimed = video.claimed_frames if video.indexed else None
            estimated = video.estimated_frames
        self._told_interlaced = first.interlaced_frame or self._deinterlace
        if self._told_interlaced and not self._deinterlace:
            notes += (INTERLACED,)
        for note in notes:
            _log.warning("%s: %s", path.name, note)
        if self._deinterlace:
            notes += (DEINTERLACED,)
        if rate_hz is None:
            _log.warning("%s: states no rate; played at %g frames a second", path.name, _DEFAULT_RATE_HZ)
        if orientation is None:
            _log.warning("%s: turned by an angle that is no multiple of 90 degrees; shown as it is stored", path.name)
        self._orientation = orientation or (False, False, False)
        self._period_ns = round(1e9 / (rate_hz or _DEFAULT_RATE_HZ))
        width_px, height_px = self._raw_wh_px
        grab_hw_px = (width_px, height_px) if self._orientation[0] else (height_px, width_px)
        self._roi = choose_roi(options, grab_hw_px, self._looks)
        info = SourceInfo(
            description="; ".join((f"clip, {codec}" + (f", {rate_hz:.4g} Hz" if rate_hz else ""), *notes)),
            image_hw_px=(self._roi[3] - self._roi[1], self._roi[2] - self._roi[0]),
            channels=1 if self._grey else 3,
            rate_hz=rate_hz,
            frame_count=options.frame_count(claimed),
            roi_xyxy_px=self._roi,
            grab_hw_px=grab_hw_px,
            frame_count_estimate=options.frame_count(estimated),
        )
        super().__init__(info, options)
        if is_automatic(options):
            _log.info("%s: scan area %s found on a screen of %d x %d px", path.name, self._roi, *grab_hw_px[::-1])

    def _raw_frames(self) -> Iterator[RawFrame]:
        timeline = Timeline(self._period_ns, tell=lambda what: _log.warning("%s: %s", self._path.name, what))
        given = 0
        while True:
            given_before = given
            for picture in self._one_pass(timeline, given):
                given += 1
                yield picture
            if not self._options.repeat:
                return
            if given == given_before:
                raise SourceError(f"{self._path.name} cannot be decoded any more; check that it was not changed")
            timeline.begin_again()

    def _one_pass(self, timeline: Timeline, given: int) -> Iterator[RawFrame]:
        check_file(self._path)
        errors_before = self.decode_errors
        damage_reason = 0
        with self._open() as video, closing(video.all_frames()) as pictures:
            try:
                for number, (frame, why) in enumerate(pictures):
                    self.decode_errors = errors_before + video.decode_errors
                    if (frame.width, frame.height) != self._raw_wh_px or is_grey(frame) != self._grey:
                        raise SourceError(
                            f"{self._path.name} changes its picture format after {given + number} frames, to "
                            f"{frame.width} x {frame.height} px {frame.format.name}; split the clip there"
                        )
                    damage_reason += bool(why)
                    if frame.interlaced_frame and not self._told_interlaced:
                        self._told_interlaced = True
                        _log.warning("%s: from frame %d on %s", self._path.name, given + number, INTERLACED)
                    yield RawFrame(
                        image=self._cut(video, frame),
                        roi_xyxy_px=self._roi,
                        t_media_ns=timeline.due_ns(frame.pts, frame.time_base),
                        pts=frame.pts,
                        time_base=frame.time_base if frame.pts is not None else None,
                        state=SignalState.DAMAGED if why else SignalState.LIVE,
                        state_reason=why,
                    )
            finally:
                self.decode_errors = errors_before + video.decode_errors
                if video.decode_errors:
                    _log.warning("%s: %d pictures could not be decoded", self._path.name, video.decode_errors)
                if damage_reason:
                    _log.warning("%s: damaged frames, which have no result: %d", self._path.name, damage_reason)

    def _open(self) -> VideoPass:
        return VideoPass(self._path, deinterlace=self._deinterlace)

    def _cut(self, video: VideoPass, frame: av.VideoFrame) -> npt.NDArray[np.uint8]:
        if self._orientation == (False, False, False):
            return video.cut(frame, self._roi)
        return cut_plain(orient(video.image(frame), self._orientation), self._roi)

    def _looks(self) -> Iterator[list[npt.NDArray[np.uint8]]]:
        """Sampled pictures to find the scan area on: of the first seconds, then further on."""
        look: list[npt.NDArray[np.uint8]] = []
        looked = False
        with self._open() as video, closing(video.frames()) as frames:
            try:
                for number, frame in enumerate(frames):
                    if (frame.width, frame.height) != self._raw_wh_px:
                        break
                    if number in _FIRST_LOOK or (number > max(_FIRST_LOOK) and number % _LOOK_AGAIN_EVERY == 0):
                        look.append(orient(video.image(frame), self._orientation))
                    if len(look) == _FRAMES_PER_LOOK:
                        yield look
                        look, looked = [], True
                    if number >= _LOOK_NO_FURTHER:
                        break
            except SourceError:
                pass  # the stream itself reports where it breaks off, after all frames before that
        if look or not looked:
            yield look


class Timeline:
    """Turns presentation stamps into due times that never fall.

    A pause is a pause, however long, and one of more than ten seconds is told. A stamp that is missing, does not
    advance, or leaps ahead by more than ten minutes counts as one nominal period after the picture before it, and the
    stamps that follow are measured from there; a leap is told, and so is the first stamp that falls back.

    Parameters
    ----------
    period_ns : nominal time between two pictures, ns
    tell : is told of pauses and leaps, in words
    """

    def __init__(self, period_ns: int, tell: Callable[[str], None] | None = None) -> None:
        self._period_ns = period_ns
        self._tell = tell or (lambda what: None)
        self._t_media_ns: int | None = None
        self._anchor_ns: int | None = None  # due time minus stamp
        self._fell_back = False

    def due_ns(self, pts: int | None, time_base: Fraction | None) -> int:
        """When the next picture is due, ns since the first."""
        stamp_ns = None if pts is None or time_base is None else round(pts * time_base * 1_000_000_000)
        before_ns = self._t_media_ns
        t_media_ns = 0 if before_ns is None else before_ns + self._period_ns
        if stamp_ns is not None:
            if self._anchor_ns is not None and before_ns is not None:
                stamped_ns = stamp_ns + self._anchor_ns
                if self._may_follow(stamped_ns - before_ns, before_ns / 1e9):
                    t_media_ns = stamped_ns
            self._anchor_ns = t_media_ns - stamp_ns
        self._t_media_ns = t_media_ns
        return t_media_ns

    def begin_again(self) -> None:
        """The stamps start over: the next picture is due one nominal period after the last."""
        self._anchor_ns = None

    def _may_follow(self, gap_ns: int, at_s: float) -> bool:
        if gap_ns > _LONGEST_GAP_NS:
            self._tell(f"its stamps leap ahead by {gap_ns / 1e9:.1f} s at {at_s:.1f} s, which is taken for a fault")
        elif gap_ns > _TOLD_GAP_NS:
            self._tell(f"a pause of {gap_ns / 1e9:.1f} s at {at_s:.1f} s")
        elif gap_ns < 0 and not self._fell_back:
            self._fell_back = True
            self._tell(f"its stamps fall back by {-gap_ns / 1e9:.1f} s at {at_s:.1f} s; played on without a pause")
        return 0 < gap_ns <= _LONGEST_GAP_NS
