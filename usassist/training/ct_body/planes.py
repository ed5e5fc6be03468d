"""Training pictures: planes of simulated abdomens, made as training goes on, and altered anew at each use."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from usassist.modalities.ct.body.preprocess import SIZE_YX_PX, SPACING_MM, window_planes
from usassist.phantom.ct.abdomen import render_plane
from usassist.phantom.ct.abdomen_plan import BODY_TYPES, draw_plan

__all__ = ["FIRST_VALIDATION_SEED", "Pool", "alter", "draw_sample"]

Float32Array = npt.NDArray[np.float32]
UInt8Array = npt.NDArray[np.uint8]

FIRST_VALIDATION_SEED = 1_000_000
"""Abdomens from this seed on are never trained on."""

_AIR_HU = -1024.0
_PLANES_PER_ABDOMEN = 2


def draw_sample(seed: int, z_mm: float, body_type: str | None = None) -> tuple[Float32Array, UInt8Array]:
    """A plane without noise, HU and compartments, of the size of the engine's input."""
    plan = draw_plan(seed, body_type)
    rng = np.random.default_rng([seed, 0xD1, int(z_mm * 10) & 0xFFFF])
    centre_y = (plan.posterior - plan.anterior) / 2
    spacing = (SPACING_MM, SPACING_MM)
    hu, labels = render_plane(
        plan, z_mm, SIZE_YX_PX, spacing, (centre_y, 0.0), rng, noise_hu=0.0, blur_mm=float(rng.uniform(0.3, 1.0))
    )
    return hu, labels


class Pool:
    """Planes that are ready, the oldest of which are replaced one by one.

    Parameters
    ----------
    size : planes
    seed : of the first abdomen and of all choices
    """

    def __init__(self, size: int, seed: int) -> None:
        self.rng = np.random.default_rng([seed, 0xE1])
        self._hu = np.zeros((size, *SIZE_YX_PX), np.int16)
        self._labels = np.zeros((size, *SIZE_YX_PX), np.uint8)
        self._next_seed, self._oldest, self.ready = seed, 0, 0

    def renew(self) -> None:
        """Make the planes of one more abdomen."""
        names = list(BODY_TYPES)
        for _ in range(_PLANES_PER_ABDOMEN):
            z = float(self.rng.uniform(-92, 150))
            hu, labels = draw_sample(self._next_seed, z, names[self._next_seed % len(names)])
            self._hu[self._oldest], self._labels[self._oldest] = np.rint(hu), labels
            self._oldest = (self._oldest + 1) % len(self._hu)
            self.ready = min(self.ready + 1, len(self._hu))
        self._next_seed += 1

    def batch(self, count: int) -> tuple[Float32Array, npt.NDArray[np.int64]]:
        """Altered planes: float32 (B, 3, H, W) and int64 (B, H, W)."""
        images = np.empty((count, 3, *SIZE_YX_PX), np.float32)
        targets = np.empty((count, *SIZE_YX_PX), np.int64)
        for row in range(count):
            at = int(self.rng.integers(self.ready))
            hu, targets[row] = alter(self._hu[at].astype(np.float32), self._labels[at], self.rng)
            window_planes(hu, images[row])
        return images, targets


def alter(hu: Any, labels: Any, rng: np.random.Generator) -> tuple[Float32Array, UInt8Array]:
    """Move, turn, stretch, mirror; then the scanner: resolution, values, noise, streaks, too small a field of view.

    Parameters
    ----------
    hu, labels : float32 and uint8 (Y, X)
    rng : of the choices
    """
    height, width = hu.shape
    turn = np.deg2rad(rng.normal(0, 5))
    scale_y, scale_x = rng.uniform(0.88, 1.14) * np.exp(rng.normal(0, 0.04, 2))
    flip_x, flip_y = (-1.0 if rng.random() < p else 1.0 for p in (0.5, 0.1))
    cos, sin = np.cos(turn), np.sin(turn)
    matrix = np.array([[cos, -sin], [sin, cos]]) @ np.diag([flip_x * scale_x, flip_y * scale_y])
    middle = np.array([width / 2 - 0.5, height / 2 - 0.5])
    shift = middle + rng.normal(0, 4, 2) - matrix @ middle
    affine = np.hstack([matrix, shift[:, None]])
    size = (width, height)
    hu = cv2.warpAffine(hu, affine, size, flags=cv2.INTER_LINEAR, borderValue=_AIR_HU)
    labels = cv2.warpAffine(labels, affine, size, flags=cv2.INTER_NEAREST)
    if rng.random() < 0.5:
        hu, labels = _bend(hu, labels, rng)
    if rng.random() < 0.35:
        coarse = rng.uniform(0.55, 0.9)
        small = cv2.resize(hu, None, fx=coarse, fy=coarse, interpolation=cv2.INTER_AREA)
        hu = cv2.resize(small, size, interpolation=cv2.INTER_LINEAR)
    elif rng.random() < 0.5:
        hu = cv2.GaussianBlur(hu, (0, 0), rng.uniform(0.3, 0.8))
    hu = hu * np.float32(rng.uniform(0.96, 1.04)) + np.float32(rng.normal(0, 6))
    noise = rng.standard_normal(hu.shape, np.float32)
    if rng.random() < 0.6:
        noise = cv2.GaussianBlur(noise, (0, 0), rng.uniform(0.4, 0.9))
        noise /= noise.std()
    hu = hu + np.float32(np.exp(rng.uniform(np.log(2), np.log(38)))) * noise
    if rng.random() < 0.15:  # dark and bright bands from side to side, as between arms
        band = cv2.GaussianBlur(rng.standard_normal((height, 1)).astype(np.float32), (1, 0), 0, sigmaY=2.0)
        hu = hu + np.where(hu > -300, np.float32(rng.uniform(5, 40)) * band, 0)
    if rng.random() < 0.12:
        hu, labels = _truncate(hu, labels, rng)
    return np.clip(hu, _AIR_HU, 3071).astype(np.float32), labels


def _bend(hu: Any, labels: Any, rng: np.random.Generator) -> tuple[Any, Any]:
    height, width = hu.shape
    strength, grid = rng.uniform(2, 6), (6, 7)
    coarse = [rng.normal(0, strength, grid).astype(np.float32) for _ in range(2)]
    moves = [cv2.resize(move, (width, height), interpolation=cv2.INTER_CUBIC) for move in coarse]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    to_x, to_y = x + moves[0], y + moves[1]
    hu = cv2.remap(hu, to_x, to_y, cv2.INTER_LINEAR, borderValue=_AIR_HU)
    return hu, cv2.remap(labels, to_x, to_y, cv2.INTER_NEAREST)


def _truncate(hu: Float32Array, labels: UInt8Array, rng: np.random.Generator) -> tuple[Float32Array, UInt8Array]:
    height, width = hu.shape
    y, x = np.mgrid[:height, :width]
    if rng.random() < 0.6:
        radius = rng.uniform(60, 100)
        outside = np.hypot(x - width / 2 - rng.normal(0, 8), y - height / 2 - rng.normal(0, 8)) > radius
    else:
        left, right, top, bottom = rng.uniform(0, 45, 4)
        outside = (x < left) | (x > width - right) | (y < top / 2) | (y > height - bottom / 2)
    return np.where(outside, np.float32(_AIR_HU), hu), np.where(outside, np.uint8(0), labels)
