"""The teacher of outlines: a network that is shown a box and outlines the nodule in it, and its loss.

The encoder is that of :mod:`usassist.training.network.model`, frozen to stride 4; there the box is added. The decoder
joins coarse and fine features as in U-Net (Ronneberger et al., MICCAI 2015), to stride 2. What is learnt is a
correction of the ellipse that fills the box, which is a good outline of most nodules.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from usassist.training.network.layers import ConvNorm
from usassist.training.network.model import DetectSegmentNet
from usassist.training.recipe import ModelConfig
from usassist.training.teacher.batches import BoxBatch

__all__ = ["BoxLossParts", "BoxOutlineNet", "box_outline_loss"]

_SHOWN_AFTER = 3  # blocks, at the end of stride 4; these can be frozen
_TAPS = (1, 3, 6, 13, 16)  # blocks at the ends of strides 2, 4, 8, 16 and 32
_WIDTHS = (32, 48, 64, 96)  # of the decoder at strides 2, 4, 8, 16
_DROP_PATH = 0.1
_DROPOUT = 0.1
_ELLIPSE_GAIN = 4.0  # logit at the centre of the box before training
_BOX_WEIGHT = 0.5  # of crops that have only a box


class _Join(nn.Module):
    """Upsample the coarser level by 2, put it beside the finer one, and convolve 3x3."""

    def __init__(self, fine: int, coarse: int, outputs: int):
        super().__init__()
        self.reduce = ConvNorm(coarse, outputs, 1)
        self.join = ConvNorm(outputs + fine, outputs, 3)

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        """(B, C_fine, H, W) and (B, C_coarse, H/2, W/2) to (B, C_out, H, W)."""
        up = functional.interpolate(self.reduce(coarse), scale_factor=2.0, mode="bilinear", align_corners=False)
        joined: Tensor = self.join(torch.cat([up, fine], 1))
        return joined


class BoxOutlineNet(nn.Module):
    """Grey and box in, the logits of the nodule's mask out.

    Parameters
    ----------
    base : gives its encoder, with the stem and the first blocks frozen or not; None = random weights
    """

    def __init__(self, base: DetectSegmentNet | None = None):
        super().__init__()
        base = base or DetectSegmentNet(ModelConfig(drop_path=_DROP_PATH))
        self.frozen_blocks = base.frozen_blocks
        self.stem, self.blocks = base.stem, base.blocks
        channels = [int(base.blocks[tap - 1].project.conv.out_channels) for tap in _TAPS]  # type: ignore[union-attr, arg-type]
        self.show = nn.Conv2d(1, channels[1], 1)
        nn.init.zeros_(self.show.weight)
        self.context = ConvNorm(channels[4], channels[4], 5, groups=channels[4])
        self.drop = nn.Dropout2d(_DROPOUT)
        coarse = (*_WIDTHS[1:], channels[4])
        self.joins = nn.ModuleList(
            _Join(fine + 1, below, width) for fine, below, width in zip(channels, coarse, _WIDTHS, strict=False)
        )
        self.head = nn.Conv2d(_WIDTHS[0], 1, 1)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]
        self.ellipse_gain = nn.Parameter(torch.tensor(_ELLIPSE_GAIN))

    def forward(self, inputs: Tensor) -> Tensor:
        """Float32 (B, 2, S, S), 0 to 1, S a multiple of 32, to logits (B, 1, S/2, S/2).

        The planes are grey and :func:`usassist.training.data.boxes.ellipse_plane` of the box.
        """
        shown = [functional.avg_pool2d(inputs[:, 1:], 2**level) for level in range(1, 5)]
        x = self.stem(inputs[:, :1] * 2.0 - 1.0)
        taps: list[Tensor] = []
        for number, block in enumerate(self.blocks, start=1):
            x = block(x)
            if number == _SHOWN_AFTER:
                x = x + self.show(shown[1])
            if number in _TAPS:
                taps.append(x)
        x = self.drop(x + self.context(x))
        for level in (3, 2, 1, 0):
            x = self.joins[level](torch.cat([taps[level], shown[level].to(x.dtype)], 1), x)
        correction: Tensor = self.head(x)
        return correction + self.ellipse_gain * (2.0 * shown[0] - 1.0)

    def train(self, mode: bool = True) -> Self:
        """Switch between training and evaluation mode; frozen blocks stay in evaluation mode."""
        super().train(mode)
        for module in self.blocks[: self.frozen_blocks]:
            module.eval()
        return self

    @classmethod
    def pretrained(cls, encoder_npz: Path, images: Tensor) -> Self:
        """A network with ImageNet weights, frozen to stride 4 as in the recipes of the engines.

        Parameters
        ----------
        encoder_npz : as in :meth:`DetectSegmentNet.load_encoder`
        images : float32 (B, 1, S, S) in 0 to 1, typical crops
        """
        base = DetectSegmentNet(ModelConfig(drop_path=_DROP_PATH))
        base.load_encoder(encoder_npz, images)
        base.freeze(_SHOWN_AFTER)
        return cls(base)

    @classmethod
    def like(cls, state: Mapping[str, Tensor]) -> Self:
        """A network with the weights of a ``state_dict``, in evaluation mode."""
        base = DetectSegmentNet(ModelConfig(drop_path=_DROP_PATH))
        if "stem.conv.bias" in state:  # only a frozen convolution has one
            base.freeze(_SHOWN_AFTER)
        net = cls(base)
        net.load_state_dict(state)
        return net.eval()

    def encoder_parameters(self) -> Iterator[nn.Parameter]:
        """The parameters that can start from ImageNet weights."""
        for module in (self.stem, self.blocks):
            yield from (parameter for parameter in module.parameters() if parameter.requires_grad)


class BoxLossParts(NamedTuple):
    """The loss and its terms."""

    total: Tensor
    mask: Tensor
    projection: Tensor
    outside: Tensor


def box_outline_loss(logit: Tensor, batch: BoxBatch) -> BoxLossParts:
    """Mask loss where the mask is known; everywhere, the mask's projections must be those of the target.

    Mask: binary cross entropy plus 1 - soft Dice. Projection: 1 - Dice of the maxima over rows and over columns (Tian
    et al., BoxInst, CVPR 2021, equation 2). Outside: cross entropy outside the box, where only the box is known.

    Parameters
    ----------
    logit : float (B, 1, h, w)
    batch : targets of that size
    """
    logit, target, known = logit.float(), batch.target, batch.has_mask
    prob = torch.sigmoid(logit)
    entropy = functional.binary_cross_entropy_with_logits(logit, target, reduction="none")
    mask = _mean(entropy.mean((1, 2, 3)) + 1 - _soft_dice(prob, target), known)
    apart = 2 - _soft_dice(prob.amax(2), target.amax(2)) - _soft_dice(prob.amax(3), target.amax(3))
    projection = (apart * (known + _BOX_WEIGHT * (1 - known))).sum() / len(apart)
    beyond = (target == 0).float()
    outside = _mean((entropy * beyond).sum((1, 2, 3)) / beyond.sum((1, 2, 3)).clamp_min(1.0), 1 - known)
    return BoxLossParts(mask + 0.5 * projection + _BOX_WEIGHT * outside, mask, projection, outside)


def _soft_dice(prob: Tensor, target: Tensor) -> Tensor:
    """Soft Dice (Milletari et al., V-Net, 3DV 2016) of each image: (B, ...) twice to (B,)."""
    prob, target = prob.flatten(1), target.flatten(1)
    return (2 * (prob * target).sum(1) + 1.0) / (prob.sum(1) + target.sum(1) + 1.0)


def _mean(values: Tensor, counted: Tensor) -> Tensor:
    """Mean of the values with ``counted`` = 1, or 0 if there are none; both (B,)."""
    return (values * counted).sum() / counted.sum().clamp_min(1.0)
