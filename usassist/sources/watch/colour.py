"""Detect colour in the image that is not the tint of its grey levels.

A tinted B-mode image (sepia, blue) gives every grey level one colour, nearly that of the level below. So the colour of
each level is learnt, and what differs strongly from it, in thick spots, is colour Doppler, power Doppler or
elastography. Where the bright levels are mostly flow, their colour is a step away from that of the dark ones, and is
not learnt. Calipers, guide lines and logos are thin or small. When most of the image changes colour at once, its levels
are learnt again first: the user has chosen another tint.

Not detected: colour mode while nothing flows and no colour is shown; colour on a grabber that delivers grey.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["Colour"]

UInt8Array = npt.NDArray[np.uint8]

_LEVELS = 32  # steps of luma for which a tint is kept
_FAR = 44  # levels between a colour and the tint of its luma
_STRONG = 40  # and at least so much between the strongest and the weakest channel
_STEEP = 32  # levels by which a tint may change from one step of luma to the next
_TINT_SHARE = 0.5  # of the lit samples: the tint itself was changed
_THICK = 3  # samples on a side of the smallest spot


class Colour:
    """Detects colour in samples of the scan area."""

    def __init__(self) -> None:
        self._tint: npt.NDArray[np.int16] | None = None

    def share(self, samples: UInt8Array) -> float:
        """Share of the samples that lie in spots of colour.

        Parameters
        ----------
        samples : uint8 (rows, columns, 3), or (rows, columns) where they have no colour
        """
        if samples.ndim == 2:
            self._tint = np.zeros((_LEVELS, 3), np.int16) if self._tint is None else self._tint
            return 0.0
        spread = _range(samples)
        if self._tint is None:
            self._tint = _tint_of(samples)
        if np.count_nonzero(spread > _STRONG) < 0.002 * spread.size:
            return 0.0
        spots, lit = self._spots(samples, spread, self._tint)
        if np.count_nonzero(spots) > _TINT_SHARE * max(lit, 1):
            other = _tint_of(samples)
            again, _ = self._spots(samples, spread, other)
            if np.count_nonzero(again) < 0.1 * np.count_nonzero(spots):
                self._tint, spots = other, again
        thick = cv2.morphologyEx(spots, cv2.MORPH_OPEN, np.ones((_THICK, _THICK), np.uint8))
        return float(np.count_nonzero(thick)) / thick.size

    @staticmethod
    def _spots(samples: UInt8Array, spread: UInt8Array, tint: npt.NDArray[np.int16]) -> tuple[UInt8Array, int]:
        luma = np.asarray(cv2.cvtColor(samples, cv2.COLOR_RGB2GRAY), np.uint8)
        far = spread > _STRONG
        if np.any(tint):
            away = np.asarray(samples[far].astype(np.int16) - tint[luma[far] >> 3])
            far[far] = away.max(axis=1) - away.min(axis=1) > _FAR
        return np.asarray(far, np.uint8), int(np.count_nonzero(luma > 24))


def _range(samples: UInt8Array) -> UInt8Array:
    """Strongest minus weakest channel."""
    red, green, blue = cv2.split(samples)
    most, least = cv2.max(cv2.max(red, green), blue), cv2.min(cv2.min(red, green), blue)
    return np.asarray(cv2.subtract(most, least), np.uint8)


def _tint_of(samples: UInt8Array) -> npt.NDArray[np.int16]:
    """Median of each channel minus the luma, for every step of luma; int16 (steps, 3).

    A step that differs too much from the last one that was learnt, and one with few pixels, has the tint of that one.
    """
    pixels = samples.reshape(-1, 3)
    luma = np.asarray(cv2.cvtColor(samples, cv2.COLOR_RGB2GRAY), np.uint8).ravel()
    away = pixels.astype(np.int16) - luma[:, None]
    tint = np.zeros((_LEVELS, 3), np.int16)
    empty_steps = 0
    for step in range(_LEVELS):
        before = tint[max(0, step - 1)]
        of_step = away[luma >> 3 == step]
        tint[step] = np.median(of_step, axis=0) if len(of_step) >= 8 else before
        if np.abs(tint[step] - before).max() > _STEEP * (1 + empty_steps):
            tint[step] = before
        empty_steps = 0 if len(of_step) >= 8 else empty_steps + 1
    return tint if np.abs(tint).max() > 6 else np.zeros_like(tint)
