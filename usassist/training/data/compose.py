"""Frames made of others: a nodule pasted into another gland, dual views, the side of a frame without its nodules."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import numpy.typing as npt

from usassist.training.data.sample import Sample

__all__ = ["compose_dual_view", "crop_nodule_free", "paste_nodule"]

UInt8Array = npt.NDArray[np.uint8]

_GAP_SHARE = 0.02  # width of the dark gap of a dual view
_LEAST_FREE_SHARE = 0.35  # of the width, for a side without nodules
_FREE_MARGIN_SHARE = 0.02  # of the width, between a nodule and that side: outlines and boxes are loose


def compose_dual_view(left: Sample, right: Sample) -> Sample:
    """Two frames side by side at the height of the lower one, with a dark gap, like a scanner's dual view."""
    height_px = min(left.image.shape[0], right.image.shape[0])
    gap_px = max(2, round(_GAP_SHARE * (left.image.shape[1] + right.image.shape[1])))
    planes: list[UInt8Array] = []
    for name in ("image", "nodule"):
        halves = []
        for sample in (left, right):
            plane = getattr(sample, name)
            width_px = max(8, round(plane.shape[1] * height_px / plane.shape[0]))
            smooth = cv2.INTER_AREA if name == "image" else cv2.INTER_NEAREST
            halves.append(np.asarray(cv2.resize(plane, (width_px, height_px), interpolation=smooth), np.uint8))
        planes.append(np.hstack([halves[0], np.zeros((height_px, gap_px), np.uint8), halves[1]]))
    image, nodule = planes
    return Sample(name=f"{left.name}|{right.name}", image=image, nodule=nodule, gland=np.zeros_like(nodule))


def paste_nodule(gland: Sample, donor: Sample, rng: np.random.Generator) -> Sample:
    """Paste the nodule of one frame into the gland of another, so that the scanner's appearance is not a cue.

    The pasted patch keeps its texture; its brightness is scaled by the ratio of the gland's level to that of the tissue
    around the original nodule, and its rim is blended over the width of the margin.

    Parameters
    ----------
    gland : a frame with a gland mask
    donor : a frame with a nodule
    rng : source of randomness

    Returns
    -------
    the new frame, or ``gland`` itself when one of the masks is too small
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats(donor.nodule, connectivity=8)
    places = np.argwhere(gland.gland)
    if count < 2 or len(places) < 200:
        return gland
    chosen = 1 + int(rng.integers(count - 1))
    x, y, width_px, height_px, area_px = (int(value) for value in stats[chosen])
    if area_px < 100:
        return gland
    margin_px = max(3, round(0.15 * max(width_px, height_px)))
    y1, x1 = max(0, y - margin_px), max(0, x - margin_px)
    window = np.s_[y1 : y + height_px + margin_px, x1 : x + width_px + margin_px]
    patch, mask = donor.image[window], (labels[window] == chosen).astype(np.uint8)
    scale = float(np.sqrt(rng.uniform(0.08, 0.8) * len(places) / area_px))
    size_wh = (max(8, round(patch.shape[1] * scale)), max(8, round(patch.shape[0] * scale)))
    smooth = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    patch = np.asarray(cv2.resize(patch, size_wh, interpolation=smooth), np.uint8)
    mask = np.asarray(cv2.resize(mask, size_wh, interpolation=cv2.INTER_NEAREST), np.uint8)
    row, column = places[rng.integers(len(places))]
    top, left = int(row) - patch.shape[0] // 2, int(column) - patch.shape[1] // 2
    bottom, right = top + patch.shape[0], left + patch.shape[1]
    if top < 0 or left < 0 or bottom > gland.image.shape[0] or right > gland.image.shape[1]:
        return gland
    place = np.s_[top:bottom, left:right]
    rim_px = max(1.0, margin_px * scale / 3)
    grown = cv2.dilate(mask, np.ones((3, 3), np.uint8), iterations=max(1, round(rim_px)))
    alpha = cv2.GaussianBlur(grown.astype(np.float32), (0, 0), rim_px)
    outside = (mask == 0) & (patch > 0)
    old_level = float(patch[outside].mean()) if outside.any() else float(patch.mean())
    new_level = float(gland.image[gland.gland > 0].mean())
    ratio = float(np.clip(new_level / max(old_level, 1.0), 0.4, 2.5))
    image, nodule = gland.image.copy(), gland.nodule.copy()
    blended = alpha * np.minimum(patch * ratio, 255.0) + (1 - alpha) * image[place]
    image[place] = blended.astype(np.uint8)
    nodule[place] |= mask
    return Sample(name=f"{gland.name}+{donor.name}", image=image, nodule=nodule, gland=gland.gland)


def crop_nodule_free(sample: Sample) -> Sample | None:
    """The wider side of a frame, left or right of all its nodules; None where neither is wide enough.

    So frames of every scanner occur without a nodule, although each was recorded for one.
    """
    width_px = sample.image.shape[1]
    columns = np.flatnonzero(sample.nodule.any(0))
    margin_px = round(_FREE_MARGIN_SHARE * width_px)
    left, right = int(columns[0]) - margin_px, int(columns[-1]) + 1 + margin_px
    side = slice(0, left) if left >= width_px - right else slice(right, width_px)
    if side.stop - side.start < _LEAST_FREE_SHARE * width_px:
        return None
    planes = {name: getattr(sample, name)[:, side] for name in ("image", "nodule", "gland")}
    cleaned = None if sample.cleaned is None else sample.cleaned[:, side]
    return dataclasses.replace(sample, name=f"{sample.name}|", cleaned=cleaned, **planes)
