"""Screens of the fault player: layouts, overlays, and screens without a signal."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from usassist.phantom.beam import BeamGrid
from usassist.phantom.config import PhantomConfig, as_float32, rng_of
from usassist.phantom.screen import ScreenPainter, scan_box

__all__ = [
    "ScreenLayout",
    "draw_colour_box",
    "draw_menu",
    "draw_no_signal",
    "make_dual_layout",
    "make_layout",
    "make_snow",
    "make_zoom_layout",
    "tear",
]

UInt8Array = npt.NDArray[np.uint8]
_TOWARDS, _AWAY = (235, 60, 20), (30, 80, 235)


class ScreenLayout:
    """One layout of the screen.

    Parameters
    ----------
    painter : draws the screen around the image
    place : rendered scan image, uint8 (h, w) → image in this layout, of the size of the box

    Attributes
    ----------
    box_xyxy_px : position of the image on the screen
    """

    def __init__(self, painter: ScreenPainter, place: Callable[[UInt8Array], UInt8Array]) -> None:
        self._painter, self._place = painter, place
        self.box_xyxy_px = painter.scan_xyxy_px
        self._second, self._empty = -1, np.zeros((0, 0, 3), np.uint8)

    def paint(self, scan: UInt8Array, t_s: float) -> UInt8Array:
        """The whole screen with the clock at `t_s`, uint8 (H, W, 3), RGB."""
        x1, y1, x2, y2 = self.box_xyxy_px
        if int(t_s) != self._second:  # the screen around the image changes once a second
            self._second = int(t_s)
            self._empty = self._painter.paint(np.zeros((y2 - y1, x2 - x1), np.uint8), float(self._second))
        screen = self._empty.copy()
        screen[y1:y2, x1:x2] = cv2.cvtColor(self._place(scan), cv2.COLOR_GRAY2RGB)
        return screen


def make_layout(config: PhantomConfig) -> ScreenLayout:
    """The layout and screen size of a config, the image scaled to fit."""
    grid = _grid(config)
    painter = ScreenPainter(config, grid.image_hw_px, grid.mm_per_px, grid.extent_xzxz_mm[1])
    return ScreenLayout(painter, lambda scan: _fit(scan, grid.image_hw_px))


def make_zoom_layout(config: PhantomConfig, factor: float) -> ScreenLayout:
    """The middle of the image from the skin downwards, magnified, with a matching ruler."""
    grid = _grid(config)
    painter = ScreenPainter(config, grid.image_hw_px, grid.mm_per_px / factor, grid.extent_xzxz_mm[1])

    def place(scan: UInt8Array) -> UInt8Array:
        height, width = (round(size / factor) for size in scan.shape)
        left = (scan.shape[1] - width) // 2
        return _fit(scan[:height, left : left + width], grid.image_hw_px)

    return ScreenLayout(painter, place)


def make_dual_layout(config: PhantomConfig, other: UInt8Array) -> ScreenLayout:
    """Two views side by side: the live one on the left, and `other`, which is static, on the right."""
    x1, y1, x2, y2 = scan_box(config)
    gap = 8
    half = (x2 - x1 - gap) // 2
    height, width = other.shape
    scale = min(half / width, (y2 - y1) / height)
    size = (round(height * scale), round(width * scale))
    grid = _grid(config)
    mm_per_px = grid.mm_per_px * grid.image_hw_px[0] / size[0]
    painter = ScreenPainter(config, (size[0], 2 * size[1] + gap), mm_per_px, grid.extent_xzxz_mm[1])
    right = _fit(other, size)

    def place(scan: UInt8Array) -> UInt8Array:
        between = np.zeros((size[0], gap), np.uint8)
        between[:, gap // 2] = 90
        return np.hstack([_fit(scan, size), between, right])

    return ScreenLayout(painter, place)


def draw_colour_box(screen: UInt8Array, box_xyxy_px: tuple[int, int, int, int], t_s: float) -> None:
    """Draw colour Doppler over the image, in place: a box, colour on dark pixels inside it, and a colour scale."""
    x1, y1, x2, y2 = box_xyxy_px
    left, right = x1 + (x2 - x1) // 5, x2 - (x2 - x1) // 4
    top, bottom = y1 + (y2 - y1) // 6, y1 + 2 * (y2 - y1) // 3
    part = screen[top:bottom, left:right]
    grey = cv2.blur(np.ascontiguousarray(part[:, :, 1]), (9, 9)).astype(np.float32)
    flow = np.clip((np.percentile(grey, 18) - grey) / 8.0, 0.0, 1.0)
    flow *= np.float32(0.6 + 0.4 * np.sin(2 * np.pi * 1.1 * t_s))
    towards = np.arange(part.shape[1])[None, :] < part.shape[1] * 0.55
    colour = np.where(towards[:, :, None], np.array(_TOWARDS, np.float32), np.array(_AWAY, np.float32))
    part[:] = (part * (1.0 - flow[:, :, None]) + colour * flow[:, :, None]).astype(np.uint8)
    cv2.rectangle(screen, (left, top), (right, bottom), (80, 220, 90), 2)
    rows = np.linspace(1.0, -1.0, max((y2 - y1) // 4, 8), dtype=np.float32)[:, None]
    scale = np.hstack([np.clip(rows, 0, 1) * 235, np.abs(rows) ** 3 * 160, np.clip(-rows, 0, 1) * 235])
    at = min(x2 + 34, screen.shape[1] - 12)
    screen[y1 : y1 + len(scale), at : at + 11] = scale.astype(np.uint8)[:, None, :]


def draw_menu(screen: UInt8Array, box_xyxy_px: tuple[int, int, int, int]) -> None:
    """Draw a dialog over the middle of the image, in place."""
    x1, y1, x2, y2 = box_xyxy_px
    left, right = x1 + (x2 - x1) // 6, x2 - (x2 - x1) // 6
    top, bottom = y1 + (y2 - y1) // 5, y2 - (y2 - y1) // 4
    unit = screen.shape[0] / 720.0
    cv2.rectangle(screen, (left, top), (right, bottom), (58, 62, 70), -1)
    cv2.rectangle(screen, (left, top), (right, round(top + 30 * unit)), (40, 80, 130), -1)
    cv2.rectangle(screen, (left, top), (right, bottom), (150, 156, 165), max(1, round(unit)))
    rows = ("Preset: Thyroid", "Preset: Carotid", "Preset: Breast", "Preset: MSK", "Measure...", "Annotate...")
    for index, text in enumerate(("Select preset", *rows)):
        at = (round(left + 14 * unit), round(top + (21 + 36 * index) * unit))
        if at[1] < bottom - 10 * unit:
            cv2.putText(screen, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.55 * unit, (228, 230, 234), 1, cv2.LINE_AA)


def draw_no_signal(hw_px: tuple[int, int], text: str) -> UInt8Array:
    """The blue screen that a grabber outputs when its input has no signal, uint8 (H, W, 3), RGB."""
    height, width = hw_px
    screen: UInt8Array = np.empty((height, width, 3), np.uint8)
    screen[:] = (16, 24, 168)
    scale = height / 720.0 * 1.6
    (wide, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 2)
    at = ((width - wide) // 2, height // 2)
    cv2.putText(screen, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, (235, 235, 235), 2, cv2.LINE_AA)
    return screen


def tear(screen: UInt8Array) -> UInt8Array:
    """A torn screen: its lower part is shifted sideways."""
    out = screen.copy()
    row = round(screen.shape[0] * 0.45)
    out[row:] = np.roll(screen[row:], screen.shape[1] // 3, axis=1)
    return out


def make_snow(seed: int, hw_px: tuple[int, int]) -> UInt8Array:
    """Analogue snow in grey, smoothed horizontally, uint8 (H + 64, W + 64)."""
    rng = rng_of(seed, 0x5A0)
    white = rng.normal(size=(hw_px[0] + 64, hw_px[1] + 64)).astype(np.float32)
    wide = as_float32(cv2.GaussianBlur(white, (0, 0), sigmaX=1.1, sigmaY=0.1))
    return np.asarray(np.clip(118.0 + 62.0 * wide / wide.std(), 0, 255), np.uint8)


def _grid(config: PhantomConfig) -> BeamGrid:
    x1, y1, x2, y2 = scan_box(config)
    return BeamGrid(config, config.scan_hw_px or (y2 - y1, x2 - x1))


def _fit(scan: UInt8Array, hw_px: tuple[int, int]) -> UInt8Array:
    if scan.shape == hw_px:
        return scan
    return np.asarray(cv2.resize(scan, hw_px[::-1], interpolation=cv2.INTER_LINEAR), np.uint8)
