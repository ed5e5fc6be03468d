"""Bleeds drawn into a slice: lenses and crescents under the skull, blood in the tissue, the ventricles and the sulci.

Each function gives where the blood is; :func:`add_bleeds` mixes them and paints their density. Sizes are shares of the
side of the slice, which is about the length of the head.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from usassist.phantom.ct.render import blur, smooth_field

__all__ = ["EXTRA_AXIAL", "INTRAPARENCHYMAL", "INTRAVENTRICULAR", "Space", "add_bleeds", "measure_space"]

Float32Array = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]
UInt8Array = npt.NDArray[np.uint8]

INTRAPARENCHYMAL, INTRAVENTRICULAR, EXTRA_AXIAL = 1, 2, 3
"""Values of the map of kinds: indices into the labels of the engine."""

_LEAST_PX = 12


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Space:
    """The inside of a skull, as the bleeds need it.

    Attributes
    ----------
    inside, ventricle : bool (N, N)
    depth : float32 (N, N), distance to the inner table, px; 0 outside
    angle : float32 (N, N), around the centre of the inside, radians
    sulci : float32 (N, N), 0 to 1: how much a pixel belongs to a sulcus or fissure
    across : float32 (N, N), signed distance to the midline, px
    """

    inside: BoolArray
    ventricle: BoolArray
    depth: Float32Array
    angle: Float32Array
    sulci: Float32Array
    across: Float32Array


def measure_space(
    inside: BoolArray, ventricle: BoolArray, sulci: Float32Array, across_xy: tuple[float, float] = (1.0, 0.0)
) -> Space:
    """Depth, angle and midline of the inside of a skull.

    Parameters
    ----------
    inside, ventricle : bool (N, N)
    sulci : float32 (N, N), 0 to 1
    across_xy : unit vector at right angles to the midline
    """
    depth = np.asarray(cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L2, 5), np.float32)
    y, x = np.nonzero(inside)
    rows, columns = np.indices(inside.shape, dtype=np.float32)
    dx, dy = columns - np.float32(x.mean()), rows - np.float32(y.mean())
    return Space(
        inside=inside,
        ventricle=ventricle,
        depth=depth,
        angle=np.arctan2(dy, dx),
        sulci=sulci,
        across=np.asarray(dx * np.float32(across_xy[0]) + dy * np.float32(across_xy[1]), np.float32),
    )


def _extra_axial(space: Space, rng: np.random.Generator) -> BoolArray:
    """A lens or a crescent along the inner table."""
    side = space.inside.shape[0]
    rim = space.depth[space.inside]
    radius = float(rim.max())
    crescent = rng.random() < 0.45
    thickness = side * float(np.exp(rng.uniform(np.log(0.012), np.log(0.07 if crescent else 0.10))))
    thickness = min(thickness, 0.5 * radius)
    half = float(rng.uniform(0.25, 1.4)) if crescent else float(np.exp(rng.uniform(np.log(0.12), np.log(0.6))))
    if not crescent:  # a lens: its thickness goes with its length
        thickness = min(thickness, half * radius * float(rng.uniform(0.25, 0.9)))
    where = rng.uniform(-np.pi, np.pi)
    turned = np.abs(np.angle(np.exp(1j * (space.angle - where)))).astype(np.float32) / np.float32(half)
    power = float(rng.uniform(0.25, 0.6)) if crescent else float(rng.uniform(0.8, 1.3))
    profile = np.clip(1.0 - turned**2, 0.0, None) ** np.float32(power)
    ragged = smooth_field(space.inside.shape, side * float(rng.uniform(0.02, 0.08)), rng)
    height = thickness * profile * (1.0 + np.float32(rng.uniform(0.05, 0.35)) * ragged)
    return np.asarray(space.inside & (space.depth < height) & (turned < 1.0))


def _near_midline(space: Space, rng: np.random.Generator) -> BoolArray:
    """Blood along the falx."""
    side = space.inside.shape[0]
    width = side * rng.uniform(0.008, 0.03)
    ragged = smooth_field(space.inside.shape, side * 0.03, rng)
    along = smooth_field(space.inside.shape, side * 0.25, rng)
    offset = side * rng.uniform(-0.015, 0.015)
    band = np.abs(space.across - offset) < width * (1.0 + 0.4 * ragged)
    return np.asarray(band & (along > rng.uniform(0.2, 1.0)) & space.inside & ~space.ventricle)


def _lobulated(space: Space, rng: np.random.Generator) -> BoolArray:
    """A round or lobulated bleed in the tissue, or several small ones close together."""
    side = space.inside.shape[0]
    shape = space.inside.shape
    small = rng.random() < 0.4
    radius = side * float(np.exp(rng.uniform(np.log(0.012), np.log(0.045 if small else 0.13))))
    allowed = np.argwhere(space.inside & (space.depth > (0.3 if rng.random() < 0.5 else 0.9) * radius))
    if not len(allowed):
        return np.zeros(shape, np.bool_)
    row, column = allowed[rng.integers(len(allowed))]
    rows, columns = np.indices(shape, dtype=np.float32)
    field = np.zeros(shape, np.float32)
    for _ in range(int(rng.integers(1, 6))):
        lobe = radius * rng.uniform(0.5, 1.0)
        squeeze, turn = rng.uniform(0.5, 1.0), rng.uniform(0, np.pi)
        dy, dx = rows - row - rng.normal(0, 0.6 * radius), columns - column - rng.normal(0, 0.6 * radius)
        major, minor = dx * np.cos(turn) + dy * np.sin(turn), (dy * np.cos(turn) - dx * np.sin(turn)) / squeeze
        field = np.maximum(field, np.exp(-(major**2 + minor**2) / np.float32(2 * (0.6 * lobe) ** 2)))
    wobble = smooth_field(shape, max(radius * 0.3, 1.5), rng)
    return np.asarray((field * (1.0 + np.float32(rng.uniform(0.0, 0.45)) * wobble) > 0.5) & space.inside)


def _in_ventricles(space: Space, rng: np.random.Generator) -> BoolArray:
    """A level in the horns, or a cast of whole ventricles."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(space.ventricle.astype(np.uint8))
    parts = [number for number in range(1, count) if stats[number, cv2.CC_STAT_AREA] >= 2 * _LEAST_PX]
    if not parts:
        return np.zeros(space.inside.shape, np.bool_)
    chosen = [part for part in parts if rng.random() < 0.6] or [parts[int(rng.integers(len(parts)))]]
    blood = np.isin(labels, chosen)
    if rng.random() < 0.7:  # blood settles
        rows, columns = np.indices(blood.shape, dtype=np.float32)
        down = rng.uniform(-np.pi, np.pi)
        height = rows * np.sin(down) + columns * np.cos(down)
        wave = smooth_field(blood.shape, 6.0, rng) * np.float32(rng.uniform(0.0, 2.0))
        level = np.zeros_like(blood)
        for part in chosen:
            inside = labels == part
            level |= inside & (height + wave > np.quantile(height[inside], rng.uniform(0.3, 0.9)))
        blood &= level
    return np.asarray(blood)


