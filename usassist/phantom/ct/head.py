"""A simulated head CT: :func:`make_head`, or plane by plane :func:`render_planes`. Needs no data set.

Bleeds have a known place and, in the tissue, a known volume (an ellipsoid's), so that what is measured can be checked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from usassist.phantom.ct.head_anatomy import Grid, HeadShape, Tissue, depth_mm, draw_shape, label_plane
from usassist.phantom.ct.render import Scanner, acquire

__all__ = ["HeadBleed", "draw_bleeds", "head_affine", "make_head", "render_planes"]

FloatArray = npt.NDArray[np.float32]
UInt8Array = npt.NDArray[np.uint8]
Int16Array = npt.NDArray[np.int16]

_KINDS = (Tissue.INTRAPARENCHYMAL, Tissue.INTRAVENTRICULAR, Tissue.EXTRA_AXIAL)

_SUB_PLANES = 3  # over the thickness of a slice, for partial volume
_HU = {
    Tissue.OUTSIDE: -1000.0,
    Tissue.SCALP: -20.0,
    Tissue.BONE: 950.0,
    Tissue.BRAIN: 30.0,
    Tissue.CSF: 6.0,
    Tissue.FALX: 48.0,
    Tissue.AIR: -950.0,
}
_GREY_HU = 7.0  # grey matter above white matter


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadBleed:
    """One bleed.

    Attributes
    ----------
    kind : ``Tissue.INTRAPARENCHYMAL``, ``INTRAVENTRICULAR`` or ``EXTRA_AXIAL``
    hu : of the blood
    centre_mm : of the ellipsoid in the tissue; of a bleed under the skull the direction in which it lies, from the
        middle of the brain; not used in the ventricles
    semi_mm : half axes along x, y and z in the tissue; under the skull its half width, its thickness, and its half
        width along z; in the ventricles the first is the level: blood lies where y is larger
    """

    kind: Tissue
    hu: float = 62.0
    centre_mm: tuple[float, float, float] = (28.0, 0.0, 10.0)
    semi_mm: tuple[float, float, float] = (12.0, 12.0, 12.0)

    def __post_init__(self) -> None:
        """Check the kind and the sizes."""
        if self.kind not in _KINDS:
            raise ValueError(f"a bleed is of one of {', '.join(kind.name for kind in _KINDS)}, got {self.kind!r}")
        if self.kind != Tissue.INTRAVENTRICULAR and min(self.semi_mm) <= 0:
            raise ValueError(f"sizes of a bleed must be larger than 0 mm, got {self.semi_mm}")

    @property
    def volume_ml(self) -> float | None:
        """Of the ellipsoid, where it lies wholly in the brain; None for the other kinds, which the anatomy cuts."""
        if self.kind != Tissue.INTRAPARENCHYMAL:
            return None
        return float(4.0 / 3.0 * np.pi * np.prod(self.semi_mm) / 1000.0)


def draw_bleeds(seed: int, count: int = 1) -> tuple[HeadBleed, ...]:
    """Random bleeds of random kinds; the same seed gives the same ones."""
    rng = np.random.default_rng([0xB1, seed])
    bleeds = []
    for _ in range(count):
        kind = _KINDS[int(rng.choice(3, p=(0.45, 0.15, 0.4)))]
        hu = float(rng.uniform(52.0, 74.0))
        side = 1.0 if rng.random() < 0.5 else -1.0
        if kind == Tissue.INTRAPARENCHYMAL:
            centre = (side * rng.uniform(18, 36), rng.uniform(-35, 35), rng.uniform(-10, 30))
            semi = tuple(float(value) for value in rng.uniform(6.0, 18.0, 3))
        elif kind == Tissue.EXTRA_AXIAL:
            centre = (side * rng.uniform(40, 60), rng.uniform(-50, 50), rng.uniform(-5, 30))
            semi = (float(rng.uniform(20, 45)), float(rng.uniform(5, 14)), float(rng.uniform(18, 35)))
        else:
            centre, semi = (0.0, 0.0, 0.0), (float(rng.uniform(20.0, 36.0)), 1.0, 1.0)
        bleeds.append(
            HeadBleed(kind=kind, hu=hu, centre_mm=tuple(map(float, centre)), semi_mm=semi)  # type: ignore[arg-type]
        )
    return tuple(bleeds)


def head_affine(shape_zyx: tuple[int, int, int], spacing_zyx_mm: tuple[float, float, float]) -> npt.NDArray[np.float64]:
    """Voxel index (i, j, k, 1) → LPS mm, float64 (4, 4); the middle of the volume is 8 mm above that of the brain."""
    spacing = np.array(spacing_zyx_mm[::-1], np.float64)
    size = np.array(shape_zyx[::-1], np.float64)
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = -(size - 1) / 2 * spacing + (0.0, 0.0, 8.0)
    return affine


def render_planes(
    seed: int,
    shape_zyx: tuple[int, int, int],
    spacing_zyx_mm: tuple[float, float, float],
    bleeds: Sequence[HeadBleed] = (),
    *,
    scanner: Scanner | None = None,
) -> Iterator[tuple[Int16Array, UInt8Array]]:
    """The planes from below to above, one at a time, so memory does not grow with their number.

    Parameters
    ----------
    seed : of the anatomy and of the noise
    shape_zyx : planes, rows and columns
    spacing_zyx_mm : of the voxels; the slices are as thick as they are apart
    bleeds : drawn in their order, later ones over earlier ones
    scanner : blur, noise and beam hardening; None = a soft kernel with 3.5 HU of noise

    Yields
    ------
    hu : int16 (Y, X)
    labels : uint8 (Y, X), of :class:`~usassist.phantom.ct.head_anatomy.Tissue`, at the middle of the slice

    Raises
    ------
    ValueError
        If a size or spacing is not larger than 0.
    """
    if min(shape_zyx) < 1 or min(spacing_zyx_mm) <= 0:
        raise ValueError(f"shape and spacing must be larger than 0, got {shape_zyx} and {spacing_zyx_mm} mm")
    shape = draw_shape(seed)
    affine = head_affine(shape_zyx, spacing_zyx_mm)
    x_mm = (affine[0, 0] * np.arange(shape_zyx[2]) + affine[0, 3]).astype(np.float32)[None]
    y_mm = (affine[1, 1] * np.arange(shape_zyx[1]) + affine[1, 3]).astype(np.float32)[:, None]
    chosen = scanner or Scanner(blur_px=0.5 / spacing_zyx_mm[2], noise_hu=3.5, grain_px=0.8, halo_hu=3.0)
    thickness = spacing_zyx_mm[0]
    for index in range(shape_zyx[0]):
        z_mm = float(affine[2, 2] * index + affine[2, 3])
        hu = np.zeros(shape_zyx[1:], np.float32)
        labels: UInt8Array | None = None
        for part in range(_SUB_PLANES):
            offset = ((part + 0.5) / _SUB_PLANES - 0.5) * thickness
            values, found = _tissue_plane(shape, Grid(x_mm=x_mm, y_mm=y_mm, z_mm=z_mm + offset), bleeds)
            hu += values / np.float32(_SUB_PLANES)
            if part == _SUB_PLANES // 2:
                labels = found
        assert labels is not None
        rng = np.random.default_rng([0xA0, seed, index])
        hu = acquire(hu, chosen, rng)
        yield np.clip(np.rint(hu), -1024, 3071).astype(np.int16), labels


def make_head(
    seed: int = 0,
    shape_zyx: tuple[int, int, int] = (32, 256, 256),
    spacing_zyx_mm: tuple[float, float, float] = (5.0, 0.9, 0.9),
    bleeds: Sequence[HeadBleed] = (),
    *,
    scanner: Scanner | None = None,
    allocate: Callable[[tuple[int, int, int], type], npt.NDArray[np.generic]] = np.zeros,
) -> tuple[Int16Array, UInt8Array, npt.NDArray[np.float64]]:
    """A whole head.

    Parameters
    ----------
    seed, shape_zyx, spacing_zyx_mm, bleeds, scanner : as for :func:`render_planes`
    allocate : makes an array of a shape and type; give one that makes ``numpy.memmap`` for a large volume

    Returns
    -------
    hu : int16 (Z, Y, X)
    labels : uint8 (Z, Y, X), of :class:`~usassist.phantom.ct.head_anatomy.Tissue`
    affine_ijk_to_lps_mm : float64 (4, 4)

    Raises
    ------
    ValueError
        As :func:`render_planes`.
    """
    if min(shape_zyx) < 1:
        raise ValueError(f"shape must be larger than 0, got {shape_zyx}")
    hu, labels = allocate(shape_zyx, np.int16), allocate(shape_zyx, np.uint8)
    planes = render_planes(seed, shape_zyx, spacing_zyx_mm, bleeds, scanner=scanner)
    for index, (plane, found) in enumerate(planes):
        hu[index], labels[index] = plane, found
    return hu, labels, head_affine(shape_zyx, spacing_zyx_mm)  # type: ignore[return-value]


def _tissue_plane(shape: HeadShape, grid: Grid, bleeds: Sequence[HeadBleed]) -> tuple[FloatArray, UInt8Array]:
    """HU and label of every pixel, before the scanner."""
    labels, grey = label_plane(shape, grid)
    table = np.zeros(256, np.float32)
    for tissue, value in _HU.items():
        table[tissue] = value
    hu = table[labels]
    brain = labels == Tissue.BRAIN
    hu[brain] += np.float32(_GREY_HU) * (grey[brain] - np.float32(0.4))
    if bleeds:
        depth = depth_mm(shape, grid)
        for bleed in bleeds:
            where = _blood(bleed, labels, depth, grid)
            labels[where], hu[where] = bleed.kind, bleed.hu
    return hu, labels


def _blood(bleed: HeadBleed, labels: UInt8Array, depth: FloatArray, grid: Grid) -> npt.NDArray[np.bool_]:
    soft = (depth > 0.0) & (labels != Tissue.BONE) & (labels != Tissue.AIR)
    (cx, cy, cz), (a, b, c) = bleed.centre_mm, bleed.semi_mm
    if bleed.kind == Tissue.INTRAPARENCHYMAL:
        rest = 1.0 - ((grid.z_mm - cz) / c) ** 2
        return np.asarray(soft & (((grid.x_mm - cx) / a) ** 2 + ((grid.y_mm - cy) / b) ** 2 < rest))
    if bleed.kind == Tissue.INTRAVENTRICULAR:
        return np.asarray(soft & (labels == Tissue.CSF) & (depth > 22.0) & (grid.y_mm > a))
    # along the inner table: thickest in the direction of the centre
    length = float(np.hypot(cx, cy)) or 1.0
    along = (grid.y_mm * np.float32(cx) - grid.x_mm * np.float32(cy)) / np.float32(length)
    toward = grid.x_mm * np.float32(cx) + grid.y_mm * np.float32(cy) > 0.0
    profile = np.clip(1.0 - (along / a) ** 2 - ((grid.z_mm - cz) / c) ** 2, 0.0, None)
    return np.asarray(soft & toward & (depth < b * profile))
