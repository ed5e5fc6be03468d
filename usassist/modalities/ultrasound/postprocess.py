"""From the output tensors of a detect-and-segment engine to boxes and outlines in the frame.

The engine gives a map of centre scores and box distances at stride 8, and a map of mask probabilities at stride 2, all
in the letterboxed input. A detection is a peak of the centre scores together with the region of the mask in and around
its box. Everything here is deterministic: equal tensors give equal results, highest score first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

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
Int32Array = npt.NDArray[np.int32]

CELL_PX = 8
MASK_STRIDE_PX = 2
MIN_MASK_PX = 20
"""A detection whose region has fewer pixels of the image than this is removed."""

_NMS_IOU = 0.5
_CLAIMED_SHARE = 0.5  # a region that lies this much inside better ones is the same nodule again
_MAX_CANDIDATES = 64


def decode(
    outputs: Mapping[str, Array],
    image_to_input: Float64Array,
    image_hw_px: tuple[int, int],
    labels: tuple[LabelSpec, ...],
    max_detections: int = 8,
    border: Callable[[], ScanBorder] | None = None,
    calibrate: Callable[[Float32Array, Int32Array], Float32Array] | None = None,
) -> tuple[Detections, Segmentation]:
    """Read boxes and outlines from the engine's outputs.

    Peaks at or above their label's threshold become boxes in the image, clipped to it; of boxes that overlap with an
    IoU above 0.5 only the best is kept. In and around each box the mask is cut at 0.5, and further beyond it at more,
    see :class:`EvidenceMask`; of its connected regions, the one with most pixels in the box is taken. What lies
    outside the visible scan is left out, and so are parts that are too thin to be told. A detection is removed when its
    region has fewer than 20 pixels or lies mostly inside the regions of better ones; pixels that belong to a better
    detection are left out. The box given is that of the region's pixels.

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
    calibrate : scores that are given for scores float32 (N,) and label ids int32 (N,) of what is found; without it the
        centre scores are given

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
    if not candidates:
        return Detections.empty(), Segmentation.empty()
    mask = EvidenceMask(mask_prob, MASK_STRIDE_PX, image_to_input, image_hw_px)
    scan = None if border is None else border()
    kept = _suppress(candidates)
    claimed = np.zeros(image_hw_px, np.uint8) if len(kept) > 1 else None
    boxes: list[tuple[float, float, float, float]] = []
    shown: list[_Candidate] = []
    contours: list[Float32Array] = []
    for candidate in kept:
        if len(boxes) == max_detections:
            break
        found = _outline(mask, candidate.box, image_hw_px, claimed, scan)
        if found is not None:
            boxes.append(found[0])
            contours.append(found[1])
            shown.append(candidate)
    if not shown:
        return Detections.empty(), Segmentation.empty()
    score = np.clip(np.array([candidate.score for candidate in shown], np.float32), 0.0, 1.0)
    label_id = np.array([candidate.label_id for candidate in shown], np.int32)
    detections = Detections(
        xyxy_px=np.array(boxes, np.float32),
        score=score if calibrate is None else calibrate(score, label_id),
        label_id=label_id,
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


class _Candidate(NamedTuple):
    """A peak of the centre scores: its box on the image, x1, y1, x2, y2 in px, its score and its label's id."""

    box: tuple[float, float, float, float]
    score: float
    label_id: int

    @property
    def area_px2(self) -> float:
        """Area of the box."""
        x1, y1, x2, y2 = self.box
        return (x2 - x1) * (y2 - y1)

    def overlaps(self, other: _Candidate) -> bool:
        """Whether the IoU of both boxes is above that at which only the better one is kept."""
        low_x, low_y, high_x, high_y = self.box
        x1, y1, x2, y2 = other.box
        shared = max(min(high_x, x2) - max(low_x, x1), 0.0) * max(min(high_y, y2) - max(low_y, y1), 0.0)
        return shared > _NMS_IOU * (self.area_px2 + other.area_px2 - shared)


def _candidates(
    center_score: Float32Array,
    box_ltrb_px: Float32Array,
    image_to_input: Float64Array,
    image_hw_px: tuple[int, int],
    labels: tuple[LabelSpec, ...],
) -> list[_Candidate]:
    """Those whose label's threshold is reached, clipped to the image, best first.

    There are a few of them on a frame, so Python's own numbers are faster here than calls of numpy.
    """
    thresholds = np.array([label.score_threshold for label in labels], np.float32)
    # A score of exactly 0 is a suppressed cell, whatever the threshold.
    places = np.nonzero((center_score >= thresholds[:, None, None]) & (center_score > 0.0))
    if not len(places[0]):
        return []
    ranked = sorted(zip((-center_score[places]).tolist(), *(place.tolist() for place in places), strict=True))
    height_px, width_px = image_hw_px
    (scale_x, _, offset_x), (_, scale_y, offset_y) = image_to_input.tolist()
    found = []
    for negative, channel, row, column in ranked[:_MAX_CANDIDATES]:
        left, top, right, bottom = box_ltrb_px[:, row, column].tolist()
        x_px, y_px = (column + 0.5) * CELL_PX, (row + 0.5) * CELL_PX
        x1, x2 = (min(max((x - offset_x) / scale_x, 0.0), float(width_px)) for x in (x_px - left, x_px + right))
        y1, y2 = (min(max((y - offset_y) / scale_y, 0.0), float(height_px)) for y in (y_px - top, y_px + bottom))
        if x2 - x1 >= 1.0 and y2 - y1 >= 1.0:
            found.append(_Candidate((x1, y1, x2, y2), -negative, labels[channel].id))
    return found


def _suppress(candidates: list[_Candidate]) -> list[_Candidate]:
    """Those that are kept: greedy suppression of boxes that are sorted best first."""
    kept: list[_Candidate] = []
    for candidate in candidates:
        if not any(better.overlaps(candidate) for better in kept):
            kept.append(candidate)
    return kept


def _outline(
    mask: EvidenceMask,
    box: tuple[float, float, float, float],
    image_hw_px: tuple[int, int],
    claimed: UInt8Array | None,
    border: ScanBorder | None,
) -> tuple[tuple[float, float, float, float], Float32Array] | None:
    """Box and outline of the region of a box, or None; marks its pixels in ``claimed``, where there are others."""
    region, (x1, y1) = mask.region(box, image_hw_px)
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
    there = None if claimed is None else claimed[y1 : y1 + region.shape[0], x1 : x1 + region.shape[1]]
    if there is not None and there.any():
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
    if there is not None:
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
