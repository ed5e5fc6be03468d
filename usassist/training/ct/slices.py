"""Simulated training slices, already cropped to the head as the engine crops them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from usassist.phantom.ct.render import acquire, draw_scanner
from usassist.training.ct.anatomy import paint_head
from usassist.training.ct.bleeds import add_bleeds
from usassist.training.ct.label_maps import LabelMap, warp_shapes

__all__ = ["IchSlice", "simulate_slice"]

Float32Array = npt.NDArray[np.float32]
UInt8Array = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IchSlice:
    """One slice and what is known about it.

    Attributes
    ----------
    hu : float32 (N, N), cropped to the head
    kinds : uint8 (N, N), where blood of which kind is, 0 = none; zeros where the mask is not known
    has_blood : whether there is any
    mask_known : whether `kinds` is complete
    """

    hu: Float32Array
    kinds: UInt8Array
    has_blood: bool
    mask_known: bool


def simulate_slice(
    maps: list[LabelMap],
    template: list[Float32Array],
    rng: np.random.Generator,
    side_px: int = 256,
    blood_share: float = 0.6,
) -> IchSlice:
    """One simulated slice.

    Parameters
    ----------
    maps : of :func:`usassist.training.ct.label_maps.read_label_maps`
    template : of :func:`usassist.training.ct.anatomy.read_template`
    side_px : N
    blood_share : of the slices that have blood
    """
    chosen = maps[int(rng.integers(len(maps)))]
    zoom = 1.0 if rng.random() < 0.5 else float(rng.uniform(0.55, 1.0))
    shapes = warp_shapes(chosen, side_px, rng, zoom)
    hu, space, tissue_hu = paint_head(shapes, template, rng)
    kinds = np.zeros(hu.shape, np.uint8)
    if rng.random() < blood_share:
        drawn = shapes.blood if rng.random() < 0.35 else None
        hu, kinds = add_bleeds(hu, space, rng, drawn=drawn, tissue_hu=tissue_hu)
    _add_headrest(hu, shapes.head, rng)
    hu = acquire(hu, draw_scanner(rng), rng)
    return IchSlice(hu=hu, kinds=kinds, has_blood=bool(kinds.any()), mask_known=True)


def _add_headrest(hu: Float32Array, head: npt.NDArray[np.bool_], rng: np.random.Generator) -> None:
    """An arc beside the head. In place."""
    if rng.random() < 0.5:
        return
    side = hu.shape[0]
    rows, columns = np.indices(hu.shape, dtype=np.float32)
    radius = side * rng.uniform(0.5, 0.75)
    shift = np.array([rng.uniform(-0.08, 0.08), rng.uniform(-0.12, 0.12)]) * side + side / 2
    far = np.sqrt((rows - shift[0]) ** 2 + (columns - shift[1]) ** 2)
    arc = (np.abs(far - radius) < rng.uniform(0.6, 2.0)) & (rows > shift[0]) & ~head
    hu[arc] = rng.uniform(-400.0, 400.0)
