"""Drawn screens with rulers, for tests."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

UInt8Array = npt.NDArray[np.uint8]

ROI = (160, 60, 480, 420)  # x1, y1, x2, y2


def speckle(seed: int = 0, hw_px: tuple[int, int] = (480, 640)) -> UInt8Array:
    """A dark screen with an image of speckle."""
    x1, y1, x2, y2 = ROI
    rng = np.random.default_rng(seed)
    screen = np.zeros(hw_px, np.uint8)
    noise = rng.rayleigh(40.0, (y2 - y1, x2 - x1)).clip(20, 255)
    screen[y1:y2, x1:x2] = cv2.GaussianBlur(noise, (0, 0), 1.2)
    return screen


def draw_ruler(
    screen: UInt8Array,
    step_px: float,
    *,
    x: int = 500,
    every: int = 1,
    figure_of: Callable[[int], str] | None = None,
    first_px: float = 60.0,
    last_px: float = 420.0,
    level: int = 220,
) -> None:
    """Draw ticks from `first_px` down to `last_px`; every so many are longer, and those may have figures."""
    number = 0
    while (y := round(first_px + number * step_px)) <= last_px:
        longer = every > 1 and number % every == 0
        screen[y : y + 2, x : x + (12 if longer else 6)] = level
        if figure_of is not None and (every == 1 or longer):
            cv2.putText(
                screen, figure_of(number), (x + 18, y + 7), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (level,), 1, cv2.LINE_AA
            )
        number += 1
