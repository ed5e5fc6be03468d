"""Nodules with a box each, cropped around it: what the teacher of outlines learns from and is applied to.

With a mask: DDTI part ``train``, the lesions of BUSI, and simulated frames. With a box alone: TN5000.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from usassist.errors import ConfigError
from usassist.training.data.boxed import read_boxed_frame, read_boxes
from usassist.training.data.boxes import box_of_mask, ellipse_plane
from usassist.training.data.masked import read_masked_folder
from usassist.training.data.sample import Sample, nothing_marked

__all__ = [
    "BoxedNodule",
    "Crop",
    "crop_plain",
    "load_boxed_nodules",
    "load_masked",
    "split_nodules",
    "to_indices",
    "warp",
]

UInt8Array = npt.NDArray[np.uint8]
Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]

_MIN_SIDE_PX = 8.0  # smaller parts of a mask are slips of the hand that drew it
_MIN_SHARE_OF_LARGEST = 0.05


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BoxedNodule:
    """One nodule in its frame.

    Attributes
    ----------
    name : of the frame, within its data set
    image : uint8 (H, W), grey
    box_xyxy_px : float64 (4,)
    mask : uint8 (H, W), 1 = this nodule; None where only the box is known
    """

    name: str
    image: UInt8Array
    box_xyxy_px: Float64Array
    mask: UInt8Array | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Crop:
    """A frame around one box.

    Attributes
    ----------
    image : uint8 (S, S)
    shown : float32 (S, S), :func:`ellipse_plane` of the box that the network is shown
    affine : float64 (2, 3), from pixel indices of the frame to those of the crop
    """

    image: UInt8Array
    shown: Float32Array
    affine: Float64Array


def crop_plain(nodule: BoxedNodule, size_px: int, margin: float, *, mirrored: bool = False) -> Crop:
    """Crop around the box, its sides enlarged by a factor and stretched to a square; beyond the frame it is black.

    Parameters
    ----------
    nodule : frame and box
    size_px : side of the crop
    margin : side of the crop over that of the box, at least 1
    mirrored : left and right are exchanged
    """
    box = nodule.box_xyxy_px
    center, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2
    scale = size_px / (2 * half * margin)
    linear = np.diag(scale * (-1.0 if mirrored else 1.0, 1.0))
    affine = to_indices(np.column_stack([linear, size_px / 2 - linear @ center]))
    edge = size_px / 2 * (1 - 1 / margin)
    shown = ellipse_plane(np.array([edge, edge, size_px - edge, size_px - edge]), (size_px, size_px))
    return Crop(warp(nodule.image, affine, size_px), shown, affine)


def to_indices(affine: Float64Array) -> Float64Array:
    """An affine map (2, 3) of continuous coordinates, as one of pixel indices, whose centres lie at 0."""
    moved = affine.copy()
    moved[:, 2] += affine[:, :2] @ (0.5, 0.5) - 0.5
    return moved


def warp(plane: UInt8Array, affine: Float64Array, size_px: int) -> UInt8Array:
    """Warp a plane to a square; one that is reduced is smoothed first, because the warp does not average."""
    scale = float(np.sqrt(abs(np.linalg.det(affine[:, :2]))))
    if scale < 0.7:
        plane = np.asarray(cv2.GaussianBlur(plane, (0, 0), 0.4 / scale), np.uint8)
    return np.asarray(cv2.warpAffine(plane, affine, (size_px, size_px), flags=cv2.INTER_LINEAR), np.uint8)


def split_nodules(samples: Iterable[Sample]) -> list[BoxedNodule]:
    """One entry for each connected nodule of each frame, except for very small ones."""
    nodules = []
    for sample in samples:
        _, labels, stats, _ = cv2.connectedComponentsWithStats(sample.nodule, connectivity=8)
        least = _MIN_SHARE_OF_LARGEST * stats[1:, cv2.CC_STAT_AREA].max(initial=0)
        for label, (_, _, width, height, area) in enumerate(stats[1:], start=1):
            if min(width, height) >= _MIN_SIDE_PX and area >= least:
                mask = (labels == label).astype(np.uint8)
                nodules.append(
                    BoxedNodule(name=sample.name, image=sample.image, box_xyxy_px=box_of_mask(mask), mask=mask)
                )
    return nodules


def load_masked(folder: Path, prefixes: tuple[str, ...] = ("",)) -> list[Sample]:
    """Frames of a folder whose name starts with a prefix, with their masks, uncropped; empty masks left out.

    Raises
    ------
    ConfigError
        When a frame or its mask cannot be read, when their sizes differ, or when no mask is left.
    """
    samples = [
        Sample(name=name, image=image, nodule=mask, gland=nothing_marked(mask))
        for name, image, mask in read_masked_folder(folder, lambda name: name.startswith(prefixes))
        if mask.any()
    ]
    if not samples:
        raise ConfigError(f"{folder} has no mask that is not empty; fetch the data set again")
    return samples


def load_boxed_nodules(folder: Path, part: str) -> list[BoxedNodule]:
    """Frames of a part of TN5000, each with its box, cut at the frame.

    Raises
    ------
    ConfigError
        When the boxes cannot be read, one is not usable, or a frame cannot be read; see
        :func:`usassist.training.data.boxed.read_boxes`.
    """
    nodules = []
    for row in read_boxes(folder, part):
        height_px, width_px = row.size_hw_px
        inside = np.clip(row.box_xyxy_px, 0.0, [width_px, height_px, width_px, height_px])
        nodules.append(BoxedNodule(name=row.name, image=read_boxed_frame(folder, row), box_xyxy_px=inside))
    return nodules
