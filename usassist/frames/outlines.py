"""The edges of all outlines of a frame, and what is summed over them; without a loop over outlines or points."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from usassist.records import Segmentation

__all__ = ["OutlineEdges"]

Float64Array = npt.NDArray[np.float64]

# Weights of straight steps, diagonal steps and corners of a chain code for the length of the line that it digitises:
# Vossepoel and Smeulders, Computer Graphics and Image Processing 20 (1982) 347-364.
_STRAIGHT, _DIAGONAL, _CORNER = 0.980, 1.406, -0.091
_SAMPLES = 64  # of an outline, evenly along it
_NEXT, _ORDER = np.arange(1, _SAMPLES + 1) % _SAMPLES, np.fft.fftfreq(_SAMPLES, 1.0 / _SAMPLES)
_SHARES = np.arange(_SAMPLES) / _SAMPLES
_SMOOTH_PX, _SMOOTH_SHARE = 2.0, 0.015  # sd of the smoothing of an outline: the larger of px and share of its length


class OutlineEdges:
    """Edges between neighbouring points of the outlines of a frame; all of them run along 0, 45 or 90 degrees.

    Parameters
    ----------
    segmentation : at least one outline
    spacing_rc : row and column step of the pixels, in any unit; for the total curvature only their ratio counts

    Attributes
    ----------
    area_px2 : float64 (N,), pixels inside and on each outline (Pick's theorem: A + B / 2 + 1)
    extent_px : float64 (N, 2), width and height of the pixels of each outline
    """

    def __init__(self, segmentation: Segmentation, spacing_rc: tuple[float, float]) -> None:
        self._points = points = segmentation.contour_xy_px.astype(np.float64)
        start, end = segmentation.contour_start[:-1], segmentation.contour_start[1:]
        self._start, self._count = start.astype(np.intp), (end - start).astype(np.intp)
        following = np.arange(1, len(points) + 1)
        following[end - 1] = start
        self._following = following
        self._edge = edge = points[following] - points
        self._step_xy = np.array([spacing_rc[1], spacing_rc[0]], np.float64)
        steps = np.abs(edge)
        boundary = self._sum(np.maximum(steps[:, 0], steps[:, 1]))
        inner = 0.5 * np.abs(self._sum(points[:, 0] * edge[:, 1] - points[:, 1] * edge[:, 0]))
        self.area_px2: Float64Array = inner + boundary / 2.0 + 1.0
        self.extent_px: Float64Array = (
            np.maximum.reduceat(points, self._start) - np.minimum.reduceat(points, self._start) + 1.0
        )

    def perimeter(self, spacing_rc: tuple[float, float]) -> Float64Array:
        """Perimeter of each region, in the unit of the spacing: float64 (N,).

        The length of the line through the centres of the outermost pixels, estimated from its chain code, and half a
        pixel further out all around, which adds pi times half a pixel twice (Steiner's formula; exact where the region
        is convex).
        """
        row, column = spacing_rc
        across, down = np.abs(self._edge).T
        diagonal = np.minimum(across, down)  # number of diagonal steps: all of an edge's, or none
        straight = _STRAIGHT * np.where(diagonal > 0, 0.0, across * column + down * row)
        slanted = _DIAGONAL / np.sqrt(2.0) * np.hypot(column, row) * diagonal
        direction = np.sign(self._edge)
        corner = (direction != direction[self._following]).any(axis=1)
        mean_step = np.sqrt(row * column)
        return self._sum(straight + slanted + _CORNER * mean_step * corner) + 0.5 * np.pi * (row + column)

    def total_curvature(self) -> Float64Array:
        """How far each smoothed outline turns in all, to either side, in full turns: float64 (N,), 1 or more.

        The integral of the absolute curvature along a closed line, over 2 pi. It is 1 exactly where the line is convex
        (Fenchel's theorem); lobes and notches add to it. It has no unit, so a scale changes nothing. Each outline is
        sampled at 64 points along its length and smoothed by a Gaussian with a standard deviation of 1.5 % of its
        length, and at least 2 px, so that the steps of the pixels do not count.
        """
        line = self._points @ (self._step_xy * (1.0, 1.0j))
        length = np.abs(line[self._following] - line)
        total = self._sum(length)
        # One long line on which the outlines follow one another, a unit apart, each closed by its first point.
        count, outline = len(total), np.repeat(np.arange(len(total)), self._count)
        begin = np.cumsum(total) - total + np.arange(count)
        closed, place = np.empty(len(line) + count, np.complex128), np.empty(len(line) + count)
        at, last = np.arange(len(line)) + outline, self._start + self._count + np.arange(count)
        closed[at], closed[last] = line, line[self._start]
        place[at], place[last] = np.cumsum(length) - length + outline, begin + total
        wanted = begin[:, None] + total[:, None] * _SHARES
        line = np.interp(wanted, place, closed)
        smallest = np.maximum(total, 1e-9)
        sd = np.maximum(_SMOOTH_SHARE, _SMOOTH_PX * float(np.sqrt(self._step_xy.prod())) / smallest)  # share of length
        smooth = np.fft.ifft(np.fft.fft(line, axis=1) * np.exp(-2.0 * (np.pi * sd[:, None] * _ORDER) ** 2), axis=1)
        step = smooth[:, _NEXT] - smooth
        turning = step[:, _NEXT] * np.conj(step)
        turn = np.arctan2(turning.imag, turning.real)
        turns: Float64Array = np.abs(turn).sum(axis=1) / (2.0 * np.pi)
        return np.maximum(turns, 1.0)  # of a point or a line, which has no inside, too

    def _sum(self, values: Float64Array) -> Float64Array:
        """Sum over the edges of each outline."""
        total: Float64Array = np.add.reduceat(values, self._start)
        return total
