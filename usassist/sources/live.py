"""A live input as a source: it reports the state of its signal, and never ends on its own.

Frames are published once the scan area is found, and only the scan area is published. A frame that is frozen or not
B-mode carries that state. Where the signal is lost, or the screen is not the one on which the scan area was found, no
frame is published, because the old rectangle could show anything.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Iterator

from usassist.calibrate.two_points import Points
from usassist.common.closeable import Closeable
from usassist.errors import CalibrationError, ScanAreaError, UsageError
from usassist.records import Frame, Signal, SignalState, SourceInfo
from usassist.sources.base import SourceOptions, kind_of_clip
from usassist.sources.capture.opener import ProcessOpener
from usassist.sources.cropping import Roi, choose_roi, is_automatic
from usassist.sources.grab import Grab, Opener
from usassist.sources.grab_supervisor import GrabSupervisor
from usassist.sources.inputs.address import GrabOptions, loop_clip
from usassist.sources.scale import Claim, depth_is_plausible
from usassist.sources.scale_watch import ScaleWatch
from usassist.sources.scan_check import ScanCheck
from usassist.sources.watch import SignalVerdict, SignalWatch, WatchProfile

__all__ = ["LiveSource", "open_live"]

logger = logging.getLogger(__name__)

_WAIT_S = 0.04
_SEARCH_SCREENS = 8  # screens on which the scan area is searched,
_SEARCH_STEP_NS = 50_000_000  # this far apart
_SEARCH_AGAIN_NS = 500_000_000
_CHECK_EVERY_NS = 1_000_000_000
_SILENT_NS = 300_000_000
_MAX_FAILED_CHECKS = 2  # in a row
_OPEN_TIMEOUT_S = 1.0
_READ_TIMEOUT_S = 1.0


def open_live(address: str, options: SourceOptions) -> LiveSource:
    """Open a live input, which need not be connected yet.

    Raises
    ------
    UsageError
        If an option does not apply to live input.
    """
    grab_options = GrabOptions(
        open_timeout_s=_OPEN_TIMEOUT_S, read_timeout_s=_READ_TIMEOUT_S, deinterlace=options.deinterlace
    )
    kind = address.partition(":")[0]
    frames_kind = kind_of_clip(loop_clip(address)) if kind == "loop" else "live"  # a clip that is played like an input
    return LiveSource(ProcessOpener(address, grab_options), options, kind=kind, frames_kind=frames_kind)


class LiveSource(Closeable):
    """Frames of a live input, without end.

    Parameters
    ----------
    opener : opens the input
    options : see :class:`usassist.sources.SourceOptions`; ``fast`` and ``repeat`` do not apply
    kind : of input, for descriptions
    frames_kind : of its frames, see ``records.SourceInfo``
    profile : times and thresholds of the signal watch

    Raises
    ------
    UsageError
        If ``fast`` or ``repeat`` is set.
    """

    def __init__(
        self,
        opener: Opener,
        options: SourceOptions,
        *,
        kind: str = "live",
        frames_kind: str = "live",
        profile: WatchProfile | None = None,
    ) -> None:
        if options.fast or options.repeat:
            raise UsageError("live input runs at its own pace; leave out --fast and --repeat")
        self.decode_errors = 0
        self._options = options
        self._clock = options.clock
        self._kind, self._frames_kind = kind, frames_kind
        self._profile = profile or WatchProfile()
        opener.prepare()  # starts in parallel with the caller's other work
        self._supervisor = GrabSupervisor(opener, options.clock)
        self._closed = threading.Event()
        self._watch = SignalWatch(self._profile)
        self._scale = ScaleWatch(options.scale, options.geometry, background=True)
        self._check: ScanCheck | None = None
        self._next_check_ns = 0
        self._failed_checks = 0
        self._roi: Roi | None = None
        self._size_hw_px: tuple[int, int] | None = None
        self._search_grabs: list[Grab] = []
        self._search_again_ns = 0
        self._next_id = 0
        self._skipped = 0
        self._last_number: int | None = None
        self._last_grab_ns: int | None = None
        self._signal = Signal(
            state=SignalState.LOST, reason="waiting for the first frame", t_since_ns=self._clock.now_ns()
        )
        self._info = SourceInfo(
            description=f"{kind} input",
            image_hw_px=(0, 0),
            channels=3,
            rate_hz=None,
            frame_count=options.count,
            roi_xyxy_px=(0, 0, 0, 0),
            grab_hw_px=(0, 0),
            kind=self._frames_kind,
        )

    @property
    def info(self) -> SourceInfo:
        """What is known of the stream at present; sizes are 0 before the first frame."""
        return self._info

    @property
    def signal(self) -> Signal:
        """Current state of the signal."""
        return self._signal

    @property
    def scale_note(self) -> str:
        """Why frames have no scale; empty where they have one."""
        return self._scale.note

    def set_scale(self, frame_id: int, points_xy_px: Points, distance_mm: float) -> str:
        """Set the scale by two points; see :class:`usassist.sources.scale_by_hand.TakesScale`."""
        return self._scale.set_by_hand(frame_id, points_xy_px, distance_mm)

    def frames(self) -> Iterator[Frame]:
        """Yield the frames as they arrive, until the source is closed or ``count`` were yielded."""
        given = 0
        while not self._closed.is_set() and (self._options.count is None or given < self._options.count):
            self._supervisor.supervise()
            grab, skipped = self._supervisor.take(_WAIT_S)
            if grab is not None and self._last_number is not None and grab.number > self._last_number:
                skipped = grab.number - self._last_number - 1  # with those that the input itself has skipped
            self._skipped += skipped
            if grab is None:
                self._on_no_frames()
                continue
            self._last_number = grab.number
            self._next_id += skipped if self._roi is not None else 0
            frame = self._process(grab)
            if frame is not None:
                given += 1
                yield frame

    def close(self) -> None:
        """End the stream at once. May be called twice, and from another thread than ``frames()``."""
        self._closed.set()
        self._supervisor.close()
        self._scale.close()

    def _on_no_frames(self) -> None:
        now_ns = self._clock.now_ns()
        if self._last_grab_ns is None:
            self._set_signal(SignalState.LOST, self._supervisor.problem or "waiting for the first frame")
            return
        if self._roi is None:  # the watch sees no screens before it has a reference
            if now_ns - self._last_grab_ns > _SILENT_NS:
                self._set_signal(SignalState.LOST, self._supervisor.problem or "no frames arrive")
            return
        verdict = self._watch.judge_silence(now_ns)
        if verdict.state is not SignalState.LIVE:
            if verdict.state is SignalState.LOST:
                self._scale.end_by_hand("the signal was lost")
            self._set_signal(verdict.state, self._supervisor.problem or verdict.reason, verdict.since_ns)

    def _process(self, grab: Grab) -> Frame | None:
        """The frame of a screen; None where it must not be published."""
        self._last_grab_ns = grab.t_decoded_ns
        self.decode_errors += grab.damaged
        size_hw_px = grab.screen.hw_px
        if size_hw_px != self._size_hw_px:
            if self._size_hw_px is not None:
                width, height = size_hw_px[1], size_hw_px[0]
                self._set_signal(SignalState.CHANGED, f"the screen now has {width} x {height} px")
            self._size_hw_px = size_hw_px
            self._reset_roi()
        if self._roi is None:
            if grab.damage_reason:
                self._set_signal(SignalState.DAMAGED, grab.damage_reason)
            else:
                self._search_roi(grab)
            return None
        verdict = self._watch.judge(grab)
        if verdict.state is SignalState.LIVE:
            verdict = self._check_area(grab, verdict)
        self._set_signal(verdict.state, verdict.reason, verdict.since_ns)
        if verdict.state in (SignalState.LOST, SignalState.CHANGED):
            self._scale.end_by_hand(verdict.reason or "the signal was lost")
            if verdict.state is SignalState.CHANGED and is_automatic(self._options):
                self._reset_roi()  # with a given crop, wait until that screen is back
            return None
        if grab.damage_reason and verdict.state is SignalState.LIVE:
            verdict = dataclasses.replace(verdict, state=SignalState.DAMAGED, reason=grab.damage_reason)
        return self._frame(grab, verdict)

    def _search_roi(self, grab: Grab) -> None:
        """Find the scan area on a few screens, and give the watch its reference."""
        if self._search_grabs and grab.t_capture_ns - self._search_grabs[-1].t_capture_ns < _SEARCH_STEP_NS:
            return
        if grab.t_capture_ns < self._search_again_ns:
            return
        self._search_grabs.append(grab)
        if len(self._search_grabs) < _SEARCH_SCREENS and is_automatic(self._options):
            return
        grabs, self._search_grabs = self._search_grabs, []
        assert self._size_hw_px is not None
        try:
            screens = [sample.screen.image for sample in grabs]
            roi = choose_roi(self._options, self._size_hw_px, lambda: [screens], may_be_whole=False)
        except ScanAreaError as error:
            self._search_again_ns = grab.t_capture_ns + _SEARCH_AGAIN_NS
            self._set_signal(SignalState.NOT_B_MODE, str(error))
            return
        except (CalibrationError, UsageError) as error:
            self._search_again_ns = grab.t_capture_ns + _SEARCH_AGAIN_NS
            self._set_signal(SignalState.CHANGED, str(error))
            return
        self._roi = roi
        self._watch = SignalWatch(self._profile)
        self._watch.set_reference(grab.screen, roi, grab.t_decoded_ns)
        self._check, self._failed_checks = ScanCheck(roi) if is_automatic(self._options) else None, 0
        self._next_check_ns = grab.t_decoded_ns + _CHECK_EVERY_NS
        self._describe(grab, roi)

    def _check_area(self, grab: Grab, verdict: SignalVerdict) -> SignalVerdict:
        """Check once a second whether the scan area is still where it was."""
        if self._check is None or grab.t_decoded_ns < self._next_check_ns:
            return verdict
        self._next_check_ns = grab.t_decoded_ns + _CHECK_EVERY_NS
        status = self._check.check(grab.screen)
        self._failed_checks = 0 if status.ok else self._failed_checks + 1
        if self._failed_checks < _MAX_FAILED_CHECKS:
            return verdict
        return dataclasses.replace(verdict, state=SignalState.CHANGED, reason=status.reason, since_ns=grab.t_decoded_ns)

    def _reset_roi(self) -> None:
        self._roi, self._check = None, None
        self._scale.reset()
        self._search_grabs = []

    def _frame(self, grab: Grab, verdict: SignalVerdict) -> Frame:
        assert self._roi is not None
        options = self._options
        whole = None if grab.damage_reason else grab.screen.grey
        frame_id, self._next_id = self._next_id, self._next_id + 1
        own = _stated_scale(grab, self._roi)
        claim = self._scale.claim(self._roi, grab.t_decoded_ns, whole, own, frame_id=frame_id)
        image = grab.screen.cut(self._roi)
        return Frame(
            session_id=options.session_id,
            source_id=options.source_id,
            frame_id=frame_id,
            t_capture_ns=grab.t_capture_ns,
            image=image,
            roi_xyxy_px=self._roi,
            spacing_rc_mm=None if claim is None else claim.spacing_rc_mm,
            spacing_rel_sd=None if claim is None else claim.spacing_rel_sd,
            calibration_id=None if claim is None else claim.calibration_id,
            pts=grab.pts,
            time_base=grab.time_base if grab.pts is not None else None,
            t_decoded_ns=grab.t_decoded_ns,
            t_cropped_ns=self._clock.now_ns(),
            picture=verdict.state,
            picture_reason="" if verdict.state is SignalState.LIVE else verdict.reason,
            poses=grab.poses,
        )

    def _describe(self, grab: Grab, roi: Roi) -> None:
        grabber = self._supervisor.input
        description = f"{self._kind} input" if grabber is None else grabber.description
        self._info = SourceInfo(
            description="; ".join((description, *(() if grabber is None else grabber.warnings))),
            image_hw_px=(roi[3] - roi[1], roi[2] - roi[0]),
            channels=1 if grab.screen.is_grey else 3,
            rate_hz=None if grabber is None else grabber.rate_hz,
            frame_count=self._options.count,
            roi_xyxy_px=roi,
            grab_hw_px=grab.screen.hw_px,
            kind=self._frames_kind,
        )
        logger.info("scan area %s on a screen of %d x %d px", roi, *self._info.grab_hw_px[::-1])

    def _set_signal(self, state: SignalState, reason: str, since_ns: int | None = None) -> None:
        before = self._signal
        if (state, reason) != (before.state, before.reason) and state is not before.state:
            logger.info("the signal is %s%s", state, f": {reason}" if reason else "")
        since = since_ns if since_ns is not None else self._clock.now_ns()
        self._signal = Signal(
            state=state,
            reason=reason,
            t_since_ns=before.t_since_ns if state is before.state else since,
            t_last_grab_ns=self._last_grab_ns,
            reconnects=self._supervisor.reconnects,
            skipped=self._skipped,
        )


def _stated_scale(grab: Grab, roi: Roi) -> Claim | None:
    """What the sender states with its uncertainty; None where it states none, or one that gives no plausible depth."""
    spacing, rel_sd = grab.spacing_rc_mm, grab.spacing_rel_sd
    if spacing is None or rel_sd is None or not depth_is_plausible(spacing, roi[3] - roi[1]):
        return None
    return Claim(spacing_rc_mm=spacing, spacing_rel_sd=rel_sd, calibration_id="scale_by_openigtlink")
