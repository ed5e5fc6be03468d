"""Nodules with a box each, cropped around it: what the teacher of outlines learns from and is applied to.

With a mask: DDTI part ``train``, the lesions of BUSI, and simulated frames. With a box alone: TN5000.
Boxes are ``xyxy`` in px, continuous: a mask that fills the frame has the box (0, 0, width, height).
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from usassist.errors import ConfigError
from usassist.training.datasets import Sample

__all__ = [
    "BoxedNodule",
    "Crop",
    "box_of_mask",
    "box_plane",
    "crop_plain",
    "ellipse_plane",
    "load_boxed",
    "load_masked_folder",
    "split_nodules",
]

UInt8Array = npt.NDArray[np.uint8]
Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]

_MIN_SIDE_PX = 8.0  # smaller parts of a mask are slips of the hand that drew it
_MIN_SHARE_OF_LARGEST = 0.05
_MIN_INSIDE_PX = 2.0  # of a box, inside its frame
_COLUMNS = ("id", "part", "width", "height", "x1", "y1", "x2", "y2")


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


def box_of_mask(mask: UInt8Array) -> Float64Array:
    """The box around a mask that is not empty: float64 (4,), xyxy."""
    x, y, width, height = cv2.boundingRect(mask)
    return np.array([x, y, x + width, y + height], np.float64)


def box_plane(box_xyxy_px: Float64Array, size_hw_px: tuple[int, int]) -> Float32Array:
    """Share of each pixel inside a box: float32 (H, W), 0 to 1."""
    spans = []
    for low, high, count in zip(box_xyxy_px[:2], box_xyxy_px[2:], size_hw_px[::-1], strict=True):
        start = np.arange(count)
        spans.append(np.clip(np.minimum(start + 1, high) - np.maximum(start, low), 0.0, 1.0))
    return np.asarray(np.outer(spans[1], spans[0]), np.float32)


def ellipse_plane(box_xyxy_px: Float64Array, size_hw_px: tuple[int, int]) -> Float32Array:
    """How a box is shown to the network: 1 at its centre, 0.5 on the ellipse that fills it, 0 far outside.

    Returns
    -------
    float32 (H, W), (1 + max(-1, 1 - r^2)) / 2, where r is the distance from the centre in units of half the box
    """
    center, half = (box_xyxy_px[:2] + box_xyxy_px[2:]) / 2, (box_xyxy_px[2:] - box_xyxy_px[:2]) / 2
    x, y = (((np.arange(size_hw_px[1 - axis]) + 0.5 - center[axis]) / half[axis]) ** 2 for axis in (0, 1))
    return np.asarray(np.maximum(0.0, 1.0 - (y[:, None] + x[None, :]) / 2), np.float32)


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


def load_masked_folder(folder: Path, prefixes: tuple[str, ...] = ("",)) -> list[Sample]:
    """Frames of ``folder/images`` whose name starts with a prefix, with their masks, uncropped; empty masks left out.

    Raises
    ------
    ConfigError
        When a frame or its mask cannot be read, when their sizes differ, or when there is none.
    """
    samples = []
    for path in sorted((folder / "images").glob("*.jpg")):
        if not path.name.startswith(prefixes):
            continue
        mask_path = folder / "masks" / f"{path.stem}.png"
        image, mask = (cv2.imread(str(p), cv2.IMREAD_GRAYSCALE) for p in (path, mask_path))
        if image is None or mask is None or image.shape != mask.shape:
            raise ConfigError(f"{path} and its mask cannot be read or differ in size; fetch the data set again")
        nodule = (mask > 127).astype(np.uint8)
        if nodule.any():
            grey = np.asarray(image, np.uint8)
            samples.append(Sample(name=path.stem, image=grey, nodule=nodule, gland=np.zeros_like(nodule)))
    if not samples:
        raise ConfigError(f"{folder} has no frames with masks; fetch the data set again")
    return samples


def load_boxed(folder: Path, part: str) -> list[BoxedNodule]:
    """Frames of a part of TN5000, each with its box.

    Raises
    ------
    ConfigError
        When ``boxes.csv`` or a frame cannot be read, a box is empty or outside its frame, or the part has no frame.
    """
    table = folder / "boxes.csv"
    try:
        with table.open(encoding="utf-8", newline="") as lines:
            rows = list(csv.DictReader(lines))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{table} cannot be read: {error}; fetch the data set again") from error
    if rows and not set(_COLUMNS) <= set(rows[0]):
        raise ConfigError(f"{table} must have the columns {', '.join(_COLUMNS)}; fetch the data set again")
    nodules = [_read_boxed(folder, row) for row in rows if row["part"] == part]
    if not nodules:
        raise ConfigError(f"{table} has no frame of part {part!r}; choose train or val")
    return nodules


def _read_boxed(folder: Path, row: dict[str, str]) -> BoxedNodule:
    name, path = row["id"], folder / "images" / f"{row['id']}.jpg"
    try:
        box = np.array([float(row[column]) for column in ("x1", "y1", "x2", "y2")])
        size_wh = int(row["width"]), int(row["height"])
        if not np.isfinite(box).all():
            raise ValueError
    except (TypeError, ValueError):
        raise ConfigError(f"the box of frame {name} in {folder / 'boxes.csv'} is no number; correct it") from None
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if image is None or image.shape != size_wh[::-1]:
        raise ConfigError(f"{path} cannot be read or is not {size_wh[0]}x{size_wh[1]} px; fetch the data set again")
    inside = np.clip(box, 0.0, [*size_wh, *size_wh])
    if not bool((inside[2:] - inside[:2] >= _MIN_INSIDE_PX).all()):
        raise ConfigError(f"the box of frame {name} is empty or lies outside the frame; correct or remove it")
    return BoxedNodule(name=name, image=np.asarray(image, np.uint8), box_xyxy_px=inside)
