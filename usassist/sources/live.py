"""A live input as a source: it says whether its picture is live, and it never ends by itself.

A screen becomes a frame only once the scan area is settled, and only the scan area of it does. A frame whose picture is
frozen or no B-mode is given with that word on it; where the picture is lost, or the screen is not the one that the scan
area was settled on, no frame is given at all, because nobody knows what the old rectangle would show.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Iterator

from usassist.common.closeable import Closeable
from usassist.errors import CalibrationError, ScanAreaError, UsageError
from usassist.records import Frame, Signal, SignalState, SourceInfo
from usassist.sources.base import SourceOptions
from usassist.sources.capture.opener import ProcessOpener
from usassist.sources.cropping import Roi, choose_roi, is_automatic
from usassist.sources.grab import Grab, Opener
from usassist.sources.grab_supervisor import GrabSupervisor
from usassist.sources.inputs.address import GrabOptions
from usassist.sources.scan_check import ScanCheck
from usassist.sources.watch import SignalVerdict, SignalWatch, WatchProfile

__all__ = ["LiveSource", "open_live"]

logger = logging.getLogger(__name__)

_WAIT_S = 0.04
_LOOKS = 8  # screens on which the scan area is searched,
_LOOK_EVERY_NS = 50_000_000  # this far apart
_SEARCH_AGAIN_NS = 500_000_000
_CHECK_EVERY_NS = 1_000_000_000
_SILENT_NS = 300_000_000
_ALARM_TIMES = 2  # checks in a row that must fail
_OPEN_TIMEOUT_S = 1.0
_READ_TIMEOUT_S = 1.0


def open_live(address: str, options: SourceOptions) -> LiveSource:
    """A live input; it need not be there yet.

    Raises
    ------
    UsageError
        If an option makes no sense for live input.
    """
    grab_options = GrabOptions(
        open_timeout_s=_OPEN_TIMEOUT_S, read_timeout_s=_READ_TIMEOUT_S, deinterlace=options.deinterlace
    )
    return LiveSource(ProcessOpener(address, grab_options), options, kind=address.partition(":")[0])


class LiveSource(Closeable):
    """Frames of a live input, for ever.

    Parameters
    ----------
    opener : opens the input
    options : see :class:`usassist.sources.SourceOptions`; ``fast`` and ``repeat`` have no meaning here
    kind : of input, for descriptions
    profile : what the watch expects of the picture

    Raises
    ------
    UsageError
        If ``fast`` or ``repeat`` is asked for.
    """

    def __init__(
        self,
        opener: Opener,
        options: SourceOptions,
        *,
        kind: str = "live",
        profile: WatchProfile | None = None,
    ) -> None:
        if options.fast or options.repeat:
            raise UsageError("live input comes at its own pace; leave out --fast and --repeat")
        self.decode_errors = 0
        self._options = options
        self._clock = options.clock
        self._kind = kind
        self._profile = profile or WatchProfile()
        opener.prepare()  # while whoever opens this is busy with other things
        self._feed = GrabSupervisor(opener, options.clock)
        self._closed = threading.Event()
        self._watch = SignalWatch(self._profile)
        self._check: ScanCheck | None = None
        self._next_check_ns = 0
        self._failed_checks = 0
        self._roi: Roi | None = None
        self._size_hw_px: tuple[int, int] | None = None
        self._looks: list[Grab] = []
        self._search_again_ns = 0
        self._next_id = 0
        self._skipped = 0
        self._last_number: int | None = None
        self._last_grab_ns: int | None = None
        self._signal = Signal(
            state=SignalState.LOST, reason="waiting for the first picture", t_since_ns=self._clock.now_ns()
        )
        self._info = SourceInfo(
            description=f"{kind} input",
            image_hw_px=(0, 0),
            channels=3,
            rate_hz=None,
            frame_count=options.count,
            roi_xyxy_px=(0, 0, 0, 0),
            grab_hw_px=(0, 0),
        )

    @property
    def info(self) -> SourceInfo:
        """What is known of the stream now; sizes are 0 before the first frame."""
        return self._info

    @property
    def signal(self) -> Signal:
        """How the signal is now."""
        return self._signal

    def frames(self) -> Iterator[Frame]:
        """Give the frames as they come, until the source is closed or ``count`` were given."""
        given = 0
        while not self._closed.is_set() and (self._options.count is None or given < self._options.count):
            self._feed.supervise()
            grab, skipped = self._feed.take(_WAIT_S)
            if grab is not None and self._last_number is not None and grab.number > self._last_number:
                skipped = grab.number - self._last_number - 1  # with those that the input itself has passed over
            self._skipped += skipped
            if grab is None:
                self._on_no_frames()
                continue
            self._last_number = grab.number
            self._next_id += skipped if self._roi is not None else 0
            frame = self._look_at(grab)
            if frame is not None:
                given += 1
                yield frame

    def close(self) -> None:
        """End the stream at once. May be called twice, and from another thread than ``frames()``."""
        self._closed.set()
        self._feed.close()

    def _on_no_frames(self) -> None:
        now_ns = self._clock.now_ns()
        if self._last_grab_ns is None:
            self._set_signal(SignalState.LOST, self._feed.problem or "waiting for the first picture")
            return
        if self._roi is None:  # the watch has not been told of the screens that came since it settled
            if now_ns - self._last_grab_ns > _SILENT_NS:
                self._set_signal(SignalState.LOST, self._feed.problem or "no picture comes")
            return
        verdict = self._watch.silence(now_ns)
        if verdict.state is not SignalState.LIVE:
            self._set_signal(verdict.state, self._feed.problem or verdict.reason, verdict.since_ns)

    def _look_at(self, grab: Grab) -> Frame | None:
        """The frame that a screen gives; None where it must not give one."""
        self._last_grab_ns = grab.t_decoded_ns
        self.decode_errors += grab.damaged
        size_hw_px = grab.screen.hw_px
        if size_hw_px != self._size_hw_px:
            if self._size_hw_px is not None:
                width, height = size_hw_px[1], size_hw_px[0]
                self._set_signal(SignalState.CHANGED, f"the screen has {width} x {height} px now")
            self._size_hw_px = size_hw_px
            self._unsettle()
        if self._roi is None:
            if grab.damage_reason:
                self._set_signal(SignalState.DAMAGED, grab.damage_reason)
            else:
                self._settle(grab)
            return None
        verdict = self._watch.look(grab)
        if verdict.state is SignalState.LIVE:
            verdict = self._check_area(grab, verdict)
        self._set_signal(verdict.state, verdict.reason, verdict.since_ns)
        if verdict.state in (SignalState.LOST, SignalState.CHANGED):
            if verdict.state is SignalState.CHANGED and is_automatic(self._options):
                self._unsettle()  # where the crop is given, that picture is waited for
            return None
        if grab.damage_reason and verdict.state is SignalState.LIVE:
            verdict = dataclasses.replace(verdict, state=SignalState.DAMAGED, reason=grab.damage_reason)
        return self._frame(grab, verdict)

    def _settle(self, grab: Grab) -> None:
        """Find the scan area on a few screens, and let the watch learn what they look like."""
        if self._looks and grab.t_capture_ns - self._looks[-1].t_capture_ns < _LOOK_EVERY_NS:
            return
        if grab.t_capture_ns < self._search_again_ns:
            return
        self._looks.append(grab)
        if len(self._looks) < _LOOKS and is_automatic(self._options):
            return
        looks, self._looks = self._looks, []
        assert self._size_hw_px is not None
        try:
            screens = [look.screen.image for look in looks]
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
        """Once a second: is the picture still where it was?"""
        if self._check is None or grab.t_decoded_ns < self._next_check_ns:
            return verdict
        self._next_check_ns = grab.t_decoded_ns + _CHECK_EVERY_NS
        found = self._check.check(grab.screen)
        self._failed_checks = 0 if found.ok else self._failed_checks + 1
        if self._failed_checks < _ALARM_TIMES:
            return verdict
        return dataclasses.replace(verdict, state=SignalState.CHANGED, reason=found.reason, since_ns=grab.t_decoded_ns)

    def _unsettle(self) -> None:
        self._roi, self._check = None, None
        self._looks = []

    def _frame(self, grab: Grab, verdict: SignalVerdict) -> Frame:
        assert self._roi is not None
        options, geometry = self._options, self._options.geometry
        if geometry is not None and geometry.spacing_rc_mm is None:  # it knows the scan area alone
            geometry = None
        frame_id, self._next_id = self._next_id, self._next_id + 1
        image = grab.screen.cut(self._roi)
        return Frame(
            session_id=options.session_id,
            source_id=options.source_id,
            frame_id=frame_id,
            t_capture_ns=grab.t_capture_ns,
            image=image,
            roi_xyxy_px=self._roi,
            spacing_rc_mm=None if geometry is None else geometry.spacing_rc_mm,
            spacing_rel_sd=None if geometry is None else geometry.spacing_rel_sd,
            calibration_id=None if geometry is None else geometry.calibration_id,
            pts=grab.pts,
            time_base=grab.time_base if grab.pts is not None else None,
            t_decoded_ns=grab.t_decoded_ns,
            t_cropped_ns=self._clock.now_ns(),
            picture=verdict.state,
            picture_reason="" if verdict.state is SignalState.LIVE else verdict.reason,
        )

    def _describe(self, grab: Grab, roi: Roi) -> None:
        grabber = self._feed.input
        description = f"{self._kind} input" if grabber is None else grabber.description
        self._info = SourceInfo(
            description="; ".join((description, *(() if grabber is None else grabber.warnings))),
            image_hw_px=(roi[3] - roi[1], roi[2] - roi[0]),
            channels=1 if grab.screen.is_grey else 3,
            rate_hz=None if grabber is None else grabber.rate_hz,
            frame_count=self._options.count,
            roi_xyxy_px=roi,
            grab_hw_px=grab.screen.hw_px,
        )
        logger.info("scan area %s on a screen of %d x %d px", roi, *self._info.grab_hw_px[::-1])

    def _set_signal(self, state: SignalState, reason: str, since_ns: int | None = None) -> None:
        before = self._signal
        if (state, reason) != (before.state, before.reason) and state is not before.state:
            logger.info("the picture is %s%s", state, f": {reason}" if reason else "")
        since = since_ns if since_ns is not None else self._clock.now_ns()
        self._signal = Signal(
            state=state,
            reason=reason,
            t_since_ns=before.t_since_ns if state is before.state else since,
            t_last_grab_ns=self._last_grab_ns,
            reconnects=self._feed.reconnects,
            skipped=self._skipped,
        )