def _in_sulci(space: Space, rng: np.random.Generator) -> BoolArray:
    """Subarachnoid blood and small contusions of the cortex: ragged, along sulci, in one region."""
    side = space.inside.shape[0]
    shape = space.inside.shape
    rim = np.argwhere(space.inside & (space.depth < 0.12 * side))
    row, column = rim[rng.integers(len(rim))]
    rows, columns = np.indices(shape, dtype=np.float32)
    extent = side * rng.uniform(0.05, 0.22)
    near = np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / np.float32(2 * extent**2))
    ragged = smooth_field(shape, 3.0, rng)
    shallow = space.depth < side * rng.uniform(0.06, 0.2)
    along = blur(space.sulci, 0.8) + np.float32(0.15) * ragged
    patches = np.float32(0.3) * smooth_field(shape, side * 0.015, rng) if rng.random() < 0.5 else 0.0
    return np.asarray(space.inside & shallow & ((along + patches) * near > rng.uniform(0.2, 0.35)))


def _density(mask: BoolArray, rng: np.random.Generator, kind: int, tissue_hu: float) -> Float32Array:
    """HU of the blood: acute as a rule, seldom mixed with older or not yet clotted blood."""
    shape = mask.shape
    mean = float(np.clip(rng.normal(58.0, 10.0), tissue_hu + 9.0, 88.0))
    if kind == INTRAVENTRICULAR and rng.random() < 0.5:
        mean = float(rng.uniform(34.0, 55.0))  # diluted by CSF
    elif rng.random() < 0.15:
        mean = float(rng.uniform(tissue_hu + 7.0, tissue_hu + 15.0))
    spread = float(rng.uniform(1.0, 6.0))
    hu = mean + np.float32(spread) * smooth_field(shape, shape[0] * float(rng.uniform(0.01, 0.04)), rng)
    if kind != INTRAVENTRICULAR and rng.random() < 0.15:  # swirl, layer, older parts
        older = smooth_field(shape, shape[0] * float(rng.uniform(0.02, 0.08)), rng)
        share = 1.0 / (1.0 + np.exp(-4.0 * (older - rng.uniform(0.2, 1.2))))
        hu = hu * (1.0 - share) + np.float32(rng.uniform(18.0, 40.0)) * share
    return np.asarray(hu, np.float32)


