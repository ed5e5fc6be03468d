"""The network of the detect-and-segment engines: an encoder, a small feature pyramid and its heads.

The pyramid adds coarse features to fine ones from stride 32 down to stride 4 (Lin et al., CVPR 2017). At stride 8 every
cell predicts a centre score and the distances to the four sides of the box (Tian et al., FCOS, ICCV 2019; peaks as in
Zhou et al., Objects as Points, 2019); at stride 4 every cell predicts the mask of the nodules and, in training, that of
the gland. The masks are upsampled to stride 2 by linear interpolation. From the mean and the maximum of the coarsest
features a small head tells whether the frame shows the region of the thyroid at all.

The stem and the first blocks can be frozen: they are general filters, and they take half of the time of a training
step.

Only plain operators with fixed shapes: the exported graph has no top-k, no loops and no box suppression.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from usassist.training.network.encoder import ENCODERS, STEM_CHANNELS, load_imagenet
from usassist.training.network.layers import ConvNorm, Residual, fold_norms
from usassist.training.recipe import ModelConfig

__all__ = [
    "CELL_PX",
    "MASK_STRIDE_PX",
    "DetectSegmentNet",
    "ExportModule",
    "RawOutputs",
    "mix_style",
]

CELL_PX = 8
"""Stride of the centre and box maps, input px."""

MASK_STRIDE_PX = 2
"""Stride of the mask, input px."""

BOX_UNIT_PX = 32.0
"""Box distance of a raw output of 0, input px."""

_BOX_RAW_LIMIT = 3.5  # distances from 1 px to 1060 px
_DOMAIN_CHANNELS = 32
_CENTER_PRIOR = 0.02  # the score of every cell at the start of training (Lin et al., focal loss, ICCV 2017)

_MIX_STYLE_BETA = 0.1


class RawOutputs(NamedTuple):
    """The network's outputs before any activation; the losses are computed on these.

    Attributes
    ----------
    mask_logit : float32 (B, 1, H/2, W/2)
    gland_logit : float32 (B, 1, H/2, W/2); None without the gland head, as in the exported graph
    center_logit : float32 (B, 1, H/8, W/8)
    box_raw : float32 (B, 4, H/8, W/8), natural logarithm of the distances in units of ``BOX_UNIT_PX``
    thyroid_logit : float32 (B, 1), of the frame showing the region of the thyroid
    """

    mask_logit: Tensor
    gland_logit: Tensor | None
    center_logit: Tensor
    box_raw: Tensor
    thyroid_logit: Tensor

    def box_ltrb_px(self) -> Tensor:
        """Distances from the cell's centre to left, top, right, bottom: float32 (B, 4, H/8, W/8), input px."""
        return torch.exp(self.box_raw.clamp(-_BOX_RAW_LIMIT, _BOX_RAW_LIMIT)) * BOX_UNIT_PX


class _Separable(nn.Sequential):
    """Depthwise 3x3, then 1x1, instead of a full 3x3 convolution (Howard et al., MobileNets, 2017)."""

    def __init__(self, channels: int):
        super().__init__(ConvNorm(channels, channels, 3, groups=channels), ConvNorm(channels, channels, 1))


class _Fuse(nn.Module):
    """Add the coarser level, upsampled by 2, to a finer one, and smooth (depthwise 3x3, then 1x1)."""

    def __init__(self, fine: int, coarse: int, outputs: int):
        super().__init__()
        self.lateral = ConvNorm(fine, outputs, 1, act=False)
        self.reduce = ConvNorm(coarse, outputs, 1, act=False) if coarse != outputs else None
        self.depthwise = ConvNorm(outputs, outputs, 3, groups=outputs)
        self.project = ConvNorm(outputs, outputs, 1)

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        """(B, C_fine, H, W) and (B, C_coarse, H/2, W/2) to (B, C_out, H, W)."""
        if self.reduce is not None:
            coarse = self.reduce(coarse)
        up = functional.interpolate(coarse, scale_factor=2.0, mode="nearest")
        fused: Tensor = self.project(self.depthwise(self.lateral(fine) + up))
        return fused


