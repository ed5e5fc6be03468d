"""Watch a live signal and judge its state: live, frozen, lost, changed, or not B-mode.

The watch gets whole grabbed screens and their times. It has no clock, no thread and no input of its own, so the same
grabs always give the same verdicts. The limits of each check are stated in its module: `motion` (frozen), `surround`
and `view` (changed, menus, two views), `colour`, `signal` (black, flat, snow).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from usassist.errors import UsageError
from usassist.records import SignalState
from usassist.sources.grab import Grab
from usassist.sources.screen import Screen
from usassist.sources.watch.clip_watch import COLOUR_REASON, MENU_REASON, SAMPLES
from usassist.sources.watch.colour import Colour
from usassist.sources.watch.motion import Motion, Movement
from usassist.sources.watch.profile import WatchProfile
from usassist.sources.watch.signal import why_no_signal
from usassist.sources.watch.surround import Surround
from usassist.sources.watch.verdict import DebouncedFault, SignalVerdict
from usassist.sources.watch.view import View, has_menu

__all__ = ["SignalVerdict", "SignalWatch", "WatchProfile"]

UInt8Array = npt.NDArray[np.uint8]
Roi = tuple[int, int, int, int]

_MARGIN = 0.1  # of the scan area's width that is sampled beside it
_MAX_NOISE = 3.0  # levels; a limit for the search for menus
_INTERVALS = 15  # over which the rate is estimated
# The first of these that is raised is the verdict.
_ORDER = ("damaged", "resolution", "signal", "menu", "views", "colour", "layout", "shape")
_STATES = {
    "damaged": SignalState.LOST,
    "resolution": SignalState.CHANGED,
    "signal": SignalState.LOST,
    "menu": SignalState.NOT_B_MODE,
    "views": SignalState.NOT_B_MODE,
    "colour": SignalState.NOT_B_MODE,
    "layout": SignalState.CHANGED,
    "shape": SignalState.CHANGED,
}


class SignalWatch:
    """Judges every grab of one live source.

    The verdict is ``lost`` until `set_reference` is called, and after a loss of signal until the image moves again.
    After `set_reference` it is ``live`` at once; a black or frozen start is reported after at most 0.5 s. For `learn_s`
    after `set_reference` the screen's own moving parts (clock, cursor) and the outline of the image are learnt;
    meanwhile a change of resolution, a lost or frozen signal, a menu and colour are reported, but no change of layout
    or depth.

    Parameters
    ----------
    profile : times and thresholds
    """

    def __init__(self, profile: WatchProfile | None = None) -> None:
        self._profile = profile or WatchProfile()
        self._verdict = SignalVerdict(state=SignalState.LOST, reason="no scan area has been found yet", since_ns=0)
        self._shape: tuple[int, ...] | None = None
        self._last_ns: int | None = None
        self._intervals: deque[int] = deque(maxlen=_INTERVALS)

    def set_reference(self, screen: Screen, roi_xyxy_px: Roi, t_ns: int) -> None:
        """Take a screen as the reference: at the start, and after a change was accepted.

        Parameters
        ----------
        screen : a whole grab
        roi_xyxy_px : the scan area on it, px
        t_ns : its time, monotonic ns

        Raises
        ------
        UsageError
            If the scan area does not lie on the screen.
        """
        height, width = screen.hw_px
        x1, y1, x2, y2 = roi_xyxy_px
        if not (0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height):
            raise UsageError(
                f"watch: the scan area {roi_xyxy_px} does not lie on a screen of {width} x {height} px; search it again"
            )
        profile = self._profile
        self._shape = screen.hw_px
        self._step = step = max(1, max(x2 - x1, y2 - y1) // SAMPLES)
        before = round(_MARGIN * (x2 - x1) / step)
        left, right = min(before, x1 // step), min(before, (width - x2) // step)
        below = min(before, (height - y2) // step)
        self._window = np.s_[y1 : y2 + below * step : step, x1 - left * step : x2 + right * step : step]
        self._colour_window = np.s_[y1:y2:step, x1:x2:step]
        rows, columns = -(-(y2 - y1) // step), -(-(x2 - x1) // step)
        self._box = (0, rows, left, left + columns)
        samples = screen.grey(self._window)
        inside = np.zeros(samples.shape, np.bool_)
        inside[self._in_box()] = True
        self._background = _background(screen, roi_xyxy_px)
        self._motion = Motion(profile, inside, self._background)
        self._view = View(profile, self._box, self._background)
        self._surround = Surround(profile, screen, roi_xyxy_px)
        self._colour = Colour()
        self._faults = {name: DebouncedFault(profile.confirm_s, profile.clear_s) for name in _ORDER}
        self._faults["colour"] = DebouncedFault(profile.confirm_s, profile.colour_clear_s)
        self._had_menu = has_menu(samples[self._in_box()], None, self._background, profile.menu_share)
        self._until_ns = t_ns + round(profile.learn_s * 1e9)
        self._learning = True
        self._last_run_ns: dict[Callable[[Screen, UInt8Array, int], None], int] = {
            check: t_ns for check in (self._check_surround, self._check_view, self._check_content)
        }
        self._blank: str | None = None
        self._before: UInt8Array | None = None
        self._sum: int | None = None
        self._settled_ns = t_ns
        self._verdict = SignalVerdict(state=SignalState.LIVE, reason="", since_ns=t_ns)

    def judge(self, grab: Grab) -> SignalVerdict:
        """Judge a grab; the verdict is valid for this grab."""
        t_ns = grab.t_capture_ns
        self._note_time(grab)
        if self._shape is None:
            return self._verdict
        faults = self._faults
        faults["damaged"].update("the frames arrive damaged" if grab.damaged else None, t_ns)
        screen = grab.screen
        same_size = screen.hw_px == self._shape
        height, width = screen.hw_px
        faults["resolution"].update(None if same_size else f"the screen now has {width} x {height} px", t_ns)
        movement: Movement = "unknown"
        if same_size and not grab.damaged:
            samples = screen.grey(self._window)
            movement = self._motion.add(samples, self._surround.restlessness(screen), t_ns)
            self._run_checks(screen, samples, t_ns)
        elif not same_size:
            self._motion.restart()
        self._verdict = self._conclude(movement, screen, t_ns)
        return self._verdict

    def judge_silence(self, now_ns: int) -> SignalVerdict:
        """Judge that no grab has arrived; call it about every 50 ms while none arrives."""
        if self._last_ns is None or self._shape is None:
            return self._verdict
        if now_ns - self._last_ns > self._silence_timeout_ns() and self._verdict.reason != _SILENT:
            self._verdict = SignalVerdict(state=SignalState.LOST, reason=_SILENT, since_ns=self._last_ns)
            self._motion.restart()
            self._intervals.clear()
        return self._verdict

    def _note_time(self, grab: Grab) -> None:
        now_ns = max(grab.t_capture_ns, grab.t_decoded_ns)
        if self._last_ns is not None and self._shape is not None:
            self.judge_silence(now_ns)
            if self._verdict.reason != _SILENT:
                self._intervals.append(max(1, now_ns - self._last_ns))
        self._last_ns = now_ns

    def _silence_timeout_ns(self) -> int:
        profile = self._profile
        period_s = 1.0 / profile.rate_hz if profile.rate_hz else 0.0
        if not period_s and self._intervals:
            period_s = sorted(self._intervals)[len(self._intervals) // 2] / 1e9
        return round(min(max(3.0 * period_s, profile.silence_s), profile.silence_most_s) * 1e9)

    def _in_box(self) -> tuple[slice, slice]:
        top, bottom, left, right = self._box
        return slice(top, bottom), slice(left, right)

    def _run_checks(self, screen: Screen, samples: UInt8Array, t_ns: int) -> None:
        """Run the checks other than motion: the one that has waited longest, and every one that is overdue."""
        done = False
        for check in sorted(self._last_run_ns, key=self._last_run_ns.__getitem__):
            if done and t_ns - self._last_run_ns[check] < round(self._profile.slow_s * 1e9):
                break
            self._last_run_ns[check] = t_ns
            check(screen, samples, t_ns)
            done = True
        self._before = samples

    def _check_surround(self, screen: Screen, samples: UInt8Array, t_ns: int) -> None:
        faults = self._faults
        lost = self._surround.lost_share(screen)
        self._blank = why_no_signal(screen, self._background, lost is not None and lost < 0.5)
        faults["signal"].update(self._blank, t_ns)
        if self._blank is not None:
            return
        if self._learning:
            self._surround.learn(screen)
            if t_ns >= self._until_ns:
                self._view.end_learning()
                self._surround.end_learning()
                self._learning = False
        else:
            faults["layout"].update(self._surround.problem(screen, lost), t_ns)

    def _check_view(self, screen: Screen, samples: UInt8Array, t_ns: int) -> None:
        if self._blank is not None:
            return
        if self._learning:
            self._view.learn(samples)
        else:
            wrong, shape = self._view.check(samples)
            self._faults["views"].update(wrong, t_ns)
            self._faults["shape"].update(shape, t_ns)

    def _check_content(self, screen: Screen, samples: UInt8Array, t_ns: int) -> None:
        profile = self._profile
        inner = np.ascontiguousarray(samples[self._in_box()])
        before, noise = self._before, min(self._motion.noise, _MAX_NOISE)
        still = (
            None
            if before is None
            else cv2.absdiff(inner, np.ascontiguousarray(before[self._in_box()])) <= 2 + 3 * noise
        )
        menu = not self._had_menu and has_menu(inner, still, self._background, profile.menu_share, noise)
        self._faults["menu"].update(MENU_REASON if menu else None, t_ns)
        if not screen.is_grey:
            colours = screen.colours(self._colour_window)
            share = self._colour.share(inner if colours is None else colours)
            coloured = share >= profile.colour_share and not menu
            self._faults["colour"].update(COLOUR_REASON if coloured else None, t_ns)

    def _conclude(self, movement: Movement, screen: Screen, t_ns: int) -> SignalVerdict:
        old = self._verdict
        for name in _ORDER:
            fault = self._faults[name]
            if fault.raised:
                self._sum = None
                state = _STATES[name]
                since_ns = old.since_ns if old.state is state else fault.since_ns
                return SignalVerdict(state=state, reason=fault.reason, since_ns=since_ns)
        if movement == "still":
            begun_ns = self._motion.still_since_ns
            if old.state is SignalState.FROZEN:
                begun_ns = old.since_ns
            since_ns = t_ns if begun_ns is None else begun_ns
            return SignalVerdict(state=SignalState.FROZEN, reason=self._still_reason(screen), since_ns=since_ns)
        self._sum = None
        if movement == "moving" and old.state is not SignalState.LIVE:
            return SignalVerdict(state=SignalState.LIVE, reason="", since_ns=t_ns)
        if movement == "unknown" and old.state in (SignalState.CHANGED, SignalState.NOT_B_MODE):
            return SignalVerdict(state=SignalState.LIVE, reason="", since_ns=t_ns)
        return old

    def _still_reason(self, screen: Screen) -> str:
        """Distinguish a grabber that repeats a frame from a frozen scanner, as far as the last two grabs show it."""
        if not self._motion.is_exact:
            self._sum = None
            return _FROZEN
        flat = np.ascontiguousarray(screen.raw).reshape(-1)
        total = int(flat[: flat.size // 8 * 8].view(np.uint64).sum(dtype=np.uint64))
        repeats = self._sum in (None, total)
        self._sum = total
        return _REPEATED if repeats and self._verdict.reason != _FROZEN else _FROZEN


_SILENT = "no frames arrive"
_FROZEN = "the image does not move: the scanner is frozen"
_REPEATED = "the same screen is repeated bit for bit: the grabber repeats it, or the scanner and its clock are frozen"


def _background(screen: Screen, roi_xyxy_px: Roi) -> int:
    """The most frequent grey level outside the scan area, or the darkest level where nothing lies outside."""
    x1, y1, x2, y2 = roi_xyxy_px
    grey = screen.grey()
    outside = np.ones(grey.shape, np.bool_)
    outside[y1:y2, x1:x2] = False
    if np.count_nonzero(outside) < 0.02 * grey.size:
        return int(np.percentile(grey[::4, ::4], 1))
    count = np.bincount(grey[outside], minlength=256)
    return int(np.argmax(count))