def add_bleeds(
    hu: Float32Array,
    space: Space,
    rng: np.random.Generator,
    *,
    drawn: BoolArray | None = None,
    edge_px: float = 0.0,
    tissue_hu: float = 33.0,
) -> tuple[Float32Array, UInt8Array]:
    """Add one to three bleeds.

    Parameters
    ----------
    hu : float32 (N, N), the slice without blood
    space : the inside of its skull
    drawn : bool (N, N), blood of a label map, to be painted too
    edge_px : standard deviation of the blur of the edges; 0 where the whole slice is blurred afterwards
    tissue_hu : of the brain

    Returns
    -------
    hu : float32 (N, N)
    kinds : uint8 (N, N), 0 = no blood; empty where no bleed found room
    """
    kinds = np.zeros(hu.shape, np.uint8)
    makers = (
        (_extra_axial, EXTRA_AXIAL, 0.42),
        (_lobulated, INTRAPARENCHYMAL, 0.30),
        (_in_sulci, EXTRA_AXIAL, 0.12),
        (_in_ventricles, INTRAVENTRICULAR, 0.12 if space.ventricle.any() else 0.0),
        (_near_midline, EXTRA_AXIAL, 0.04),
    )
    weights = np.array([weight for _, _, weight in makers])
    wanted = 1 + int(rng.random() < 0.3) + int(rng.random() < 0.1)
    plan: list[tuple[BoolArray, int]] = []
    if drawn is not None and drawn.any():
        plan.append((drawn, 0))
        wanted = int(rng.random() < 0.3)
    for _ in range(wanted):
        for _attempt in range(4):
            maker, kind, _ = makers[int(rng.choice(len(makers), p=weights / weights.sum()))]
            mask = maker(space, rng)
            if mask.sum() >= _LEAST_PX:
                plan.append((mask, kind))
                break
    for mask, kind in plan:
        hu = _paint(hu, space, mask, kind, rng, edge_px, tissue_hu)
        kinds[mask] = np.where(_kind_of_drawn(space, mask), EXTRA_AXIAL, INTRAPARENCHYMAL)[mask] if kind == 0 else kind
        if kind == 0:
            kinds[mask & cv2.dilate(space.ventricle.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(np.bool_)] = (
                INTRAVENTRICULAR
            )
    return hu, kinds


def _kind_of_drawn(space: Space, mask: BoolArray) -> BoolArray:
    """Where drawn blood lies outside of the brain: its parts that lie mostly along the skull. Bool (N, N)."""
    count, labels = cv2.connectedComponents(mask.astype(np.uint8))
    side = mask.shape[0]
    outside = np.zeros(mask.shape, np.bool_)
    for number in range(1, count):
        part = labels == number
        depth = space.depth[part]
        if depth.min() <= 2.0 and float(np.median(depth)) < 0.05 * side:
            outside |= part
    return outside


def _paint(
    hu: Float32Array,
    space: Space,
    mask: BoolArray,
    kind: int,
    rng: np.random.Generator,
    edge_px: float,
    tissue_hu: float,
) -> Float32Array:
    share = blur(mask.astype(np.float32), edge_px)
    if edge_px:  # at the skull there is bone beyond the edge, not tissue
        share = np.where(mask & (space.depth < 2.0), np.float32(1.0), share) * space.inside
    if kind in (0, INTRAPARENCHYMAL) and rng.random() < 0.6:  # oedema
        side = hu.shape[0]
        width = side * rng.uniform(0.008, 0.05)
        far = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5)
        ragged = smooth_field(hu.shape, side * 0.03, rng)
        rim = blur(((far < width * (1.0 + 0.5 * ragged)) & space.inside & ~space.ventricle).astype(np.float32), 1.5)
        hu = hu - rim * np.float32(rng.uniform(3.0, 13.0)) * (hu > 5.0)
    elif kind == EXTRA_AXIAL and rng.random() < 0.5:  # sulci are pressed shut beside it
        far = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5)
        close = np.exp(-far / np.float32(hu.shape[0] * 0.06)) * (space.inside & ~space.ventricle)
        hu = hu + close * np.clip(np.float32(tissue_hu) - hu, 0.0, 30.0)
    density = _density(mask, rng, kind, tissue_hu)
    if edge_px:  # keeps the grain of the picture
        density = density + (hu - blur(hu, 2.0)) * np.float32(rng.uniform(0.5, 1.0))
    return np.asarray(hu * (1.0 - share) + density * share, np.float32)
