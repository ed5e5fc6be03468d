"""Batches for the teacher of outlines: nodules of all its sets, cropped around their boxes and augmented."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from usassist.training.data.appearance import Appearance, cumulative_histogram
from usassist.training.data.boxes import box_plane, ellipse_plane
from usassist.training.teacher.nodules import BoxedNodule, to_indices, warp

__all__ = ["BoxBatch", "BoxBatchMaker", "TrainCrop", "augment_crop"]

UInt8Array = npt.NDArray[np.uint8]
Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]

_MARGIN = (1.25, 1.8)  # side of the crop over that of the box
_LOOSE = (0.02, 0.03)  # mean and standard deviation of how far a drawn box lies outside, share of the side
_SHIFT_SD = 0.03  # of the box in the crop, share of the crop
_ROTATE_MOST_DEG = 12.0
_CUT_SHARE = 0.1  # of the nodules with a mask, which are cut by the border of the frame
_CUT_MOST = 0.4  # of the nodule


@dataclass(frozen=True, slots=True, eq=False)
class TrainCrop:
    """One augmented crop.

    Attributes
    ----------
    image : uint8 (S, S)
    shown : float32 (S, S), :func:`ellipse_plane` of the box that the network is shown
    target : float32 (S/2, S/2): the mask, or the box where only the box is known
    has_mask : whether ``target`` is a mask
    """

    image: UInt8Array
    shown: Float32Array
    target: Float32Array
    has_mask: bool


@dataclass(frozen=True, slots=True, eq=False)
class BoxBatch:
    """Crops and their targets.

    Attributes
    ----------
    inputs : float32 (B, 2, S, S): grey, 0 to 1, and the plane that shows the box
    target : float32 (B, 1, S/2, S/2)
    has_mask : float32 (B,), 1 where the target is a mask, 0 where it is a box
    """

    inputs: Tensor
    target: Tensor
    has_mask: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class BoxBatchMaker:
    """Draws and augments nodules; batch number ``n`` depends on the seed and ``n`` alone.

    Attributes
    ----------
    groups : the nodules of each set, and how many of them are in a batch
    appearance : changes the appearance
    size_px : side of the crops, a multiple of 32
    seed : of the batches
    """

    groups: Sequence[tuple[Sequence[BoxedNodule], int]]
    appearance: Appearance
    size_px: int
    seed: int

    def make(self, step: int) -> BoxBatch:
        """Make batch number ``step``."""
        rng = np.random.default_rng((self.seed, step))
        crops = []
        for kind, (nodules, count) in enumerate(self.groups):
            for position in range(step * count, (step + 1) * count):
                epoch, place = divmod(position, len(nodules))
                order = np.random.default_rng((self.seed, kind, epoch)).permutation(len(nodules))
                crops.append(augment_crop(nodules[order[place]], self.size_px, self.appearance, rng))
        inputs = [np.stack([crop.image.astype(np.float32) / np.float32(255.0), crop.shown]) for crop in crops]
        return BoxBatch(
            inputs=torch.from_numpy(np.stack(inputs)),
            target=torch.from_numpy(np.stack([crop.target for crop in crops])[:, None]),
            has_mask=torch.tensor([float(crop.has_mask) for crop in crops]),
        )


def augment_crop(nodule: BoxedNodule, size_px: int, appearance: Appearance, rng: np.random.Generator) -> TrainCrop:
    """Crop around the nodule, rotated where its mask is known, with a box as loose as drawn ones are.

    Parameters
    ----------
    nodule : frame and box, or mask
    size_px : side of the crop
    appearance : changes the appearance
    rng : source of randomness
    """
    image, mask = nodule.image, nodule.mask
    if mask is not None and rng.random() < _CUT_SHARE:
        image, mask = _cut(image, mask, rng)
    box, rotation = nodule.box_xyxy_px, np.eye(2)
    if mask is not None:
        angle = np.deg2rad(rng.uniform(-1, 1) * _ROTATE_MOST_DEG)
        rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        turned = (np.concatenate(contours)[:, 0] + 0.5) @ rotation.T
        box = np.concatenate([turned.min(0) - 0.5, turned.max(0) + 0.5])
    side = np.tile(box[2:] - box[:2], 2)
    outward = np.array([-1.0, -1.0, 1.0, 1.0]) * rng.normal(*_LOOSE, 4)
    loose = box + side * outward
    margin = rng.uniform(*_MARGIN, 2)
    window_px = margin * (loose[2:] - loose[:2])
    start = (loose[:2] + loose[2:]) / 2 - window_px * (0.5 + rng.normal(0.0, _SHIFT_SD, 2))
    scale, offset = size_px / window_px, np.zeros(2)
    if rng.random() < 0.5:
        scale[0], offset[0] = -scale[0], float(size_px)

    def in_crop(edges: Float64Array) -> Float64Array:
        ends = (edges.reshape(2, 2) - start) * scale + offset
        return np.concatenate([ends.min(0), ends.max(0)])

    linear = np.diag(scale) @ rotation
    affine = to_indices(np.column_stack([linear, offset - scale * start]))
    out = appearance(warp(image, affine, size_px), cumulative_histogram(nodule.image), rng)
    half = size_px // 2
    if mask is None:
        target = box_plane(in_crop(box) / 2, (half, half))
    else:
        whole = warp(mask * np.uint8(255), affine, size_px)
        target = cv2.resize(whole, (half, half), interpolation=cv2.INTER_AREA).astype(np.float32) / np.float32(255.0)
    return TrainCrop(out, ellipse_plane(in_crop(loose), (size_px, size_px)), target, mask is not None)


def _cut(image: UInt8Array, mask: UInt8Array, rng: np.random.Generator) -> tuple[UInt8Array, UInt8Array]:
    """Cut the frame through the nodule, from a random side: what was beyond is gone."""
    turns = int(rng.integers(4))
    image, mask = np.rot90(image, turns), np.rot90(mask, turns)
    rows = np.flatnonzero(mask.any(1))
    first = rows[0] + int(rng.uniform(0.1, _CUT_MOST) * len(rows))
    image, mask = (np.rot90(plane[first:], -turns) for plane in (image, mask))
    return np.ascontiguousarray(image), np.ascontiguousarray(mask)
