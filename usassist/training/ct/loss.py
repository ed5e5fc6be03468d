"""The loss of the network of ``ct_ich``."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from usassist.training.ct.network import KINDS, IchOutputs
from usassist.training.ct.recipe import IchRecipe
from usassist.training.ct.samples import IchBatch

__all__ = ["compute_loss"]

_SMOOTH_PX = 20.0
_BAG_CELL = 8
_BLOOD_WEIGHT = 3.0  # blood covers few pixels


def compute_loss(outputs: IchOutputs, batch: IchBatch, recipe: IchRecipe) -> dict[str, Tensor]:
    """The terms of the loss, weighted; their sum is the loss.

    Returns
    -------
    ``mask`` : cross entropy per pixel, where the mask is known
    ``dice`` : one minus the soft Dice of each slice with known blood (Milletari et al., V-Net, 3DV 2016)
    ``slice`` : cross entropy of the slice; kinds only where the mask is known
    ``bag`` : of pictures with blood whose mask is not known, the highest score of the mask must be high
    """
    kinds, known, has_blood = batch.kinds, batch.mask_known, batch.has_blood
    target = torch.stack([kinds > 0, *(kinds == number for number in range(1, len(KINDS)))], 1).float()
    mask = outputs.mask.float()
    scores = outputs.slice.float()
    terms: dict[str, Tensor] = {}
    zero = mask.sum() * 0.0
    if known.any():
        weight = 1.0 + (_BLOOD_WEIGHT - 1.0) * target[known]
        cross = functional.binary_cross_entropy_with_logits(mask[known], target[known], weight)
        terms["mask"] = 4.0 * cross
    with_mask = known & (has_blood > 0)
    if with_mask.any():
        found, truth = torch.sigmoid(mask[with_mask]), target[with_mask]
        shared, total = (found * truth).sum((2, 3)), found.sum((2, 3)) + truth.sum((2, 3))
        loss = 1.0 - (2.0 * shared + _SMOOTH_PX) / (total + _SMOOTH_PX)
        present = (truth.sum((2, 3)) > 0).float()
        present[:, 1:] *= 0.25
        terms["dice"] = recipe.dice_weight * (loss * present).sum() / present.sum().clamp_min(1.0)
    any_loss = functional.binary_cross_entropy_with_logits(scores[:, 0], has_blood)
    kind_loss = zero
    if known.any():
        has_kind = (target[known][:, 1:].sum((2, 3)) > 0).float()
        kind_loss = functional.binary_cross_entropy_with_logits(scores[known][:, 1:], has_kind)
    terms["slice"] = recipe.slice_weight * (any_loss + 0.5 * kind_loss)
    unknown = ~known
    if unknown.any():
        cells = functional.avg_pool2d(mask[unknown][:, 0:1], _BAG_CELL).flatten(1)
        terms["bag"] = recipe.bag_weight * functional.softplus(-cells.amax(1)).mean()
    return terms
