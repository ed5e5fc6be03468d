"""Losses of a mask of which only the box is known (Tian et al., BoxInst, CVPR 2021)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["box_mask_loss", "soft_dice"]

_PAIR_STEP = 2  # cells between the two of a pair
_PAIR_OFFSETS = ((0, _PAIR_STEP), (_PAIR_STEP, 0), (_PAIR_STEP, _PAIR_STEP), (_PAIR_STEP, -_PAIR_STEP))
_SMOOTH_CELLS = 5  # the speckle is averaged before grey levels are compared
_ALIKE_GREY = 0.04  # two cells with a smaller difference, of 0 to 1, belong to the same tissue


def soft_dice(logit: Tensor, targets: Tensor) -> Tensor:
    """Soft Dice per image: (B, 1, H, W) twice to (B,)."""
    prob = torch.sigmoid(logit)
    return (2 * (prob * targets).sum((1, 2, 3)) + 1.0) / (prob.sum((1, 2, 3)) + targets.sum((1, 2, 3)) + 1.0)


def box_mask_loss(mask_logit: Tensor, inside: Tensor, image: Tensor, pair_weight: float) -> Tensor:
    """Loss per image of a mask that must fill a box: float32 (B,).

    The projections of the mask in the box on both axes must fill its sides (1 - Dice of each). Of neighbouring cells
    with nearly equal, smoothed grey levels, both must be nodule or both not.

    Parameters
    ----------
    mask_logit : float32 (B, 1, H/2, W/2)
    inside : float32 (B, 1, H/2, W/2), a shape that touches the sides of each box, such as an ellipse
    image : float32 (B, 1, H, W), 0 to 1
    pair_weight : weight of the pairs
    """
    columns, rows = (inside > 0).any(2, keepdim=True), (inside > 0).any(3, keepdim=True)
    box = (columns & rows).float()
    prob = torch.sigmoid(mask_logit) * box
    loss = torch.zeros(len(prob))
    for axis, extent in ((2, columns.float()), (3, rows.float())):
        shadow = prob.amax(axis, keepdim=True)
        loss = (
            loss
            + 1
            - (2 * (shadow * extent).sum((1, 2, 3)) + 1) / ((shadow**2).sum((1, 2, 3)) + extent.sum((1, 2, 3)) + 1)
        )
    if not pair_weight:
        return loss
    grey = functional.avg_pool2d(image, 2)
    grey = functional.avg_pool2d(grey, _SMOOTH_CELLS, 1, _SMOOTH_CELLS // 2)
    log_in, log_out = functional.logsigmoid(mask_logit), functional.logsigmoid(-mask_logit)
    disagree, pairs = torch.zeros(len(prob)), torch.zeros(len(prob))
    for offset in _PAIR_OFFSETS:

        def shifted(plane: Tensor, offset: tuple[int, int] = offset) -> Tensor:
            return torch.roll(plane, offset, (2, 3))

        alike = ((grey - shifted(grey)).abs() < _ALIKE_GREY).float() * torch.maximum(box, shifted(box))
        same = torch.logaddexp(log_in + shifted(log_in), log_out + shifted(log_out))
        disagree = disagree - (same * alike).sum((1, 2, 3))
        pairs = pairs + alike.sum((1, 2, 3))
    return loss + pair_weight * disagree / pairs.clamp_min(1.0)
