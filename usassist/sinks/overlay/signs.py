"""A sign for each state, so that states differ by their form as well as by word and colour."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from usassist.sinks.overlay.text import PAPER, Color

__all__ = ["SIGNS", "draw_sign"]

UInt8Array = npt.NDArray[np.uint8]
Line = tuple[tuple[float, float], ...]

# Of each sign: lines through points x, y of a square from -1 to 1; y grows downwards.
SIGNS: dict[str, tuple[Line, ...]] = {
    "finding": (
        ((-0.3, -0.9), (0.5, -0.8), (0.9, -0.1), (0.6, 0.7), (-0.2, 0.9), (-0.9, 0.4), (-0.8, -0.4), (-0.3, -0.9)),
    ),
    "no_finding": (((-0.9, 0.0), (0.9, 0.0)),),
    "no_result": (((-0.8, -0.8), (0.8, 0.8)), ((-0.8, 0.8), (0.8, -0.8))),
    "stale": (
        (
            (-0.4, -0.95),
            (0.4, -0.95),
            (0.95, -0.4),
            (0.95, 0.4),
            (0.4, 0.95),
            (-0.4, 0.95),
            (-0.95, 0.4),
            (-0.95, -0.4),
            (-0.4, -0.95),
        ),
        ((0.0, -0.5), (0.0, 0.05), (0.4, 0.3)),
    ),
    "frozen": (((-0.45, -0.9), (-0.45, 0.9)), ((0.45, -0.9), (0.45, 0.9))),
    "lost": (
        ((-0.75, 0.45), (-0.75, 0.85)),
        ((0.0, -0.1), (0.0, 0.85)),
        ((0.75, -0.75), (0.75, 0.85)),
        ((-0.95, -0.85), (0.95, 0.95)),
    ),
    "changed": (((-0.9, -0.35), (0.9, -0.35)), ((-0.9, 0.35), (0.9, 0.35)), ((-0.5, 0.9), (0.5, -0.9))),
    "not_b_mode": (
        ((-0.5, 0.9), (-0.5, -0.9), (0.2, -0.9), (0.5, -0.6), (0.5, -0.3), (0.2, 0.0), (-0.5, 0.0)),
        ((0.2, 0.0), (0.55, 0.3), (0.55, 0.6), (0.2, 0.9), (-0.5, 0.9)),
        ((-0.95, 0.95), (0.95, -0.95)),
    ),
    "damaged": (((0.3, -0.9), (-0.4, 0.1), (0.4, -0.1), (-0.3, 0.9)),),
    "abstains": (
        ((-0.55, -0.5), (-0.3, -0.85), (0.25, -0.85), (0.55, -0.5), (0.5, -0.15), (0.0, 0.15), (0.0, 0.45)),
        ((0.0, 0.85), (0.0, 0.9)),
    ),
    "waiting": (((-0.7, -0.9), (0.7, -0.9), (-0.7, 0.9), (0.7, 0.9), (-0.7, -0.9)),),
    "over": (((-0.75, -0.75), (0.75, -0.75), (0.75, 0.75), (-0.75, 0.75), (-0.75, -0.75)),),
    "held": (
        ((-0.45, -0.9), (-0.45, 0.9)),
        ((0.45, -0.9), (0.45, 0.9)),
        ((-0.95, -0.95), (-0.95, 0.95)),
        ((0.95, -0.95), (0.95, 0.95)),
    ),
}
_SHARE = 0.27  # half of a sign, of the height of its place
_BITS = 4


def draw_sign(place: UInt8Array, word: str, color: Color) -> None:
    """Draw a sign, dark on its colour.

    Parameters
    ----------
    place : uint8 (H, W, 3), RGB; all of it is drawn
    word : of :data:`SIGNS`
    color : of the state, RGB
    """
    height, width = place.shape[:2]
    drawn = np.full((height, width, 3), color, np.uint8)
    half = _SHARE * min(height, width)
    for line in SIGNS[word]:
        points = (np.array(line) * half + (width / 2 - 0.5, height / 2 - 0.5)) * (1 << _BITS)
        cv2.polylines(
            drawn, [np.round(points).astype(np.int32)], False, PAPER, max(1, round(height / 11)), cv2.LINE_AA, _BITS
        )
    np.copyto(place, drawn)
