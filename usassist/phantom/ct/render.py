"""What a CT scanner makes of a plane of known HU: blur, beam hardening, streaks, correlated noise.

These are models of the appearance, not of the projections: the plane is blurred by a Gaussian point spread, brain is
brighter close to bone and darker far from it (cupping; Barrett and Keat, RadioGraphics 2004), bands between dense bone
are dark, and the noise is correlated as a reconstruction kernel leaves it.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["Scanner", "acquire", "blur", "correlated_noise", "draw_scanner", "smooth_field"]

Float32Array = npt.NDArray[np.float32]

_BONE_HU = 300.0
_LARGEST_HARDENED_HU = 1200.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scanner:
    """How a plane is rendered.

    Attributes
    ----------
    blur_px : standard deviation of the point spread, px
    noise_hu : standard deviation of the noise
    grain_px : standard deviation of the kernel that correlates the noise, px
    halo_hu : brightening of soft tissue directly at the skull
    cupping_hu : darkening of the middle of the head
    streaks_hu : standard deviation of the dark and bright bands
    """

    blur_px: float = 0.7
    noise_hu: float = 4.0
    grain_px: float = 0.8
    halo_hu: float = 0.0
    cupping_hu: float = 0.0
    streaks_hu: float = 0.0


def draw_scanner(rng: np.random.Generator) -> Scanner:
    """A scanner of random properties, within what a soft kernel gives at about 0.5 to 1 mm per px."""
    streaks = float(rng.uniform(0.5, 3.5)) if rng.random() < 0.25 else 0.0
    return Scanner(
        blur_px=float(rng.uniform(0.45, 1.2)),
        noise_hu=float(np.exp(rng.uniform(np.log(1.5), np.log(8.0)))),
        grain_px=float(rng.uniform(0.45, 1.1)),
        halo_hu=float(rng.uniform(0.0, 12.0)),
        cupping_hu=float(rng.uniform(-2.0, 5.0)),
        streaks_hu=streaks,
    )


def blur(plane: Float32Array, sigma_px: float) -> Float32Array:
    """Gaussian blur; the plane itself below 0.05 px."""
    if sigma_px < 0.05:
        return plane
    return np.asarray(cv2.GaussianBlur(plane, (0, 0), sigma_px, borderType=cv2.BORDER_REPLICATE), np.float32)


def correlated_noise(shape_yx: tuple[int, int], grain_px: float, rng: np.random.Generator) -> Float32Array:
    """Gaussian noise of mean 0 and standard deviation 1, without its slowest changes: float32 (Y, X)."""
    noise = blur(rng.standard_normal(shape_yx, dtype=np.float32), grain_px)
    noise = noise - np.float32(0.7) * blur(noise, 3.0 + 3.0 * grain_px)
    return np.asarray(noise / max(float(noise.std()), 1e-6), np.float32)


def smooth_field(shape_yx: tuple[int, int], sigma_px: float, rng: np.random.Generator) -> Float32Array:
    """A smooth random field of mean 0 and standard deviation 1: float32 (Y, X).

    Drawn on a grid of about ``sigma_px / 2`` px and enlarged, so that wide fields cost as little as fine ones.
    """
    step = max(sigma_px / 2.0, 1.0)
    height, width = (int(np.ceil(side / step)) + 8 for side in shape_yx)
    coarse = blur(rng.standard_normal((height, width), dtype=np.float32), sigma_px / step)
    coarse = coarse / max(float(coarse.std()), 1e-6)
    size_wh = (int(np.ceil(width * step)), int(np.ceil(height * step)))
    fine = cv2.resize(coarse, size_wh, interpolation=cv2.INTER_CUBIC)
    top, left = int(rng.integers(size_wh[1] - shape_yx[0] + 1)), int(rng.integers(size_wh[0] - shape_yx[1] + 1))
    return np.asarray(fine[top : top + shape_yx[0], left : left + shape_yx[1]], np.float32)


def acquire(hu: Float32Array, scanner: Scanner, rng: np.random.Generator) -> Float32Array:
    """The plane as the scanner shows it.

    Parameters
    ----------
    hu : float32 (Y, X), HU of the tissue
    scanner : its properties

    Returns
    -------
    float32 (Y, X), HU
    """
    shown = blur(hu, scanner.blur_px)
    dense = np.clip(hu, _BONE_HU, _LARGEST_HARDENED_HU) - np.float32(_BONE_HU)
    soft = ((shown > -200.0) & (shown < _BONE_HU)).astype(np.float32)
    side = min(hu.shape)
    if scanner.halo_hu > 0.0:
        near = blur(dense, side * 0.02)
        shown = shown + soft * near * np.float32(scanner.halo_hu / 300.0)
    if scanner.cupping_hu:
        deep = blur((hu > -200.0).astype(np.float32), side * 0.15)
        shown = np.asarray(shown - soft * (deep - np.float32(0.5)) * np.float32(2.0 * scanner.cupping_hu), np.float32)
    if scanner.streaks_hu > 0.0:
        shown = shown + soft * _streaks(hu.shape, scanner.streaks_hu, rng)
    amount = np.float32(scanner.noise_hu) * (
        np.float32(0.25) + np.float32(0.75) * blur((hu > -200.0).astype(np.float32), side * 0.03)
    )
    return np.asarray(shown + amount * correlated_noise(hu.shape, scanner.grain_px, rng), np.float32)


def _streaks(shape_yx: tuple[int, int], sd_hu: float, rng: np.random.Generator) -> Float32Array:
    """Straight bands of one direction, some wide and some narrow: float32 (Y, X), HU."""
    height, width = shape_yx
    side = int(np.ceil(np.hypot(height, width)))
    profile = smooth_field((side, 8), float(rng.uniform(2.0, 12.0)), rng)[:, :1]
    along = smooth_field((8, side), side * 0.15, rng)[:1]
    bands = np.asarray(profile * (along + np.float32(1.0)), np.float32)
    turn = cv2.getRotationMatrix2D((side / 2, side / 2), float(rng.uniform(0.0, 180.0)), 1.0)
    turned = cv2.warpAffine(bands, turn, (side, side), borderMode=cv2.BORDER_REFLECT)
    top, left = (side - height) // 2, (side - width) // 2
    return np.asarray(turned[top : top + height, left : left + width], np.float32) * np.float32(sd_hu)
