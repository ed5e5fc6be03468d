"""HU of a slice without blood, from the shapes of a label map."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from usassist.errors import ConfigError
from usassist.phantom.ct.render import blur, smooth_field
from usassist.training.ct.bleeds import Space, measure_space
from usassist.training.ct.label_maps import Shapes

__all__ = ["TEMPLATE", "paint_head", "read_template"]

Float32Array = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]

TEMPLATE = "ct_head_template"

_TEMPLATE_FILE = "scct_unsmooth_SS_0.01.nii.gz"
_TEMPLATE_PLANES = range(46, 140, 2)  # from the temporal lobes to below the vertex


def read_template(data_root: Path) -> list[Float32Array]:
    """Planes of the healthy template, each cut to its brain: float32 (Y, X), HU, front at the top, NaN outside.

    Raises
    ------
    ConfigError
        If the file is missing, or the library that reads it.
    """
    path = data_root / TEMPLATE / _TEMPLATE_FILE
    if not path.is_file():
        raise ConfigError(f"{path} is missing; set USASSIST_DATA to the folder of the data")
    try:
        import nibabel
    except ImportError as error:
        raise ConfigError("nibabel is missing; install it with: pip install 'usassist[volumes]'") from error
    voxels = np.asarray(nibabel.load(path).dataobj, np.float32)  # type: ignore[attr-defined]
    planes = []
    for index in _TEMPLATE_PLANES:
        plane = voxels[:, ::-1, index].T
        brain = cv2.morphologyEx((plane != 0.0).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8)) > 0
        rows, columns = np.flatnonzero(brain.any(axis=1)), np.flatnonzero(brain.any(axis=0))
        cut = np.where(brain & (plane != 0.0), plane, np.float32(np.nan))
        planes.append(np.ascontiguousarray(cut[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], np.float32))
    return planes


def paint_head(
    shapes: Shapes, template: list[Float32Array], rng: np.random.Generator
) -> tuple[Float32Array, Space, float]:
    """A head without blood.

    Parameters
    ----------
    shapes : bool (N, N) each
    template : of :func:`read_template`; empty = brain is always made of noise

    Returns
    -------
    hu : float32 (N, N)
    space : the inside of the skull
    tissue_hu : typical HU of the brain
    """
    side = shapes.inside.shape[0]
    sulci = _draw_sulci(shapes.inside, rng)
    space = measure_space(shapes.inside, shapes.ventricle, sulci, shapes.across_xy)
    tissue_hu = float(rng.normal(32.0, 2.5))
    hu = np.full((side, side), -1000.0, np.float32)
    _paint_outside(hu, shapes, rng)
    brain = _draw_brain(space, tissue_hu, template if rng.random() < 0.4 else [], rng)
    csf_hu = float(rng.uniform(2.0, 14.0))
    brain = brain * (1 - sulci) + np.float32(csf_hu) * sulci
    edge = blur(shapes.ventricle.astype(np.float32), 0.6)
    brain = brain * (1 - edge) + np.float32(csf_hu - 1.0) * edge
    brain = _add_lines(brain, space, rng)
    hu[shapes.inside] = brain[shapes.inside]
    _paint_bone(hu, shapes, rng)
    _add_calcium(hu, space, rng)
    return hu, space, tissue_hu


def _draw_sulci(inside: BoolArray, rng: np.random.Generator) -> Float32Array:
    """Where CSF fills sulci: winding lines near the skull, and some wider fissures. Float32 (N, N), 0 to 1."""
    side = inside.shape[0]
    depth = cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L2, 5)
    field = smooth_field(inside.shape, side * float(rng.uniform(0.016, 0.035)), rng)
    atrophy = float(rng.beta(1.3, 2.2))
    reach = side * (0.05 + 0.12 * atrophy)
    width = (0.05 + 0.30 * atrophy) * np.exp(-depth / np.float32(reach))
    lines = np.clip((width - np.abs(field)) / np.float32(0.10), 0.0, 1.0)
    wide = smooth_field(inside.shape, side * 0.05, rng)
    cisterns = np.clip((wide - np.float32(2.4 - 0.7 * atrophy)) * 3.0, 0.0, 1.0)
    rim = np.clip(np.float32(1.5 + 3.0 * atrophy * rng.random()) - depth, 0.0, 1.0) * np.float32(rng.random() < 0.5)
    return np.asarray(np.clip(lines + cisterns + 0.7 * rim, 0.0, 1.0) * inside, np.float32)


def _draw_brain(space: Space, tissue_hu: float, template: list[Float32Array], rng: np.random.Generator) -> Float32Array:
    """Grey and white matter."""
    side = space.inside.shape[0]
    contrast = float(rng.uniform(3.0, 11.0))
    fine = smooth_field(space.inside.shape, side * float(rng.uniform(0.02, 0.045)), rng)
    cortex = np.exp(-space.depth / np.float32(side * rng.uniform(0.03, 0.07)))
    grey = np.clip(
        cortex * 1.1 + 0.5 * np.clip(1.0 - np.abs(fine) * 2.2, 0.0, 1.0) * (space.depth < side * 0.16), 0.0, 1.0
    )
    nuclei = smooth_field(space.inside.shape, side * 0.045, rng)
    grey = np.maximum(grey, np.clip((nuclei - 0.9) * 2.0, 0.0, 1.0) * (space.depth > side * 0.12))
    brain = tissue_hu + np.float32(contrast) * (blur(grey.astype(np.float32), 1.0) - np.float32(0.4))
    if template:
        brain = _from_template(space, tissue_hu, template[int(rng.integers(len(template)))], brain, rng)
    brain = brain + np.float32(rng.uniform(0.5, 2.5)) * smooth_field(space.inside.shape, side * 0.10, rng)
    if rng.random() < 0.15:  # old or fresh infarct, oedema
        patch = smooth_field(space.inside.shape, side * 0.07, rng)
        brain = brain - np.clip((patch - 1.2) * 2.0, 0.0, 1.0) * np.float32(rng.uniform(4.0, 18.0))
    return np.asarray(brain, np.float32)


def _from_template(
    space: Space, tissue_hu: float, plane: Float32Array, rest: Float32Array, rng: np.random.Generator
) -> Float32Array:
    """The plane of the template, stretched to the inside of the skull, where it shows brain."""
    rows, columns = np.flatnonzero(space.inside.any(axis=1)), np.flatnonzero(space.inside.any(axis=0))
    size_wh = (int(columns[-1] + 1 - columns[0]), int(rows[-1] + 1 - rows[0]))
    part = plane[:, ::-1] if rng.random() < 0.5 else plane
    fitted = cv2.resize(np.ascontiguousarray(part), size_wh, interpolation=cv2.INTER_LINEAR)
    level = float(np.nanmedian(plane))
    fitted = (fitted - level) * np.float32(rng.uniform(0.7, 1.2)) + np.float32(tissue_hu)
    out = rest.copy()
    target = out[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    valid = np.isfinite(fitted) & (fitted < tissue_hu + 12.0)
    target[valid] = np.maximum(fitted[valid], 2.0)
    return out


def _add_lines(brain: Float32Array, space: Space, rng: np.random.Generator) -> Float32Array:
    """Falx, tentorium, sinuses, dura and partial volume of the inner table: bright, thin, and no blood."""
    side = space.inside.shape[0]
    shape = (side, side)
    axis = np.abs(space.across + np.float32(side * 0.008) * smooth_field(shape, side * 0.15, rng))
    bright = float(rng.uniform(40.0, 66.0))

    def mix(share: Float32Array, hu: float) -> None:
        np.copyto(brain, brain * (1 - share) + np.float32(hu) * share)

    if rng.random() < 0.85:
        gap = np.clip(np.float32(side * rng.uniform(0.004, 0.015)) - axis, 0.0, 1.0)
        mix(0.7 * gap * (space.depth < side * rng.uniform(0.1, 0.5)), 12.0)
        line = np.clip(np.float32(np.exp(rng.uniform(np.log(0.4), np.log(2.6)))) - axis + 0.5, 0.0, 1.0)
        reach = side * rng.uniform(0.1, 0.6)
        mix(
            line * (space.depth < reach) * ~space.ventricle, bright if rng.random() < 0.95 else rng.uniform(80.0, 160.0)
        )
        if rng.random() < 0.7:  # the falx widens where sinuses meet
            width = side * rng.uniform(0.008, 0.028)
            where = (axis / width) ** 2 + ((space.depth - reach) / (width * rng.uniform(1.0, 3.0))) ** 2
            mix(np.exp(-np.clip(where, 0.0, 20.0)) * space.inside, rng.uniform(44.0, 72.0))
    if rng.random() < 0.75:  # sagittal sinus, at one end of the midline or both
        triangle = (axis < np.float32(side * rng.uniform(0.012, 0.03)) - 0.35 * space.depth) & (
            space.depth < side * rng.uniform(0.015, 0.06)
        )
        end = np.sin(space.angle) > 0 if rng.random() < 0.6 else np.ones_like(space.inside)
        mix(blur((triangle & end).astype(np.float32), 0.6), rng.uniform(44.0, 70.0))
    if rng.random() < 0.25:  # tentorium: two lines from the middle to the back
        bend = np.abs(space.across) * np.float32(rng.uniform(0.5, 1.3))
        rows = np.indices(shape, dtype=np.float32)[0]
        middle = np.float32(np.mean(np.nonzero(space.inside)[0]) + side * rng.uniform(-0.05, 0.15))
        line = (np.abs(rows - middle - bend) < rng.uniform(0.6, 2.2)) & space.inside
        mix(blur(line.astype(np.float32), 0.6), bright)
    if rng.random() < 0.3:  # transverse sinus along the inner table
        turned = np.abs(np.angle(np.exp(1j * (space.angle - rng.uniform(0.1 * np.pi, 0.9 * np.pi)))))
        where = (turned < rng.uniform(0.08, 0.3)) & (space.depth < rng.uniform(2.0, 5.0)) & space.inside
        mix(blur(where.astype(np.float32), 0.7), rng.uniform(42.0, 62.0))
    if rng.random() < 0.6:  # dura, and bone that the slice cuts at a slant
        near = np.exp(-np.clip(space.depth - 0.5, 0.0, None) / np.float32(rng.uniform(0.5, 2.2)))
        uneven = np.clip(0.6 + 0.7 * smooth_field(shape, side * rng.uniform(0.05, 0.25), rng), 0.0, 2.0)
        np.copyto(brain, brain + np.float32(rng.uniform(8.0, 55.0)) * near * uneven)
    return brain


def _paint_outside(hu: Float32Array, shapes: Shapes, rng: np.random.Generator) -> None:
    """Scalp, muscle, fat, swelling; bone of the face and air in it are of the map."""
    side = hu.shape[0]
    soft = shapes.head & ~shapes.bone & ~shapes.inside
    texture = smooth_field(hu.shape, side * 0.02, rng)
    fat_share = 1.0 / (1.0 + np.exp(-3.0 * (texture + rng.uniform(-0.5, 1.0))))
    hu[soft] = (np.float32(rng.uniform(35, 65)) * (1 - fat_share) - np.float32(95) * fat_share)[soft]
    if rng.random() < 0.5:  # swelling
        where = rng.uniform(-np.pi, np.pi)
        rows, columns = np.indices(hu.shape, dtype=np.float32)
        angle = np.arctan2(rows - side / 2, columns - side / 2)
        turned = np.abs(np.angle(np.exp(1j * (angle - where)))) < rng.uniform(0.2, 0.8)
        hole = cv2.distanceTransform((~(shapes.bone | shapes.inside)).astype(np.uint8), cv2.DIST_L2, 5)
        swollen = turned & (hole > 0) & (hole < side * rng.uniform(0.015, 0.09)) & ~shapes.inside
        hu[swollen] = rng.uniform(35.0, 76.0) + 5.0 * texture[swollen]


def _paint_bone(hu: Float32Array, shapes: Shapes, rng: np.random.Generator) -> None:
    """Tables and diploe, air cells in thick bone, and a skull that is thicker or thinner than in the map."""
    side = hu.shape[0]
    bone = shapes.bone
    thicker = rng.uniform(-0.004, 0.012) * side
    if thicker > 0.5:  # outwards, so that the inside stays
        near = cv2.distanceTransform((~bone).astype(np.uint8), cv2.DIST_L2, 5)
        bone = bone | ((near < thicker) & ~shapes.inside & (hu > -500))
    far = cv2.distanceTransform(bone.astype(np.uint8), cv2.DIST_L2, 5)
    table = float(rng.uniform(650.0, 1500.0))
    diploe = float(rng.uniform(250.0, 800.0))
    share = np.exp(-np.clip(far - 1.0, 0, None) / np.float32(side * 0.006))
    values = diploe + (table - diploe) * share + 80.0 * smooth_field(hu.shape, 2.5, rng)
    thin = np.clip(far / 1.5, 0.0, 1.0)  # partial volume of an oblique plate
    if rng.random() < 0.3:
        values = values * (0.25 + 0.75 * thin)
    hu[bone] = values[bone]
    if rng.random() < 0.5:
        cells = (smooth_field(hu.shape, side * 0.015, rng) > 0.3) & (far > side * 0.028)
        hu[cells] = -900.0


def _add_calcium(hu: Float32Array, space: Space, rng: np.random.Generator) -> None:
    """Calcified choroid, pineal gland and basal ganglia; seldom air inside the skull. In place."""
    side = hu.shape[0]

    def spot(row: float, column: float, radius: float, value: float) -> None:
        rows, columns = np.indices(hu.shape, dtype=np.float32)
        share = np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / np.float32(2 * radius**2)) * space.inside
        np.copyto(hu, hu * (1 - share) + np.float32(value) * share)

    places = np.argwhere(space.ventricle)
    if len(places) and rng.random() < 0.45:
        for _ in range(int(rng.integers(1, 4))):
            row, column = places[rng.integers(len(places))]
            spot(row, column, rng.uniform(0.6, 2.0), rng.uniform(70.0, 300.0))
    middle = np.argwhere(space.inside & (np.abs(space.across) < 3) & (space.depth > 0.2 * side))
    if len(middle) and rng.random() < 0.25:
        row, column = middle[rng.integers(len(middle))]
        spot(row, column, rng.uniform(0.8, 2.0), rng.uniform(100.0, 400.0))
    deep = np.argwhere(space.inside & (space.depth > 0.18 * side) & ~space.ventricle)
    if len(deep) and rng.random() < 0.12:
        row, column = deep[rng.integers(len(deep))]
        for side_column in (column, float(2 * np.mean(np.nonzero(space.inside)[1]) - column)):
            spot(row, side_column, rng.uniform(0.8, 2.5), rng.uniform(45.0, 160.0))
    if rng.random() < 0.05:
        rim = np.argwhere(space.inside & (space.depth < 0.06 * side))
        for row, column in rim[rng.integers(len(rim), size=int(rng.integers(1, 8)))]:
            spot(row, column, rng.uniform(0.6, 2.0), -900.0)
