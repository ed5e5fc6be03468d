"""Watch the images of a recording: colour modes and menus, which get no answer, as on a live signal.

A frozen or cut image is no fault of a recording, and its layout may change where it was edited; so of the checks of a
live signal only those of the content are made, in the image that was cut out. Colour is reported on its first frame,
because a recording has no glitches of a grabber; a menu when it has lasted, because a flash or a fade can be flat.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from usassist.records import SignalState
from usassist.sources.watch.colour import Colour
from usassist.sources.watch.profile import WatchProfile
from usassist.sources.watch.verdict import DebouncedFault
from usassist.sources.watch.view import has_menu

__all__ = ["COLOUR_REASON", "MENU_REASON", "SAMPLES", "ClipWatch"]

UInt8Array = npt.NDArray[np.uint8]

COLOUR_REASON = "the image shows colour: colour Doppler or another mode"
MENU_REASON = "a menu or a dialog covers the image"
_LEAST = 8  # samples on a side; on fewer no menu can be told
_DARK = 28  # levels: tissue that returns little is as flat as a menu, and hardly above the bare screen
_STILL = 2  # levels by which a menu may change from image to image
SAMPLES = 168  # along the longer side of the scan area, about


class ClipWatch:
    """Judges the images of one recording, in order. It has no clock: the same images give the same states.

    Parameters
    ----------
    profile : thresholds, and how long colour is held, because it comes and goes with the pulse
    separate : each image is a still of its own: no tint is learnt from the others, and nothing depends on time;
        menus are not looked for, because only one that comes and stays can be told from tissue
    """

    def __init__(self, profile: WatchProfile | None = None, *, separate: bool = False) -> None:
        self._profile = profile or WatchProfile()
        self._separate = separate
        self._colour = Colour()
        self._colour_until_ns = -1
        self._menu = DebouncedFault(self._profile.confirm_s, self._profile.clear_s)
        self._had_menu: bool | None = None
        self._darkest: int | None = None
        self._before: UInt8Array | None = None

    def judge(self, image: UInt8Array, t_ns: int) -> tuple[SignalState, str]:
        """State of an image, live or ``not_b_mode``, and why it is not live.

        Parameters
        ----------
        image : uint8 (H, W) or (H, W, 3) RGB, cut to the scan area
        t_ns : its time in the recording; never falls
        """
        step = max(1, max(image.shape[:2]) // SAMPLES)
        samples = np.ascontiguousarray(image[::step, ::step])
        if self._has_menu(samples, t_ns):
            return SignalState.NOT_B_MODE, MENU_REASON
        if self._has_colour(samples, t_ns):
            return SignalState.NOT_B_MODE, COLOUR_REASON
        return SignalState.LIVE, ""

    def _has_menu(self, samples: UInt8Array, t_ns: int) -> bool:
        """A menu that is there from the first image on belongs to what was cut out, and is none."""
        if self._separate or min(samples.shape[:2]) < _LEAST:
            return False
        grey = samples if samples.ndim == 2 else np.asarray(cv2.cvtColor(samples, cv2.COLOR_RGB2GRAY), np.uint8)
        before, self._before = self._before, grey
        still = None if before is None or before.shape != grey.shape else cv2.absdiff(grey, before) <= _STILL
        if self._darkest is None:
            self._darkest = int(np.percentile(grey, 1)) + _DARK
        menu = has_menu(grey, still, self._darkest, self._profile.menu_share)
        if self._had_menu is None:
            self._had_menu = menu
        self._menu.update(MENU_REASON if menu and not self._had_menu else None, t_ns)
        return self._menu.raised

    def _has_colour(self, samples: UInt8Array, t_ns: int) -> bool:
        if samples.ndim == 3:
            colour = Colour() if self._separate else self._colour
            if colour.share(samples) >= self._profile.colour_share:
                self._colour_until_ns = t_ns + round(self._profile.colour_clear_s * 1e9)
                return True
        return not self._separate and t_ns < self._colour_until_ns