def mix_style(x: Tensor) -> Tensor:
    """Mix the mean and spread of each channel with those of another image (Zhou et al., MixStyle, ICLR 2021).

    They carry a scanner's appearance, but not the layout of the frame. Float (B, C, H, W) to the same.
    """
    values = x.detach().float()
    mean = values.mean((2, 3), keepdim=True)
    spread = (values.var((2, 3), keepdim=True) + 1e-5).sqrt()
    other = torch.randperm(len(x))
    share = torch.distributions.Beta(_MIX_STYLE_BETA, _MIX_STYLE_BETA).sample((len(x), 1, 1, 1))
    new_spread = share * spread + (1 - share) * spread[other]
    new_mean = share * mean + (1 - share) * mean[other]
    scale = new_spread / spread
    return (x * scale.to(x.dtype) + (new_mean - mean * scale).to(x.dtype)).to(x.dtype)


class DetectSegmentNet(nn.Module):
    """One grey image in, masks and boxes out. Input values are in 0 to 1.

    Parameters
    ----------
    config : widths and regularisation; None = the default values
    """

    def __init__(self, config: ModelConfig | None = None):
        super().__init__()
        self.config = config = config or ModelConfig()
        self.frozen_blocks = 0
        self.shape = shape = ENCODERS[config.encoder]
        self.stem = ConvNorm(1, channels := config.channels(STEM_CHANNELS), 3, stride=2)
        blocks: list[Residual] = []
        for number, block in enumerate(shape.blocks, start=1):
            outputs, drop = config.channels(block.channels), config.drop_path * number / len(shape.blocks)
            blocks.append(
                Residual(
                    channels,
                    outputs,
                    expansion=block.expansion,
                    stride=block.stride,
                    kernel=block.kernel,
                    drop=drop,
                )
            )
            channels = outputs
        self.blocks = nn.ModuleList(blocks)
        fine4, fine8, fine16, fine32 = (config.channels(shape.blocks[tap - 1].channels) for tap in shape.taps)
        width, narrow = config.pyramid_channels, config.mask_channels
        self.top = ConvNorm(fine32, width, 1)
        self.context = ConvNorm(width, width, 5, groups=width)
        self.whole = nn.Conv2d(width, width, 1)
        self.drop = nn.Dropout2d(config.dropout)
        self.fuse16 = _Fuse(fine16, width, width)
        self.fuse8 = _Fuse(fine8, width, width)
        self.fuse4 = _Fuse(fine4, width, narrow)

        def body(channels: int) -> nn.Module:
            return _Separable(channels) if config.separable_heads else ConvNorm(channels, channels, 3)

        self.mask_body = body(narrow)
        self.mask_head = nn.Conv2d(narrow, 2, 1)
        self.det_body = nn.Sequential(body(width), body(width))
        self.det_head = nn.Conv2d(width, 5, 1)
        self.domain_body = nn.Conv2d(2 * width, _DOMAIN_CHANNELS, 1)
        self.domain_head = nn.Conv2d(_DOMAIN_CHANNELS, 1, 1)
        nn.init.normal_(self.det_head.weight, std=0.01)
        bias = torch.zeros(5)
        bias[0] = float(np.log(_CENTER_PRIOR / (1 - _CENTER_PRIOR)))
        self.det_head.bias = nn.Parameter(bias)
        nn.init.constant_(self.mask_head.bias, -2.0)  # type: ignore[arg-type]

    def forward(self, image: Tensor) -> RawOutputs:
        """Float32 (B, 1, H, W) in 0 to 1, H and W multiples of 32."""
        x = self.stem(image * 2.0 - 1.0)
        taps: list[Tensor] = []
        for number, block in enumerate(self.blocks, start=1):
            x = block(x)
            if number in self.shape.taps[:2] and self.training and float(torch.rand(())) < self.config.mix_style_p:
                x = mix_style(x)
            if number in self.shape.taps:
                taps.append(x)
        top = self.drop(self.top(taps[3]))
        mean = top.mean((2, 3), keepdim=True)
        domain = functional.relu6(self.domain_body(torch.cat([mean, top.amax((2, 3), keepdim=True)], 1)))
        top = top + self.context(top) + self.whole(mean)
        p8 = self.drop(self.fuse8(taps[1], self.fuse16(taps[2], top)))
        masks = self.mask_head(self.mask_body(self.fuse4(taps[0], p8)))
        masks = functional.interpolate(masks, scale_factor=2.0, mode="bilinear", align_corners=False)
        det = self.det_head(self.det_body(p8))
        mask, gland = (masks, None) if masks.shape[1] == 1 else (masks[:, :1], masks[:, 1:])
        return RawOutputs(mask, gland, det[:, :1], det[:, 1:], self.domain_head(domain).flatten(1))

    def remove_gland_head(self) -> None:
        """Remove the gland mask from the outputs and the computation: for inference, not for training."""
        full = self.mask_head
        self.mask_head = nn.Conv2d(full.in_channels, 1, 1)
        self.mask_head.weight = nn.Parameter(full.weight[:1].detach().clone())
        assert full.bias is not None
        self.mask_head.bias = nn.Parameter(full.bias[:1].detach().clone())

    def freeze(self, blocks: int) -> None:
        """Freeze the stem and the first ``blocks`` blocks; 0 = train everything.

        Their norms are folded into the convolutions, so that they take no extra time.
        """
        self.frozen_blocks = blocks
        if not blocks:
            return
        for module in (self.stem, *self.blocks[:blocks]):
            fold_norms(module.eval())
            module.requires_grad_(False)

    def enable_fake_quantisation(self) -> None:
        """Enable INT8 fake quantisation of inputs and weights of the convolutions; for training only."""
        for module in self.modules():
            if isinstance(module, ConvNorm):
                module.fake_quantised = True

    def train(self, mode: bool = True) -> Self:
        """Switch between training and evaluation mode; frozen blocks stay in evaluation mode."""
        super().train(mode)
        for module in self.blocks[: self.frozen_blocks]:
            module.eval()
        return self

    def encoder_parameters(self) -> Iterator[nn.Parameter]:
        """The trainable parameters of the encoder, which can start from ImageNet weights."""
        for module in (self.stem, self.blocks):
            yield from (parameter for parameter in module.parameters() if parameter.requires_grad)

    def load_encoder(self, path: Path, images: Tensor) -> None:
        """Initialise the encoder from ImageNet weights.

        Parameters
        ----------
        path : of :func:`usassist.training.network.encoder.find_weights`
        images : float32 (B, 1, H, W) in 0 to 1, typical input

        Raises
        ------
        ConfigError
            When the encoder has another width.
        """
        load_imagenet(self.config.encoder, path, self.stem, self.blocks, images)


class ExportModule(nn.Module):
    """The network with all operations of the engine's tensor contract in the graph."""

    def __init__(self, net: DetectSegmentNet):
        super().__init__()
        self.net = net

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Map float32 (1, 1, H, W) in 0 to 1 to the four engine outputs.

        Returns
        -------
        mask_prob : float32 (1, 1, H/2, W/2)
        center_score : float32 (1, 1, H/8, W/8), zero wherever one of the 8 neighbours is higher
        box_ltrb_px : float32 (1, 4, H/8, W/8), input px
        thyroid_prob : float32 (1, 1)
        """
        raw = self.net(image)
        highest = functional.max_pool2d(raw.center_logit, 3, stride=1, padding=1)
        score = torch.sigmoid(raw.center_logit)
        peak = torch.where(raw.center_logit >= highest, score, torch.zeros_like(score))
        return torch.sigmoid(raw.mask_logit), peak, raw.box_ltrb_px(), torch.sigmoid(raw.thyroid_logit)
