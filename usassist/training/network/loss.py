"""Training targets made from masks, and the loss between them and the network's raw outputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from usassist.training.network.box_loss import box_mask_loss, soft_dice
from usassist.training.network.model import CELL_PX, MASK_STRIDE_PX, RawOutputs
from usassist.training.recipe import ModelConfig

__all__ = ["Batch", "LossParts", "Targets", "detect_segment_loss", "make_targets"]

UInt8Array = npt.NDArray[np.uint8]
Float32Array = npt.NDArray[np.float32]

_MIN_AREA_PX = 40  # smaller parts of a nodule are ignored: neither targets nor false positives
_HEAT_SD_SHARE = 0.10  # standard deviation of the centre's Gaussian, as a share of the box side
_BOX_HEAT = 0.3  # cells with at least this heat are trained on the box


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """The training targets of one image.

    Attributes
    ----------
    mask, gland : float32 (H/2, W/2), share of nodule and of gland in each cell of 2 x 2 px
    mask_weight : float32 (H/2, W/2), of the mask's cross entropy
    heat : float32 (H/8, W/8), 1 in the cell of each nodule's box centre, decreasing around it
    weight : float32 (H/8, W/8), 0 where the centre map is ignored
    ltrb_px : float32 (4, H/8, W/8)
    """

    mask: Float32Array
    gland: Float32Array
    mask_weight: Float32Array
    heat: Float32Array
    weight: Float32Array
    ltrb_px: Float32Array


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Images and their targets.

    Attributes
    ----------
    image : float32 (B, 1, H, W), 0 to 1
    mask, gland, mask_weight : float32 (B, 1, H/2, W/2), as in :class:`Targets`
    gland_known : float32 (B,), 1 where the gland mask counts
    outline_known : float32 (B,), 0 where the mask stands for a box
    is_thyroid : float32 (B,)
    heat, weight : float32 (B, 1, H/8, W/8)
    ltrb_px : float32 (B, 4, H/8, W/8)
    """

    image: Tensor
    mask: Tensor
    gland: Tensor
    mask_weight: Tensor
    gland_known: Tensor
    outline_known: Tensor
    is_thyroid: Tensor
    heat: Tensor
    weight: Tensor
    ltrb_px: Tensor


class LossParts(NamedTuple):
    """The loss and its terms."""

    total: Tensor
    mask: Tensor
    gland: Tensor
    center: Tensor
    box: Tensor
    filled: Tensor
    domain: Tensor


