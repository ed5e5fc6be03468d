"""From the output tensors of a detect-and-segment engine to boxes and outlines in the frame.

The engine gives a map of centre scores and box distances at stride 8, and a map of mask probabilities at stride 2, all
in the letterboxed input. A detection is a peak of the centre scores together with the region of the mask in and around
its box. Everything here is deterministic: equal tensors give equal results, highest score first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from usassist.errors import EngineOutputError
from usassist.frames import ScanBorder
from usassist.modalities.ultrasound.evidence import EvidenceMask
from usassist.records import Detections, LabelSpec, Segmentation

__all__ = ["MIN_MASK_PX", "decode"]

Array = npt.NDArray[Any]
UInt8Array = npt.NDArray[np.uint8]
Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]

CELL_PX = 8
MASK_STRIDE_PX = 2
MIN_MASK_PX = 20
"""A detection whose region has fewer pixels of the image than this is removed."""

_NMS_IOU = 0.5
_CLAIMED_SHARE = 0.5  # a region that lies this much inside better ones is the same nodule again
_MAX_CANDIDATES = 64
_TO_CORNERS = np.array([-1.0, -1.0, 1.0, 1.0])


def decode(
    outputs: Mapping[str, Array],
    image_to_input: Float64Array,
    image_hw_px: tuple[int, int],
    labels: tuple[LabelSpec, ...],
    max_detections: int = 8,
    border: Callable[[], ScanBorder] | None = None,
) -> tuple[Detections, Segmentation]:
    """Read boxes and outlines from the engine's outputs.

    Peaks at or above their label's threshold become boxes in the image, clipped to it; of boxes that overlap with an
    IoU above 0.5 only the best is kept. In and around each box the mask is cut at 0.5, and further beyond it at more,
    see :class:`EvidenceMask`; of its connected regions, the one with most pixels in the box is taken. What lies
    outside the visible scan is left out, and so are parts that are too thin to be told. A detection is removed when its
    region has fewer than 20 pixels or lies mostly inside the regions of better ones; pixels that belong to a better
    detection are left out. The box given is that of the region's pixels; the score is the centre score.

    Parameters
    ----------
    outputs : ``mask_prob`` (1, 1, H/2, W/2), ``center_score`` (1, L, H/8, W/8), ``box_ltrb_px`` (1, 4, H/8, W/8),
        float, for an input of H x W px
    image_to_input : float64 (2, 3), letterbox map from image px to input px
    image_hw_px : height and width of the frame's image, px
    labels : one per channel of ``center_score``, in their order
    max_detections : give at most this many
    border : gives that of the visible scan, where there is a candidate; without it outlines end at the border of the
        image alone

    Returns
    -------
    detections, segmentation : in image coordinates, one outline per detection

    Raises
    ------
    EngineOutputError
        If an output is missing or the shapes do not match.
    """
    mask_prob, center_score, box_ltrb_px = _checked(outputs, len(labels))
    candidates = _candidates(center_score, box_ltrb_px, image_to_input, image_hw_px, labels)
    if not len(candidates[0]):
        return Detections.empty(), Segmentation.empty()
    mask = EvidenceMask(mask_prob, MASK_STRIDE_PX, image_to_input, image_hw_px)
    scan = None if border is None else border()
    claimed = np.zeros(image_hw_px, np.uint8)
    boxes: list[tuple[float, float, float, float]] = []
    scores: list[float] = []
    label_ids: list[int] = []
    contours: list[Float32Array] = []
    for index in _suppress(candidates[0]):
        if len(boxes) == max_detections:
            break
        found = _outline(mask, candidates[0][index], claimed, scan)
        if found is not None:
            boxes.append(found[0])
            contours.append(found[1])
            scores.append(float(candidates[1][index]))
            label_ids.append(int(candidates[2][index]))
    if not boxes:
        return Detections.empty(), Segmentation.empty()
    detections = Detections(
        xyxy_px=np.array(boxes, np.float32),
        score=np.clip(np.array(scores, np.float32), 0.0, 1.0),
        label_id=np.array(label_ids, np.int32),
        track_id=np.full(len(boxes), -1, np.int32),
    )
    return detections, Segmentation.of(contours)


def _checked(outputs: Mapping[str, Array], label_count: int) -> tuple[Float32Array, Float32Array, Float32Array]:
    """The three outputs without their batch axis."""
    names = ("mask_prob", "center_score", "box_ltrb_px")
    missing = [name for name in names if name not in outputs]
    if missing:
        raise EngineOutputError(f"output {missing[0]} is missing, got {sorted(outputs)}; use an engine for ultrasound")
    mask, score, box = (outputs[name] for name in names)
    ratio = CELL_PX // MASK_STRIDE_PX
    if (
        any(array.ndim != 4 or array.shape[0] != 1 for array in (mask, score, box))
        or score.shape[1] != label_count
        or box.shape[1:] != (4, *score.shape[2:])
        or mask.shape[1:] != (1, score.shape[2] * ratio, score.shape[3] * ratio)
    ):
        raise EngineOutputError(
            f"mask_prob {mask.shape}, center_score {score.shape} and box_ltrb_px {box.shape} do not match "
            f"for {label_count} labels; use an engine for ultrasound"
        )
    first, second, third = (array[0].astype(np.float32, copy=False) for array in (mask, score, box))
    return first[0], second, third


def _candidates(
    center_score: Float32Array,
    box_ltrb_px: Float32Array,
    image_to_input: Float64Array,
    image_hw_px: tuple[int, int],
    labels: tuple[LabelSpec, ...],
) -> tuple[Float64Array, Float32Array, npt.NDArray[np.intp]]:
    """Boxes (N, 4) clipped to the image, scores (N,) and label ids (N,), best first."""
    thresholds = np.array([label.score_threshold for label in labels], np.float32)
    # A score of exactly 0 is a suppressed cell, whatever the threshold.
    channel, row, column = np.nonzero((center_score >= thresholds[:, None, None]) & (center_score > 0.0))
    if not len(row):
        return np.empty((0, 4)), np.empty(0, np.float32), np.empty(0, np.intp)
    score = center_score[channel, row, column]
    order = np.lexsort((column, row, channel, -score))[:_MAX_CANDIDATES]
    channel, row, column, score = channel[order], row[order], column[order], score[order]
    (scale_x, _, offset_x), (_, scale_y, offset_y) = image_to_input.tolist()
    center_px = (np.stack([column, row, column, row], axis=1) + 0.5) * CELL_PX
    corners = center_px + box_ltrb_px[:, row, column].T.astype(np.float64) * _TO_CORNERS
    boxes = (corners - (offset_x, offset_y, offset_x, offset_y)) / (scale_x, scale_y, scale_x, scale_y)
    height_px, width_px = image_hw_px
    boxes = np.minimum(np.maximum(boxes, 0.0), np.array([width_px, height_px, width_px, height_px], np.float64))
    inside = (boxes[:, 2] - boxes[:, 0] >= 1.0) & (boxes[:, 3] - boxes[:, 1] >= 1.0)
    ids = np.array([label.id for label in labels], np.intp)
    return boxes[inside], score[inside], ids[channel[inside]]


def _suppress(boxes: Float64Array) -> list[int]:
    """Indices of the boxes that are kept: greedy suppression of boxes that are sorted best first."""
    if len(boxes) < 2:
        return list(range(len(boxes)))
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    alive = np.ones(len(boxes), np.bool_)
    kept: list[int] = []
    for index in range(len(boxes)):
        if not alive[index]:
            continue
        kept.append(index)
        low = np.maximum(boxes[index, :2], boxes[index + 1 :, :2])
        high = np.minimum(boxes[index, 2:], boxes[index + 1 :, 2:])
        shared = np.clip(high - low, 0.0, None).prod(axis=1)
        alive[index + 1 :] &= shared <= _NMS_IOU * (area[index] + area[index + 1 :] - shared)
    return kept


def _outline(
    mask: EvidenceMask, box: Float64Array, claimed: UInt8Array, border: ScanBorder | None
) -> tuple[tuple[float, float, float, float], Float32Array] | None:
    """Box and outline of the region of a box, or None; marks the region's pixels in ``claimed``."""
    region, (x1, y1) = mask.region(box, claimed.shape)
    if border is not None:
        border.clear_outside(region, x1, y1)
    region, x_px, y_px = _trimmed(region)
    x1, y1 = x1 + x_px, y1 + y_px
    count, components = cv2.connectedComponents(region, connectivity=8, ltype=cv2.CV_16U)
    if count < 2:
        return None
    inner = np.s_[
        max(int(box[1]) - y1, 0) : max(math.ceil(box[3]) - y1, 0),
        max(int(box[0]) - x1, 0) : max(math.ceil(box[2]) - x1, 0),
    ]
    if count == 2:
        if not region[inner].any():
            return None
    else:
        in_box = np.bincount(components[inner].ravel(), minlength=count)
        in_box[0] = 0
        chosen = int(np.argmax(in_box))
        if in_box[chosen] == 0:
            return None
        region = (components == chosen).astype(np.uint8)
    there = claimed[y1 : y1 + region.shape[0], x1 : x1 + region.shape[1]]
    if there.any():
        whole_px = int(cv2.countNonZero(region))
        region &= 1 - there
        left_px = int(cv2.countNonZero(region))
        if left_px <= (1 - _CLAIMED_SHARE) * whole_px:
            return None
    outlines, _ = cv2.findContours(mask.without_spikes(region), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    if not outlines:
        return None
    outline = outlines[0] if len(outlines) == 1 else max(outlines, key=_filled_px)  # a better one may have cut it up
    if cv2.contourArea(outline) < MIN_MASK_PX and _filled_px(outline) < MIN_MASK_PX:  # the first is less, and faster
        return None
    cv2.drawContours(there, [outline], 0, 1, cv2.FILLED)
    left, top, width, height = cv2.boundingRect(outline)
    bounds = (float(left + x1), float(top + y1), float(left + width + x1), float(top + height + y1))
    return bounds, (outline[:, 0, :] + np.array([x1 + 0.5, y1 + 0.5])).astype(np.float32)


def _trimmed(region: UInt8Array) -> tuple[UInt8Array, int, int]:
    """The part of a region that is not empty, with a border of 1 px where the region has one, and where it begins."""
    x, y, width, height = cv2.boundingRect(region)
    left, top = max(x - 1, 0), max(y - 1, 0)
    part = region[top : y + height + 1, left : x + width + 1] if width else region[:1, :1]
    return np.ascontiguousarray(part), left, top


def _filled_px(outline: npt.NDArray[Any]) -> float:
    """Pixels inside and on an outline through pixel centres (Pick's theorem; exact for a simple outline)."""
    points = outline[:, 0, :].astype(np.int64)
    steps = np.abs(points - np.roll(points, 1, axis=0)).max(axis=1).sum()  # every edge runs along 0, 45 or 90 degrees
    return float(cv2.contourArea(outline) + steps / 2 + 1)
