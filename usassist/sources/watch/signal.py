"""Detect a screen without a signal: black, one flat colour, or snow."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from usassist.sources.screen import Screen

__all__ = ["why_no_signal"]

UInt8Array = npt.NDArray[np.uint8]

_BLACK = 20  # a screen whose brightest parts are darker than this is black
_BRIGHT_SHARE = 0.002  # of a black screen: its brightest parts
_ONE_COLOUR = 0.97  # share of the screen in one colour
_OTHER_COLOUR = 0.85  # the same where the colour is not that of the bare screen
_DARK = 40  # a dark screen with a few bright echoes may be all that a probe in water shows
_NEAR = 10  # levels within which colours are one
_SNOW_LEVELS = 14.0  # minimum standard deviation of snow in every part of the screen
_SNOW_ROUGH = 0.5  # snow changes from pixel to pixel by this share of the difference between unrelated pixels


def why_no_signal(screen: Screen, background: int, marks_stand: bool) -> str | None:
    """Why a screen shows no signal; None when it may show one.

    Parameters
    ----------
    screen : to check
    background : grey level of the bare screen of the reference
    marks_stand : True when the screen's own marks are where they were: then it is the scanner's screen
    """
    step = max(1, screen.hw_px[0] // 80)
    window = np.s_[step // 2 :: step, step // 2 :: step]
    grey = screen.grey(window)
    level = max(_BLACK, background + _BLACK // 2 if background < 64 else 0)
    colours = None
    if _bright_share(grey, level) <= 3 * _BRIGHT_SHARE:  # else at least one of three channels is as bright there
        colours = screen.colours(window)
        if _bright_share(grey if colours is None else colours, level) <= _BRIGHT_SHARE:
            return "the screen is black"
    if _is_snow(screen):
        return "the screen shows snow: the grabber has no signal"
    if marks_stand:
        return None
    level = int(np.argmax(np.bincount(grey.ravel(), minlength=256)))
    share = float(np.count_nonzero(np.abs(grey.astype(np.int16) - level) <= _NEAR)) / grey.size
    colours = screen.colours(window) if colours is None else colours
    foreign = abs(level - background) > 2 * _NEAR or _is_tinted(grey if colours is None else colours, grey, level)
    if share >= (_OTHER_COLOUR if foreign else _ONE_COLOUR if level > _DARK else 2.0):
        return "the screen shows one flat colour: the grabber has no signal"
    return None


def _bright_share(small: UInt8Array, level: int) -> float:
    return float(np.count_nonzero(cv2.threshold(small, level, 1, cv2.THRESH_BINARY)[1])) / small.size


def _is_tinted(small: UInt8Array, grey: UInt8Array, level: int) -> bool:
    """True when the commonest brightness belongs to a strong colour: a blue screen is dark."""
    if small.ndim == 2:
        return False
    common = small[np.abs(grey.astype(np.int16) - level) <= _NEAR]
    colour = np.median(common, axis=0)
    return bool(colour.max() - colour.min() > 40)


def _is_snow(screen: Screen) -> bool:
    """True when neighbouring pixels are unrelated, all over the screen."""
    for part in (0.07, 0.3, 0.5, 0.7, 0.93):
        row = round(screen.hw_px[0] * part)
        for piece in np.array_split(screen.grey(np.s_[row : row + 4, :]).astype(np.float32), 4, axis=1):
            spread = float(piece.std())
            if spread < _SNOW_LEVELS:
                return False
            # an analogue signal is smooth along its lines, but not from line to line
            step = max(float(np.mean(np.abs(np.diff(piece, axis=axis)))) for axis in (0, 1))
            if step < _SNOW_ROUGH * 1.128 * spread:
                return False
    return True
