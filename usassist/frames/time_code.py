"""A picture that says when it was made, for measuring how long it takes until it is captured.

A white plate with a black border holds 8 x 6 cells, row by row from the top left: 32 bits of a time in ms, then the
CRC-16 of those. A picture of which only a part was renewed has a wrong CRC and is not read.
"""

from __future__ import annotations

import binascii
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["CodeReader", "draw_code", "elapsed_ms"]

UInt8Array = npt.NDArray[np.uint8]
Corners = npt.NDArray[np.float32]

_COLUMNS, _ROWS = 8, 6
_TIME_BITS, _CRC_BITS = 32, 16
_WRAP_MS = 1 << _TIME_BITS
_LEAST_SHARE = 0.004  # of the screen's area, that the plate covers
_LEAST_CONTRAST = 60
_CANDIDATES = 12
_SIDE_PX = 480  # longer side of the screen in which the code is looked for


def draw_code(t_ms: int, hw_px: tuple[int, int]) -> UInt8Array:
    """Draw a time.

    Parameters
    ----------
    t_ms : monotonic time, ms; kept modulo 2**32
    hw_px : height and width of the picture, at least 80 x 100

    Returns
    -------
    picture : uint8 (H, W)
    """
    height, width = hw_px
    cell = min(height // (_ROWS + 6), width // (_COLUMNS + 6))
    picture = np.zeros(hw_px, np.uint8)
    top, left = (height - (_ROWS + 4) * cell) // 2, (width - (_COLUMNS + 4) * cell) // 2
    picture[top : top + (_ROWS + 4) * cell, left : left + (_COLUMNS + 4) * cell] = 255
    top, left = top + cell, left + cell
    picture[top : top + (_ROWS + 2) * cell, left : left + (_COLUMNS + 2) * cell] = 0
    cells = _bits(t_ms % _WRAP_MS).reshape(_ROWS, _COLUMNS)
    shown = np.kron(cells, np.full((cell, cell), 255, np.uint8))
    picture[top + cell : top + cell + shown.shape[0], left + cell : left + cell + shown.shape[1]] = shown
    return picture


def elapsed_ms(from_ms: int, to_ms: float) -> float:
    """Time from a code to a later moment, ms, whatever the code has lost by being modulo 2**32."""
    difference = (to_ms - from_ms) % _WRAP_MS
    return difference - _WRAP_MS if difference > _WRAP_MS / 2 else difference


class CodeReader:
    """Reads the codes of one stream of screens; remembers where on the screen the code stands."""

    def __init__(self) -> None:
        self._corners: Corners | None = None

    def read(self, grey: UInt8Array) -> int | None:
        """The time of a screen, ms modulo 2**32; None where none can be read.

        Parameters
        ----------
        grey : uint8 (H, W), luma of the whole screen
        """
        share = _SIDE_PX / max(grey.shape)
        if share < 1.0:  # quick on any screen, also on one of noise
            grey = np.asarray(cv2.resize(grey, None, fx=share, fy=share, interpolation=cv2.INTER_AREA), np.uint8)
        if self._corners is not None:
            found = _decode(grey, self._corners)
            if found is not None:
                return found
        for corners in _candidates(grey):
            found = _decode(grey, corners)
            if found is not None:
                self._corners = corners
                return found
        return None


@lru_cache(maxsize=8)
def _bits(t_ms: int) -> UInt8Array:
    data = t_ms.to_bytes(_TIME_BITS // 8, "big")
    data += binascii.crc_hqx(data, 0xFFFF).to_bytes(_CRC_BITS // 8, "big")
    return np.unpackbits(np.frombuffer(data, np.uint8))


def _candidates(grey: UInt8Array) -> list[Corners]:
    """Corners of black rectangles inside bright ones, the largest first; upright, from the top left clockwise."""
    low, high = float(grey.min()), float(grey.max())
    if high - low < _LEAST_CONTRAST:
        return []
    dark = np.asarray(grey < (low + high) / 2, np.uint8)
    contours, _ = cv2.findContours(dark, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    least = _LEAST_SHARE * grey.size
    large = sorted((item for item in contours if cv2.contourArea(item) >= least), key=cv2.contourArea, reverse=True)
    found: list[Corners] = []
    for contour in large[:_CANDIDATES]:
        corners = cv2.approxPolyDP(contour, 0.03 * cv2.arcLength(contour, closed=True), closed=True)
        if len(corners) != 4:
            continue
        points = corners.reshape(4, 2).astype(np.float32)
        by_row = points[np.argsort(points[:, 1])]
        upper, lower = by_row[:2], by_row[2:]
        upper, lower = upper[np.argsort(upper[:, 0])], lower[np.argsort(lower[:, 0])]
        found.append(np.array([upper[0], upper[1], lower[1], lower[0]], np.float32))
    return found


def _decode(grey: UInt8Array, corners: Corners) -> int | None:
    columns, rows = _COLUMNS + 2, _ROWS + 2
    plate = np.array([[0, 0], [columns, 0], [columns, rows], [0, rows]], np.float32)
    centres = np.stack(np.meshgrid(np.arange(columns) + 0.5, np.arange(rows) + 0.5), axis=-1).astype(np.float32)
    placed = cv2.perspectiveTransform(centres.reshape(1, -1, 2), cv2.getPerspectiveTransform(plate, corners))
    at = np.round(placed.reshape(-1, 2)).astype(np.intp)
    at[:, 0], at[:, 1] = at[:, 0].clip(0, grey.shape[1] - 1), at[:, 1].clip(0, grey.shape[0] - 1)
    levels = grey[at[:, 1], at[:, 0]].reshape(rows, columns).astype(np.float64)
    if np.ptp(levels) < _LEAST_CONTRAST:
        return None
    bits = np.asarray(levels[1:-1, 1:-1] > (levels.min() + levels.max()) / 2, np.uint8).reshape(-1)
    data = np.packbits(bits).tobytes()
    if binascii.crc_hqx(data[:4], 0xFFFF) != int.from_bytes(data[4:], "big"):
        return None
    return int.from_bytes(data[:4], "big")
