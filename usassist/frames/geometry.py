"""Conversion to grey, letterboxing, and rasterising outlines."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from usassist.records import Segmentation

__all__ = ["fill_labelmap", "letterbox", "letterbox_affine", "to_grey"]

UInt8Array = npt.NDArray[np.uint8]
Float64Array = npt.NDArray[np.float64]


def to_grey(image: UInt8Array) -> UInt8Array:
    """Luma of a frame (ITU-R BT.601 weights, as OpenCV computes them).

    Parameters
    ----------
    image : uint8 (H, W), returned as it is, or (H, W, 3) RGB

    Returns
    -------
    grey : uint8 (H, W)
    """
    if image.ndim == 2:
        return image
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)


def letterbox_affine(image_hw_px: tuple[int, int], size_hw_px: tuple[int, int]) -> Float64Array:
    """The affine map from image coordinates to the coordinates of the letterboxed image.

    Parameters
    ----------
    image_hw_px : height and width of the image, px
    size_hw_px : height and width of the letterboxed image, px

    Returns
    -------
    image_to_input : float64 (2, 3), maps (x, y, 1) in px, both with the origin at the top-left corner

    Raises
    ------
    ValueError
        If a side is not positive.
    """
    if min(*image_hw_px, *size_hw_px) <= 0:
        raise ValueError(f"sides must be positive, got image {image_hw_px} and size {size_hw_px}")
    (height, width), (size_h, size_w) = image_hw_px, size_hw_px
    scale = min(size_h / height, size_w / width)
    inner_h, inner_w = _inner_hw_px(image_hw_px, size_hw_px, scale)
    left, top = (size_w - inner_w) // 2, (size_h - inner_h) // 2
    return np.array([[inner_w / width, 0.0, left], [0.0, inner_h / height, top]], np.float64)


def letterbox(
    image: UInt8Array, size_hw_px: tuple[int, int], out: UInt8Array | None = None
) -> tuple[UInt8Array, Float64Array]:
    """Fit an image into a fixed size without changing its aspect ratio (to within half a pixel of a side).

    The image is halved by 2 x 2 averaging while it is at least twice as large as the output, and then interpolated
    linearly. This is much faster than area averaging with an arbitrary factor.

    Parameters
    ----------
    image : uint8 (H, W) or (H, W, 3)
    size_hw_px : height and width of the output, px
    out : a buffer of the output's shape to write into; its padding is overwritten with 0

    Returns
    -------
    padded : uint8, size_hw_px (and the image's channels), padding 0
    image_to_input : float64 (2, 3), see :func:`letterbox_affine`

    Raises
    ------
    ValueError
        If a side is not positive, or `out` has another shape.
    """
    image_hw_px = (image.shape[0], image.shape[1])
    image_to_input = letterbox_affine(image_hw_px, size_hw_px)
    shape = (*size_hw_px, *image.shape[2:])
    if out is None:
        out = np.zeros(shape, np.uint8)
    elif out.shape != shape:
        raise ValueError(f"out must be {shape}, got {out.shape}")
    else:
        out[...] = 0
    left, top = int(image_to_input[0, 2]), int(image_to_input[1, 2])
    inner_h = round(image_to_input[1, 1] * image_hw_px[0])
    inner_w = round(image_to_input[0, 0] * image_hw_px[1])
    out[top : top + inner_h, left : left + inner_w] = _resize(image, (inner_h, inner_w))
    return out, image_to_input


def _resize(image: UInt8Array, inner_hw_px: tuple[int, int]) -> UInt8Array:
    """Resize by repeated halving and one linear interpolation; halving drops the last pixel of an odd side."""
    (height, width), (inner_h, inner_w) = image.shape[:2], inner_hw_px
    across, down = inner_w / width, inner_h / height
    while 2 * inner_h <= height and 2 * inner_w <= width:
        height, width, across, down = height // 2, width // 2, 2 * across, 2 * down
        even = image[: 2 * height, : 2 * width]
        image = np.asarray(cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    if (height, width) == inner_hw_px:
        return image
    to_inner = np.array([[across, 0.0, (across - 1.0) / 2.0], [0.0, down, (down - 1.0) / 2.0]])  # of pixel centres
    fitted = cv2.warpAffine(
        image, to_inner, (inner_w, inner_h), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(fitted, np.uint8)


def fill_labelmap(segmentation: Segmentation, image_hw_px: tuple[int, int]) -> UInt8Array:
    """Rasterise outlines to a label map.

    Parameters
    ----------
    segmentation : up to 255 outlines in image coordinates
    image_hw_px : height and width of the map, px

    Returns
    -------
    labelmap : uint8 (H, W), 0 = background, k = outline k - 1; where two overlap, the later one wins

    Raises
    ------
    ValueError
        If there are more than 255 outlines.
    """
    if len(segmentation) > 255:
        raise ValueError(f"a uint8 map holds at most 255 outlines, got {len(segmentation)}")
    labelmap = np.zeros(image_hw_px, np.uint8)
    for index, contour in enumerate(segmentation):
        points = np.round(contour - 0.5).astype(np.int32)
        cv2.fillPoly(labelmap, [points], index + 1)
    return labelmap


def _inner_hw_px(image_hw_px: tuple[int, int], size_hw_px: tuple[int, int], scale: float) -> tuple[int, int]:
    inner_h = min(size_hw_px[0], max(1, round(image_hw_px[0] * scale)))
    inner_w = min(size_hw_px[1], max(1, round(image_hw_px[1] * scale)))
    return inner_h, inner_w
