"""A video file as a source, at its own pace or as fast as it is read.

Pixels are those of the file, in one grey plane where they show no colour, else RGB; rotated upright where the file asks
for it, and scaled to square pixels. Interlaced video stays interlaced unless deinterlacing is requested. A frame that
is damaged, or predicted from a damaged frame, carries the state ``damaged``, and one in colour Doppler or under a menu
``not_b_mode`` (:mod:`usassist.sources.watch.clip_watch`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import closing
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from usassist.common.pyav import av
from usassist.errors import SourceError, SourceFormatError, UsageError
from usassist.records import SignalState, SourceInfo
from usassist.sources.base import SourceOptions, kind_of_clip
from usassist.sources.cropping import choose_roi, cut_plain, is_automatic
from usassist.sources.decoding import VideoPass, check_file
from usassist.sources.interlacing import DEINTERLACED, INTERLACED
from usassist.sources.paced import PacedSource, RawFrame
from usassist.sources.pixels import is_grey, luma, orient, orientation_of
from usassist.sources.watch import ClipWatch

__all__ = ["ClipSource", "Timeline", "open_address"]

_log = logging.getLogger(__name__)

_DEFAULT_RATE_HZ = 25.0  # where the file states none
_FIRST_SAMPLES = frozenset({0, 2, 5, 10, 20, 35, 55, 80})  # frames on which the scan area is searched
_SAMPLE_EVERY = 25  # frames after those, where they show no scan area
_FRAMES_PER_SEARCH = 8
_LAST_SAMPLE = 1500
_REPORTED_GAP_NS = 10_000_000_000  # a longer pause is logged
_MAX_GAP_NS = 600_000_000_000  # a longer one is a timestamp error


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
        with self._open() as video, closing(video.all_frames()) as frames:
            try:
                decoded = next(frames, None)
            except SourceError as error:
                raise SourceFormatError(f"{path.name} holds no frame that can be decoded; export it again") from error
            if decoded is None:
                raise SourceFormatError(f"{path.name} holds no frame that can be decoded; export it again")
            first = decoded[0]
            self._raw_wh_px = (first.width, first.height)
            self._grey = is_grey(first)
            orientation = orientation_of(first)
            rate_hz, codec, notes = video.rate_hz, video.codec_name, video.notes
            claimed = video.claimed_frames if video.indexed else None
            estimated = video.estimated_frames
        self._interlacing_reported = first.interlaced_frame or self._deinterlace
        if self._interlacing_reported and not self._deinterlace:
            notes += (INTERLACED,)
        for note in notes:
            _log.warning("%s: %s", path.name, note)
        if self._deinterlace:
            notes += (DEINTERLACED,)
        if rate_hz is None:
            _log.warning("%s: states no rate; played at %g frames a second", path.name, _DEFAULT_RATE_HZ)
        if orientation is None:
            _log.warning("%s: rotated by an angle that is no multiple of 90 degrees; shown as stored", path.name)
        self._orientation = orientation or (False, False, False)
        self._period_ns = round(1e9 / (rate_hz or _DEFAULT_RATE_HZ))
        width_px, height_px = self._raw_wh_px
        grab_hw_px = (width_px, height_px) if self._orientation[0] else (height_px, width_px)
        self._roi = choose_roi(options, grab_hw_px, self._sample_images)
        info = SourceInfo(
            description="; ".join((f"clip, {codec}" + (f", {rate_hz:.4g} Hz" if rate_hz else ""), *notes)),
            image_hw_px=(self._roi[3] - self._roi[1], self._roi[2] - self._roi[0]),
            channels=1 if self._grey else 3,
            rate_hz=rate_hz,
            frame_count=options.frame_count(claimed),
            roi_xyxy_px=self._roi,
            grab_hw_px=grab_hw_px,
            frame_count_estimate=options.frame_count(estimated),
            kind=kind_of_clip(path),
        )
        super().__init__(info, options)
        if is_automatic(options):
            _log.info("%s: scan area %s found on a screen of %d x %d px", path.name, self._roi, *grab_hw_px[::-1])

    def _raw_frames(self) -> Iterator[RawFrame]:
        timeline = Timeline(self._period_ns, report=lambda problem: _log.warning("%s: %s", self._path.name, problem))
        watch = ClipWatch()
        count = 0
        while True:
            count_before = count
            for frame in self._one_pass(timeline, watch, count):
                count += 1
                yield frame
            if not self._options.repeat:
                return
            if count == count_before:
                raise SourceError(f"{self._path.name} cannot be decoded any more; check that it was not changed")
            timeline.restart()

    def _one_pass(self, timeline: Timeline, watch: ClipWatch, count_before: int) -> Iterator[RawFrame]:
        check_file(self._path)
        errors_before = self.decode_errors
        damaged = 0
        with self._open() as video, closing(video.all_frames()) as frames:
            try:
                for number, (frame, damage_reason) in enumerate(frames):
                    self.decode_errors = errors_before + video.decode_errors
                    if (frame.width, frame.height) != self._raw_wh_px or is_grey(frame) != self._grey:
                        raise SourceError(
                            f"{self._path.name} changes its frame format after {count_before + number} frames, to "
                            f"{frame.width} x {frame.height} px {frame.format.name}; split the clip there"
                        )
                    damaged += bool(damage_reason)
                    if frame.interlaced_frame and not self._interlacing_reported:
                        self._interlacing_reported = True
                        _log.warning("%s: from frame %d on %s", self._path.name, count_before + number, INTERLACED)
                    image, t_media_ns = self._cut(video, frame), timeline.due_ns(frame.pts, frame.time_base)
                    state, reason = SignalState.DAMAGED, damage_reason
                    if not damage_reason:
                        state, reason = watch.judge(image, t_media_ns)
                    yield RawFrame(
                        image=image,
                        roi_xyxy_px=self._roi,
                        t_media_ns=t_media_ns,
                        screen=None if damage_reason else partial(self._luma, video, frame),
                        pts=frame.pts,
                        time_base=frame.time_base if frame.pts is not None else None,
                        state=state,
                        state_reason=reason,
                    )
            finally:
                self.decode_errors = errors_before + video.decode_errors
                if video.decode_errors:
                    _log.warning("%s: %d frames could not be decoded", self._path.name, video.decode_errors)
                if damaged:
                    _log.warning("%s: %d frames are damaged and get no result", self._path.name, damaged)

    def _open(self) -> VideoPass:
        return VideoPass(self._path, deinterlace=self._deinterlace)

    def _cut(self, video: VideoPass, frame: av.VideoFrame) -> npt.NDArray[np.uint8]:
        if self._orientation == (False, False, False):
            return video.cut(frame, self._roi)
        return cut_plain(orient(video.image(frame), self._orientation), self._roi)

    def _luma(self, video: VideoPass, frame: av.VideoFrame) -> npt.NDArray[np.uint8]:
        """The whole screen, for its ruler."""
        return luma(orient(video.image(frame), self._orientation))

    def _sample_images(self) -> Iterator[list[npt.NDArray[np.uint8]]]:
        """Sampled images to find the scan area on: of the first seconds, then further on."""
        images: list[npt.NDArray[np.uint8]] = []
        searched = False
        with self._open() as video, closing(video.frames()) as frames:
            try:
                for number, frame in enumerate(frames):
                    if (frame.width, frame.height) != self._raw_wh_px:
                        break
                    if number in _FIRST_SAMPLES or (number > max(_FIRST_SAMPLES) and number % _SAMPLE_EVERY == 0):
                        images.append(orient(video.image(frame), self._orientation))
                    if len(images) == _FRAMES_PER_SEARCH:
                        yield images
                        images, searched = [], True
                    if number >= _LAST_SAMPLE:
                        break
            except SourceError:
                pass  # reported when the frames are played, after all frames before the break
        if images or not searched:
            yield images


class Timeline:
    """Turns presentation timestamps, which may be missing, repeated or fall back, into due times that never fall.

    A pause is kept, however long, and logged when it is longer than ten seconds. A timestamp that is missing, does not
    advance, or jumps ahead by more than ten minutes counts as one nominal period after the frame before it, and later
    timestamps are measured from there. A jump is logged, and so is the first timestamp that falls back.

    Parameters
    ----------
    period_ns : nominal time between two frames, ns
    report : called with a message about a pause or a jump
    """

    def __init__(self, period_ns: int, report: Callable[[str], None] | None = None) -> None:
        self._period_ns = period_ns
        self._report = report or (lambda problem: None)
        self._t_media_ns: int | None = None
        self._anchor_ns: int | None = None  # due time minus timestamp
        self._fell_back = False

    def due_ns(self, pts: int | None, time_base: Fraction | None) -> int:
        """When the next frame is due, ns since the first."""
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

    def restart(self) -> None:
        """Start the timestamps over: the next frame is due one nominal period after the last."""
        self._anchor_ns = None

    def _may_follow(self, gap_ns: int, at_s: float) -> bool:
        if gap_ns > _MAX_GAP_NS:
            self._report(f"timestamps jump ahead by {gap_ns / 1e9:.1f} s at {at_s:.1f} s; played without that gap")
        elif gap_ns > _REPORTED_GAP_NS:
            self._report(f"a pause of {gap_ns / 1e9:.1f} s at {at_s:.1f} s")
        elif gap_ns < 0 and not self._fell_back:
            self._fell_back = True
            self._report(f"timestamps fall back by {-gap_ns / 1e9:.1f} s at {at_s:.1f} s; played without a pause")
        return 0 < gap_ns <= _MAX_GAP_NS
