"""A simulated abdomen in CT from T11 to L5, with its compartments: a volume, or single planes for training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from usassist.phantom.ct.abdomen_plan import draw_plan
from usassist.phantom.ct.abdomen_plane import Textures, draw_plane
from usassist.phantom.ct.abdomen_shapes import AbdomenPlan

__all__ = ["make_abdomen", "render_plane"]

FloatArray = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
_FINER = 2  # samples per voxel and axis, for partial volume
_LABELS = 5
_TEXTURES_MM = 2.0  # grain of the finest texture


def _field(rng: np.random.Generator, shape: tuple[int, int], sigma_yx_px: tuple[float, float]) -> FloatArray:
    """Smooth noise with mean 0 and standard deviation 1; made coarse and enlarged where the grains are large."""
    step = max(1, int(min(sigma_yx_px) / 2))
    small = (shape[0] // step + 2, shape[1] // step + 2)
    noise: Any = rng.standard_normal(small, np.float32)
    sigma_y, sigma_x = (max(value / step, 0.3) for value in sigma_yx_px)
    noise = cv2.GaussianBlur(noise, (0, 0), sigmaX=sigma_x, sigmaY=sigma_y)
    noise = cv2.resize(noise, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray((noise - noise.mean()) / (noise.std() + 1e-6), np.float32)


def render_plane(
    plan: AbdomenPlan,
    z_mm: float,
    shape_yx: tuple[int, int],
    spacing_yx_mm: tuple[float, float],
    centre_yx_mm: tuple[float, float],
    rng: np.random.Generator,
    *,
    noise_hu: float = 12.0,
    blur_mm: float = 0.7,
) -> tuple[FloatArray, npt.NDArray[np.uint8]]:
    """One plane as a scanner would show it, with partial volume in the plane, blur and noise.

    Parameters
    ----------
    plan : of :func:`usassist.phantom.ct.abdomen_plan.draw_plan`
    z_mm : of the plane, 0 = middle of L3
    shape_yx, spacing_yx_mm, centre_yx_mm : of the picture; rows go to the back, columns to the patient's left
    rng : for textures and noise
    noise_hu : standard deviation
    blur_mm : standard deviation of the blur

    Returns
    -------
    hu : float32 (Y, X), clipped to -1024 to 3071
    labels : uint8 (Y, X): 0 outside, 1 subcutaneous, 2 muscle, 3 cavity, 4 bone; the most frequent in each pixel
    """
    (rows, columns), (dy, dx), n = shape_yx, spacing_yx_mm, _FINER
    y = (centre_yx_mm[0] + (np.arange(rows * n) + 0.5 - rows * n / 2) * dy / n).astype(np.float32)
    x = (centre_yx_mm[1] + (np.arange(columns * n) + 0.5 - columns * n / 2) * dx / n).astype(np.float32)
    fine_shape = (rows * n, columns * n)
    textures = Textures(
        fine=_field(rng, fine_shape, (_TEXTURES_MM / dy * n / 2, _TEXTURES_MM / dx * n / 2)),
        coarse=_field(rng, fine_shape, (7.0 / dy * n, 7.0 / dx * n)),
        streaks=_field(rng, fine_shape, (1.6 / dy * n, 4.5 / dx * n)),
    )
    fine_hu, fine_labels = draw_plane(plan, z_mm, y, x, textures)
    if blur_mm > 0:
        sigma_y, sigma_x = blur_mm / dy * n, blur_mm / dx * n
        fine_hu = np.asarray(cv2.GaussianBlur(fine_hu, (0, 0), sigmaX=sigma_x, sigmaY=sigma_y), np.float32)
    hu: Any = cv2.resize(fine_hu, (columns, rows), interpolation=cv2.INTER_AREA)
    if noise_hu > 0:
        hu += noise_hu * _field(rng, shape_yx, (0.5, 0.5))
    return np.clip(hu, -1024, 3071), _most_frequent(fine_labels, n)


def _most_frequent(labels: npt.NDArray[np.uint8], n: int) -> npt.NDArray[np.uint8]:
    """The most frequent label of each block of n x n; of two alike, the higher one."""
    rows, columns = labels.shape[0] // n, labels.shape[1] // n
    blocks = labels.reshape(rows, n, columns, n)
    best = np.zeros((rows, columns), np.uint8)
    most = np.zeros((rows, columns), np.uint8)
    for label in range(_LABELS):
        count = (blocks == label).sum(axis=(1, 3), dtype=np.uint8)
        better = (count >= most) & (count > 0)
        best[better], most[better] = label, count[better]
    return best


def make_abdomen(
    seed: int,
    shape_zyx: tuple[int, int, int] = (48, 192, 224),
    spacing_zyx_mm: tuple[float, float, float] = (5.0, 2.2, 2.2),
    *,
    body_type: str | None = None,
    noise_hu: float = 12.0,
    out: npt.NDArray[np.int16] | None = None,
    report: Callable[[float], None] | None = None,
) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.uint8], dict[str, float], Float64Array]:
    """A volume, made plane by plane.

    Parameters
    ----------
    seed : the same seed gives the same abdomen on any grid, but for textures and noise
    shape_zyx, spacing_zyx_mm : of the volume; it is centred between T11 and L5
    body_type : key of ``BODY_TYPES``; None = drawn
    noise_hu : standard deviation
    out : int16 (Z, Y, X) to write into, for example a file; None = in memory
    report : receives the share that is done, once per plane

    Returns
    -------
    hu : int16 (Z, Y, X); z ascends to the head
    labels : uint8 (Z, Y, X): 0 outside, 1 subcutaneous, 2 muscle, 3 cavity, 4 bone
    levels : ``T11`` to ``L5`` → z of the centre of the vertebral body, mm, in the coordinates of the affine
    affine_ijk_to_lps_mm : float64 (4, 4)
    """
    plan = draw_plan(seed, body_type)
    depth, rows, columns = shape_zyx
    dz, dy, dx = spacing_zyx_mm
    levels = plan.level_centres_z_mm()
    middle_z = (levels["L5"] + levels["T11"]) / 2
    z0 = middle_z - (depth - 1) / 2 * dz
    centre_y = (plan.posterior - plan.anterior) / 2
    hu = np.zeros(shape_zyx, np.int16) if out is None else out
    labels = np.zeros(shape_zyx, np.uint8)
    for k in range(depth):
        rng = np.random.default_rng([seed, 0xAC, k])
        plane, labels[k] = render_plane(
            plan, z0 + k * dz, (rows, columns), (dy, dx), (centre_y, 0.0), rng, noise_hu=noise_hu
        )
        hu[k] = np.rint(plane)
        if report is not None:
            report((k + 1) / depth)
    affine = np.diag([dx, dy, dz, 1.0])
    affine[:3, 3] = (-(columns - 1) / 2 * dx, centre_y - (rows - 1) / 2 * dy, z0)
    return hu, labels, levels, affine