def make_targets(
    nodule: UInt8Array,
    gland: UInt8Array,
    *,
    outline_known: bool = True,
    is_thyroid: bool = True,
    unmarked_weight: float = 1.0,
) -> Targets:
    """Make the targets of one image; every connected region counts as one nodule.

    Parameters
    ----------
    nodule, gland : uint8 (H, W), 1 = nodule, 1 = gland
    outline_known : False: the region stands for the box around it, and no pixel in the box is known
    is_thyroid : False: the regions have outlines, but they are not to be detected
    unmarked_weight : of what lies outside the marked boxes, where nodules may be that are not marked
    """
    height_px, width_px = nodule.shape
    rows, columns = height_px // CELL_PX, width_px // CELL_PX
    halved = (width_px // MASK_STRIDE_PX, height_px // MASK_STRIDE_PX)
    mask, around = (cv2.resize(m.astype(np.float32), halved, interpolation=cv2.INTER_AREA) for m in (nodule, gland))
    mask_weight = np.full_like(mask, unmarked_weight)
    heat = np.zeros((rows, columns), np.float32)
    weight = np.full((rows, columns), unmarked_weight, np.float32)
    ltrb_px = np.zeros((4, rows, columns), np.float32)
    x_px = (np.arange(columns, dtype=np.float32) + 0.5) * CELL_PX
    y_px = (np.arange(rows, dtype=np.float32) + 0.5) * CELL_PX
    count, _, stats, _ = cv2.connectedComponentsWithStats(nodule, connectivity=8)
    for x1, y1, width, height, area in stats[1:count]:
        x2, y2 = x1 + width, y1 + height
        mask_weight[_cells(x1, y1, x2, y2, MASK_STRIDE_PX)] = float(outline_known)
        weight[_cells(x1, y1, x2, y2, CELL_PX)] = float(is_thyroid and area >= _MIN_AREA_PX)
        if area < _MIN_AREA_PX or not is_thyroid:
            continue
        sd_x, sd_y = max(0.7 * CELL_PX, _HEAT_SD_SHARE * width), max(0.7 * CELL_PX, _HEAT_SD_SHARE * height)
        column, row = int((x1 + x2) / 2 // CELL_PX), int((y1 + y2) / 2 // CELL_PX)
        bell_x = np.exp(-0.5 * ((x_px - x_px[column]) / sd_x) ** 2)
        bell_y = np.exp(-0.5 * ((y_px - y_px[row]) / sd_y) ** 2)
        bell = np.outer(bell_y, bell_x)
        nearer = bell > heat
        heat = np.maximum(heat, bell)
        sides = np.stack(np.broadcast_arrays(x_px - x1, (y_px - y1)[:, None], x2 - x_px, (y2 - y_px)[:, None]))
        ltrb_px = np.where(nearer, sides, ltrb_px)
    return Targets(
        mask=np.asarray(mask, np.float32),
        gland=np.asarray(around, np.float32),
        mask_weight=np.asarray(mask_weight, np.float32),
        heat=heat,
        weight=weight,
        ltrb_px=ltrb_px.astype(np.float32),
    )


def _cells(x1: int, y1: int, x2: int, y2: int, stride_px: int) -> tuple[slice, slice]:
    """The cells of a map that a box touches."""
    return np.s_[y1 // stride_px : -(-y2 // stride_px), x1 // stride_px : -(-x2 // stride_px)]


def detect_segment_loss(raw: RawOutputs, targets: Batch, config: ModelConfig) -> LossParts:
    """Weighted sum of the mask, gland, centre, box and domain losses.

    Mask: binary cross entropy, plus 1 - soft Dice (Milletari et al., V-Net, 3DV 2016) over images with a nodule whose
    outline is known; where only the box is, :func:`usassist.training.network.box_loss.box_mask_loss`.
    Centre: penalty-reduced focal loss (Zhou et al., Objects as Points, 2019, equation 1, alpha 2, beta 4).
    Box: generalised IoU (Rezatofighi et al., CVPR 2019) in the cells near a centre, weighted by their heat.
    Domain: binary cross entropy of the frame showing the thyroid.

    Parameters
    ----------
    raw : outputs of the network
    targets : targets
    config : has the weights of the terms
    """
    mask_logit, center_logit = raw.mask_logit.float(), raw.center_logit.float()
    heat, weight, ltrb_px = targets.heat, targets.weight, targets.ltrb_px
    present = (targets.mask.sum((1, 2, 3)) > 0).float()
    entropy = functional.binary_cross_entropy_with_logits(mask_logit, targets.mask, targets.mask_weight)
    dice = soft_dice(mask_logit, targets.mask)
    mask_loss = 2.0 * entropy + _mean_where(1 - dice, present * targets.outline_known)
    boxed = present * (1 - targets.outline_known)
    filled = _mean_where(box_mask_loss(mask_logit, targets.mask, targets.image, config.pair_weight), boxed)
    assert raw.gland_logit is not None  # always present in training
    gland_logit = raw.gland_logit.float()
    apart = functional.binary_cross_entropy_with_logits(gland_logit, targets.gland, reduction="none").mean((1, 2, 3))
    gland_loss = _mean_where(apart + 1 - soft_dice(gland_logit, targets.gland), targets.gland_known)

    score = torch.sigmoid(center_logit)
    at_center = (heat >= 0.999).float()
    gain = at_center * (1 - score) ** 2 * functional.logsigmoid(center_logit)
    cost = (1 - at_center) * (1 - heat) ** 4 * score**2 * functional.logsigmoid(-center_logit)
    count = at_center.sum().clamp_min(1.0)
    center_loss = -((gain + cost) * weight).sum() / count

    near = heat * (heat >= _BOX_HEAT).float() * (ltrb_px.amin(1, keepdim=True) > 0).float()
    giou = _giou(raw._replace(box_raw=raw.box_raw.float()).box_ltrb_px(), ltrb_px)
    box_loss = (near * (1 - giou)).sum() / near.sum().clamp_min(1.0)
    thyroid_logit = raw.thyroid_logit.float()[:, 0]
    domain_loss = functional.binary_cross_entropy_with_logits(thyroid_logit, targets.is_thyroid)
    total = mask_loss + center_loss + box_loss + config.gland_weight * gland_loss
    total = total + config.filled_weight * filled + config.domain_weight * domain_loss
    return LossParts(total, mask_loss, gland_loss, center_loss, box_loss, filled, domain_loss)


def _mean_where(values: Tensor, counted: Tensor) -> Tensor:
    """Mean of the values with ``counted`` = 1, or 0 if there are none; both (B,)."""
    return (values * counted).sum() / counted.sum().clamp_min(1.0)


def _giou(first: Tensor, second: Tensor) -> Tensor:
    """Generalised IoU of boxes around a common point, given as (B, 4, H, W) distances: (B, 1, H, W)."""
    area_first = (first[:, 0] + first[:, 2]) * (first[:, 1] + first[:, 3])
    area_second = (second[:, 0] + second[:, 2]) * (second[:, 1] + second[:, 3])
    inner, outer = torch.minimum(first, second), torch.maximum(first, second)
    shared = (inner[:, 0] + inner[:, 2]).clamp_min(0) * (inner[:, 1] + inner[:, 3]).clamp_min(0)
    hull = (outer[:, 0] + outer[:, 2]) * (outer[:, 1] + outer[:, 3])
    union = area_first + area_second - shared
    iou = shared / union.clamp_min(1e-6)
    return (iou - (hull - union) / hull.clamp_min(1e-6))[:, None]
