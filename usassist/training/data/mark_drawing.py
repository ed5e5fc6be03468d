"""Calipers and text as scanners draw them, at places that have nothing to do with the picture.

On real frames they mark nodules; drawn in anywhere, they carry no information. The kinds are those seen on the training
frames: upright, tilted and open crosses with a figure or letter beside them, dotted lines between them, a dotted
ellipse through four of them, a single dot in the middle, arrows, and lines of text.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["FINE", "draw_diameter", "draw_marks"]

UInt8Array = npt.NDArray[np.uint8]
Point = tuple[float, float]

FINE = 2
"""Marks are drawn this many times finer than the frame, because real frames have been reduced in size."""

_LEAST_COVER = 90  # of 255: a pixel that is covered less is not counted as part of a mark
_LABELS = (
    *("LT", "RT", "TRV", "SAG", "ISTHMUS", "THYROID", "RIGHT LOBE", "LT LOBE", "1 D 12.4mm", "2 D 8.1mm"),
    *("1 L 1.32 cm", "+ 0.81 cm", "MI 0.9", "Gn 52", "12 cm", "2D", "FR 31", "0", "5", "P100", "DER", "IZQ"),
)
_FIGURES = ("1", "2", "3", "A", "B", "1", "2")


def draw_marks(image: UInt8Array, rng: np.random.Generator) -> UInt8Array:
    """Draw up to two measurements, and up to two lines of text, at random positions.

    Parameters
    ----------
    image : uint8 (H, W), changed in place
    rng : source of randomness

    Returns
    -------
    uint8 (H, W), 1 on what was drawn
    """
    height_px, width_px = image.shape
    cover = np.zeros((FINE * height_px, FINE * width_px), np.uint8)
    for _ in range(int(rng.integers(0, 3))):
        _draw_measurement(cover, rng)
    for _ in range(int(rng.integers(0, 3))):
        text = _LABELS[rng.integers(len(_LABELS))]
        _write(cover, text, (rng.uniform(0, cover.shape[1]), rng.uniform(0, cover.shape[0])), rng.uniform(0.4, 0.9))
    if rng.random() < 0.1:
        tip = np.array([rng.uniform(0, cover.shape[1]), rng.uniform(0, cover.shape[0])])
        end = tip + rng.uniform(12, 40) * _direction(rng)
        cv2.arrowedLine(cover, _pixel(end), _pixel(tip), 255, FINE - 1, tipLength=0.4)
    cover = np.asarray(cv2.resize(cover, (width_px, height_px), interpolation=cv2.INTER_AREA), np.uint8)
    cover = np.asarray(cv2.convertScaleAbs(cover, alpha=rng.uniform(1.0, 1.8)), np.uint8)
    level = float(rng.uniform(140.0, 255.0))  # coloured marks turned to grey are not white
    part = cover.astype(np.float32) / 255.0
    image[:] = np.round(image + part * (level - image)).astype(np.uint8)
    return (cover >= _LEAST_COVER).astype(np.uint8)


def _draw_measurement(cover: UInt8Array, rng: np.random.Generator) -> None:
    """One or two diameters with crosses at their ends, perhaps with dotted lines or a dotted ellipse."""
    height, width = cover.shape
    centre = np.array([rng.uniform(0.05, 0.95) * width, rng.uniform(0.05, 0.95) * height])
    first = _direction(rng) * rng.uniform(0.02, 0.35) * width
    second = np.array([-first[1], first[0]]) * rng.uniform(0.4, 1.2)
    kind = str(rng.choice(["plus", "tilted", "open"], p=[0.6, 0.2, 0.2]))
    half = FINE * (rng.uniform(4.0, 5.5) if kind == "open" else rng.uniform(2.0, 5.5))
    two, dotted = rng.random() < 0.7, rng.random() < 0.4
    spacing = FINE * rng.uniform(2.5, 6.0)
    numbered = rng.random() < 0.75
    for order, axis in enumerate([first, second][: 1 + two]):
        figure = ""
        if numbered:
            figure = _FIGURES[rng.integers(len(_FIGURES))] if rng.random() < 0.3 else str(order + 1)
        ends = (centre - axis, centre + axis)
        draw_diameter(cover, ends, rng, kind=kind, half=half, spacing=spacing if dotted else 0.0, figure=figure)
    if two and not dotted and rng.random() < 0.25:
        around = math.pi * (np.hypot(*first) + np.hypot(*second))
        turns = np.linspace(0, 2 * math.pi, max(8, int(around / spacing)), endpoint=False)
        _draw_dots(cover, [centre + math.cos(turn) * first + math.sin(turn) * second for turn in turns])
    elif not dotted and rng.random() < 0.2:
        _draw_dots(cover, [centre])


def draw_diameter(
    cover: UInt8Array,
    ends: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]],
    rng: np.random.Generator,
    *,
    kind: str,
    half: float,
    spacing: float,
    figure: str,
) -> None:
    """Draw two crosses, perhaps with a figure beside the first and with dots between them.

    Parameters
    ----------
    cover : uint8 (H, W), 255 is drawn into it, in place
    ends : centres of the crosses, x and y, px of `cover`
    rng : of the place of the figure
    kind : ``plus``, ``tilted``, or ``open`` in the middle
    half : length of an arm, px of `cover`
    spacing : of the dots, px of `cover`; 0 = none
    figure : text beside the first cross; "" = none
    """
    for end in ends:
        _draw_cross(cover, end, half, kind)
    if figure:
        beside = ends[0] + half * np.array([rng.choice([-2.6, -1.6, 0.8]), rng.choice([-0.8, 0.6, 2.2])])
        _write(cover, figure, (beside[0], beside[1]), rng.uniform(0.4, 0.65))
    if spacing:
        count = max(2, int(np.hypot(*(ends[1] - ends[0])) / spacing))
        _draw_dots(cover, [ends[0] + (ends[1] - ends[0]) * part for part in np.linspace(0, 1, count)])


def _draw_cross(cover: UInt8Array, centre: npt.NDArray[np.float64], half: float, kind: str) -> None:
    start = 0.4 * half if kind == "open" else 0.0
    if kind == "open":
        _draw_dots(cover, [centre])
    for turn in range(4):
        angle = 0.5 * math.pi * turn + (0.25 * math.pi if kind == "tilted" else 0.0)
        along = np.array([math.cos(angle), math.sin(angle)])
        cv2.line(cover, _pixel(centre + start * along), _pixel(centre + half * along), 255, FINE)


def _draw_dots(cover: UInt8Array, places: list[npt.NDArray[np.float64]]) -> None:
    for place in places:
        x, y = _pixel(place)
        if x >= 0 and y >= 0:
            cover[y : y + FINE, x : x + FINE] = 255


def _write(cover: UInt8Array, text: str, place_xy: Point, scale: float) -> None:
    cv2.putText(cover, text, _pixel(np.array(place_xy)), cv2.FONT_HERSHEY_SIMPLEX, scale, 255, FINE - 1, cv2.LINE_AA)


def _pixel(place: npt.NDArray[np.float64]) -> tuple[int, int]:
    return round(float(place[0])), round(float(place[1]))


def _direction(rng: np.random.Generator) -> npt.NDArray[np.float64]:
    angle = rng.uniform(0, 2 * math.pi)
    return np.array([math.cos(angle), math.sin(angle)])
