"""The scanner's screen around the scan image: ruler, grey bar, settings, and a fictitious patient banner."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from usassist.phantom.config import PhantomConfig, rng_of

__all__ = ["ScreenPainter", "draw_calipers", "scan_box"]

UInt8Array = npt.NDArray[np.uint8]

_WHITE, _GREY, _DIM = (225, 228, 232), (150, 156, 165), (95, 100, 110)
_ACCENTS = ((235, 200, 90), (120, 200, 235), (150, 220, 160), (225, 228, 232))
# free area for the scan image: left, top, right, bottom relative to the screen
_AREAS = {
    "wide": (0.17, 0.105, 0.83, 0.955),
    "left_panel": (0.25, 0.09, 0.93, 0.96),
    "compact": (0.06, 0.085, 0.82, 0.97),
    "bare": (0.05, 0.04, 0.93, 0.965),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pen:
    """Draws text of one height on one canvas."""

    canvas: UInt8Array
    scale: float

    def text(self, at: tuple[float, float], text: str, color: tuple[int, int, int] = _WHITE, size: float = 1.0) -> None:
        scale = self.scale * size
        thickness = 1 if scale < 0.75 else 2
        cv2.putText(
            self.canvas, text, (int(at[0]), int(at[1])), cv2.FONT_HERSHEY_SIMPLEX, scale, color, thickness, cv2.LINE_AA
        )

    def width(self, text: str, size: float = 1.0) -> int:
        return int(cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, self.scale * size, 1)[0][0])


def scan_box(config: PhantomConfig) -> tuple[int, int, int, int]:
    """The area of the screen that the layout leaves free for the scan image, xyxy, px."""
    height, width = config.screen_hw_px
    left, top, right, bottom = _AREAS[config.layout]
    return round(left * width), round(top * height), round(right * width), round(bottom * height)


class ScreenPainter:
    """Draws one scanner's screen; everything except the image and the clock is drawn once.

    Parameters
    ----------
    config : layout, seed, displayed settings
    image_hw_px : height and width of the scan image
    mm_per_px : scale of the scan image
    top_mm : depth of the image's upper edge
    """

    def __init__(self, config: PhantomConfig, image_hw_px: tuple[int, int], mm_per_px: float, top_mm: float) -> None:
        self._config = config
        x1, y1, x2, y2 = scan_box(config)
        left = x1 + (x2 - x1 - image_hw_px[1]) // 2
        top = y1 + (0 if config.layout != "bare" else (y2 - y1 - image_hw_px[0]) // 2)
        self.scan_xyxy_px = (left, top, left + image_hw_px[1], top + image_hw_px[0])
        self._px_per_mm, self._top_mm = 1.0 / mm_per_px, top_mm
        rng = rng_of(config.seed, 0x5C4)
        self._accent = _ACCENTS[int(rng.integers(len(_ACCENTS)))]
        height, width = config.screen_hw_px
        shade = int(rng.choice([0, 0, 6, 14]))
        self._base: UInt8Array = np.full((height, width, 3), shade, np.uint8)
        self._pen = _Pen(canvas=self._base, scale=height / 720.0 * 0.46)
        self._line = round(height / 720.0 * 19)
        self._start_s = int(rng.integers(8 * 3600, 17 * 3600))
        self._draw_banner(rng)
        self._draw_settings(rng)
        self._draw_ruler()
        self._draw_grey_bar()
        for number, (text, style) in enumerate(config.labels or ()):
            self._draw_label(text, style, number)

    def paint(self, scan: UInt8Array, t_s: float) -> UInt8Array:
        """The whole screen, uint8 (H, W, 3), RGB."""
        screen = self._base.copy()
        x1, y1, x2, y2 = self.scan_xyxy_px
        screen[y1:y2, x1:x2] = scan[:, :, None]
        for number, (text, style) in enumerate(self._config.labels or ()):
            if style == "corner":
                _Pen(canvas=screen, scale=self._pen.scale).text((x1 + 6, y2 - 6 - number * self._line), text)
        if self._clock_at is not None:
            clock = int(self._start_s + t_s)
            text = f"{clock // 3600:02d}:{clock // 60 % 60:02d}:{clock % 60:02d}"
            _Pen(canvas=screen, scale=self._pen.scale).text(self._clock_at, text, _GREY)
        return screen

    def _draw_banner(self, rng: np.random.Generator) -> None:
        height, width = self._config.screen_hw_px
        self._clock_at: tuple[int, int] | None = None
        if self._config.layout == "bare":
            return
        band = round(0.062 * height)
        self._base[:band] = (24, 28, 36) if self._config.layout != "compact" else (8, 8, 8)
        number = int(rng.integers(1, 10**6))
        day = f"{int(rng.integers(1, 29)):02d}.{int(rng.integers(1, 13)):02d}.2020"
        row = band - round(0.36 * band)
        self._pen.text((0.012 * width, row), "PHANTOM^DEMO", _WHITE, 1.1)
        self._pen.text((0.16 * width, row), f"ID SIM-{number:06d}", _GREY)
        self._pen.text((0.45 * width, row), "SIMULATED - NOT A PATIENT", self._accent)
        room = self._pen.width("00:00:00") + 0.012 * width
        self._clock_at = (int(width - room), row)
        self._pen.text((width - room - self._pen.width(day) - 0.012 * width, row), day, _GREY)

    def _draw_settings(self, rng: np.random.Generator) -> None:
        config = self._config
        height, width = config.screen_hw_px
        if config.layout == "bare":
            return
        lines = [
            f"{config.rate_hz:.0f} fps",
            *([f"D {config.depth_mm / 10:.1f} cm"] if config.labels is None else []),
            f"F {config.frequency_mhz:.1f} MHz",
            f"G {60 + config.gain_db:.0f} dB",
            f"DR {config.dynamic_range_db:.0f}",
            f"MI {rng.uniform(0.6, 1.3):.1f}",
            f"TIs {rng.uniform(0.1, 0.5):.1f}",
            f"Cmp {config.looks}",
        ]
        probe = {"linear": "L4-15 SIM", "trapezoid": "L4-15 SIM VC", "convex": "C5-12 SIM"}[config.geometry]
        if config.layout == "left_panel":
            panel = round(0.19 * width)
            self._base[round(0.062 * height) :, :panel] = (18, 20, 24)
            x = round(0.014 * width)
        elif config.layout == "wide":
            x = round(0.014 * width)
        else:
            x = round(0.885 * width)
        y = round(0.062 * height) + 2 * self._line
        self._pen.text((x, y), probe, self._accent)
        self._pen.text((x, y + self._line), "Thyroid", _WHITE)
        for index, text in enumerate(lines):
            self._pen.text((x, y + (index + 2.5) * self._line), text, _GREY, 0.95)
        side = {"right_lobe": "RT TRV", "left_lobe": "LT TRV", "midline": "MID TRV", "longitudinal": "SAG"}[config.view]
        if config.layout != "compact":
            self._pen.text((x, height - 1.5 * self._line), side, _WHITE, 1.2)

    def _draw_ruler(self) -> None:
        x1, y1, x2, y2 = self.scan_xyxy_px
        unit = max(1, round(self._config.screen_hw_px[0] / 720.0))
        x = x2 + 6 * unit
        for depth in range(0, int(self._config.depth_mm) + 1, 5):
            y = round(y1 + (depth - self._top_mm) * self._px_per_mm)
            if y > y2:
                break
            major = depth % 10 == 0
            length = (9 if major else 5) * unit
            self._base[y : y + unit, x : x + length] = _GREY
            if major and depth and self._config.ruler_figures:
                self._pen.text((x + 13 * unit, y + 5 * unit), str(depth // 10), _GREY, 0.85)
        focus = round(y1 + (self._config.focus_mm - self._top_mm) * self._px_per_mm)
        if y1 < focus < y2:
            at = np.array(
                [[x + 12 * unit, focus], [x + 18 * unit, focus - 5 * unit], [x + 18 * unit, focus + 5 * unit]]
            )
            cv2.fillPoly(self._base, [at.astype(np.int32)], self._accent, cv2.LINE_AA)
        # the probe's orientation marker
        cv2.circle(self._base, (x2 + 14 * unit, y1 - 8 * unit), 4 * unit, self._accent, -1, cv2.LINE_AA)
        for tick in range(0, int(self._config.width_mm / 2) + 1, 10):
            for sign in (-1, 1):
                column = round(0.5 * (x1 + x2) + sign * tick * self._px_per_mm)
                if x1 <= column < x2 and y2 + 7 * unit < self._base.shape[0]:
                    self._base[y2 + 3 * unit : y2 + 7 * unit, column : column + unit] = _DIM

    def _draw_label(self, text: str, style: str, number: int) -> None:
        """Draw a text beside the image; the second and further ones of a style below the ones before."""
        _, _, x2, y2 = self.scan_xyxy_px
        height, width = self._config.screen_hw_px
        wide = self._pen.width(text)
        if style == "below":
            self._pen.text((x2 - wide, min(height - 3, y2 + (number + 1.0) * self._line)), text)
        elif style == "framed":
            at = (width - wide - 14, round(0.6 * height) + 2 * number * self._line)
            self._pen.text(at, text)
            corner, other = (at[0] - 8, at[1] - self._line), (at[0] + wide + 8, at[1] + self._line // 2)
            cv2.rectangle(self._base, corner, other, _WHITE, 1)
        elif style == "side":
            self._pen.text((0.014 * width, 0.72 * height + number * self._line), text, _GREY)
        elif style == "banner":
            self._pen.text((0.30 * width, round(0.04 * height)), text, _WHITE)

    def _draw_grey_bar(self) -> None:
        x1, y1, _, y2 = self.scan_xyxy_px
        unit = max(1, round(self._config.screen_hw_px[0] / 720.0))
        length, wide = min(150 * unit, (y2 - y1) // 2), 11 * unit
        x = max(x1 - 24 * unit, unit)
        ramp = np.linspace(255, 0, length).astype(np.uint8)
        self._base[y1 : y1 + length, x : x + wide] = ramp[:, None, None]
        cv2.rectangle(self._base, (x - 1, y1 - 1), (x + wide, y1 + length), _DIM, 1)


def draw_calipers(scan: UInt8Array, ends_xy_px: npt.NDArray[np.float64], kind: int) -> None:
    """Burn measuring marks into a scan image, in place.

    Parameters
    ----------
    scan : uint8 (H, W)
    ends_xy_px : float64 (N, 2), positions of the marks
    kind : 0 crosses, 1 tilted crosses with a dotted line between each pair, 2 small rings
    """
    size = max(3, round(scan.shape[0] / 110))
    points = [tuple(int(v) for v in p) for p in np.round(ends_xy_px)]
    for index, point in enumerate(points):
        if kind == 2:
            cv2.circle(scan, point, size - 1, 235, 1, cv2.LINE_AA)
        else:
            marker = cv2.MARKER_CROSS if kind == 0 else cv2.MARKER_TILTED_CROSS
            cv2.drawMarker(scan, point, 240, marker, 2 * size + 1, 1, cv2.LINE_AA)
        if kind == 1 and index % 2:
            a, b = np.array(points[index - 1], float), np.array(point, float)
            count = max(2, int(np.hypot(*(b - a)) / 6))
            dots = np.round(a + (b - a) * np.linspace(0, 1, count)[:, None]).astype(int)
            dots = dots[(dots >= 0).all(axis=1) & (dots[:, 0] < scan.shape[1]) & (dots[:, 1] < scan.shape[0])]
            scan[dots[:, 1], dots[:, 0]] = 230
