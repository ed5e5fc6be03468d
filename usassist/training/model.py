"""The network of the detect-and-segment engines: a MobileNetV2 encoder, a small feature pyramid and three heads.

The encoder is MobileNetV2 with width 1.0 (Sandler et al., CVPR 2018), truncated after its 160-channel stage. The
pyramid adds coarse features to fine ones from stride 32 down to stride 4 (Lin et al., CVPR 2017). At stride 8 every
cell predicts a centre score and the distances to the four sides of the box (Tian et al., FCOS, ICCV 2019; peaks as in
Zhou et al., Objects as Points, 2019); at stride 4 every cell predicts the mask of the nodules and, in training, that of
the gland. The masks are upsampled to stride 2 by linear interpolation.

The stem and the first blocks can be frozen: they are general filters, 329 labelled frames are too few to improve them,
and they would take half of the time of a training step.

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

from usassist.engine.qdq import MAX_CODE, MIN_CODE
from usassist.errors import ConfigError
from usassist.training.recipe import ModelConfig

__all__ = [
    "CELL_PX",
    "MASK_STRIDE_PX",
    "ConvNorm",
    "DetectSegmentNet",
    "ExportModule",
    "RawOutputs",
    "fold_norms",
    "mix_style",
]

CELL_PX = 8
"""Stride of the centre and box maps, input px."""

MASK_STRIDE_PX = 2
"""Stride of the mask, input px."""

BOX_UNIT_PX = 32.0
"""Box distance of a raw output of 0, input px."""

_BOX_RAW_LIMIT = 3.5  # distances from 1 px to 1060 px
_CENTER_PRIOR = 0.02  # the score of every cell at the start of training (Lin et al., focal loss, ICCV 2017)

# expansion, output channels, stride of inverted residual blocks 1 to 16; block 17 (320 channels) is omitted
_BLOCKS: tuple[tuple[int, int, int], ...] = (
    (1, 16, 1),
    (6, 24, 2),
    (6, 24, 1),
    (6, 32, 2),
    (6, 32, 1),
    (6, 32, 1),
    (6, 64, 2),
    (6, 64, 1),
    (6, 64, 1),
    (6, 64, 1),
    (6, 96, 1),
    (6, 96, 1),
    (6, 96, 1),
    (6, 160, 2),
    (6, 160, 1),
    (6, 160, 1),
)
_TAPS = (3, 6, 13, 16)  # the blocks whose outputs feed the pyramid: strides 4, 8, 16, 32
_STEM_CHANNELS = 32
_INPUT_MAX_CODE = 127  # symmetric: -128 is not used
_INPUT_MAX_RATE = 0.05  # update rate of the running maximum of an input
_MIX_STYLE_AFTER = (3, 6)  # blocks
_MIX_STYLE_BETA = 0.1


class RawOutputs(NamedTuple):
    """The network's outputs before any activation; the losses are computed on these.

    Attributes
    ----------
    mask_logit : float32 (B, 1, H/2, W/2)
    gland_logit : float32 (B, 1, H/2, W/2); None without the gland head, as in the exported graph
    center_logit : float32 (B, 1, H/8, W/8)
    box_raw : float32 (B, 4, H/8, W/8), natural logarithm of the distances in units of ``BOX_UNIT_PX``
    """

    mask_logit: Tensor
    gland_logit: Tensor | None
    center_logit: Tensor
    box_raw: Tensor

    def box_ltrb_px(self) -> Tensor:
        """Distances from the cell's centre to left, top, right, bottom: float32 (B, 4, H/8, W/8), input px."""
        return torch.exp(self.box_raw.clamp(-_BOX_RAW_LIMIT, _BOX_RAW_LIMIT)) * BOX_UNIT_PX


class ConvNorm(nn.Module):
    """Convolution, batch norm, and an activation (ReLU6 or none).

    With ``fake_quantised`` set, input and weights are rounded as in INT8: the input with one scale from a running
    maximum, the weights to 7 bits with one scale per output channel, as ``usassist.engine.qdq`` requires; the gradient
    is passed straight through (Jacob et al., CVPR 2018). With a scale per output channel, folding the norm later does
    not change the rounding.
    """

    input_max: Tensor

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1, act: bool = True):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.norm: nn.BatchNorm2d | nn.Identity = nn.BatchNorm2d(outputs)
        self.act = act
        self.fake_quantised = False
        self.register_buffer("input_max", torch.zeros(()), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Float32 (B, C_in, H, W) to (B, C_out, H/stride, W/stride)."""
        y: Tensor = self.norm(self._fake_quantised_conv(x) if self.fake_quantised else self.conv(x))
        return functional.relu6(y) if self.act else y

    def _fake_quantised_conv(self, x: Tensor) -> Tensor:
        conv, max_code = self.conv, _INPUT_MAX_CODE
        now = x.detach().abs().amax().float()
        self.input_max.copy_(torch.where(self.input_max > 0, torch.lerp(self.input_max, now, _INPUT_MAX_RATE), now))
        scale = self.input_max.clamp_min(1e-6) / max_code
        x = torch.fake_quantize_per_tensor_affine(x, scale, torch.zeros((), dtype=torch.int32), -max_code, max_code)
        weights = conv.weight.detach()
        scales = torch.maximum(weights.amax((1, 2, 3)) / MAX_CODE, weights.amin((1, 2, 3)) / MIN_CODE).clamp_min(1e-9)
        zeros = torch.zeros(len(scales), dtype=torch.int32)
        weight = torch.fake_quantize_per_channel_affine(conv.weight, scales, zeros, 0, MIN_CODE, MAX_CODE)
        return functional.conv2d(x, weight, conv.bias, conv.stride, conv.padding, groups=conv.groups)


class _Residual(nn.Module):
    """Inverted residual block: expand 1x1, depthwise 3x3, project 1x1.

    ``drop`` is the share of training images that skip the block (Huang et al., stochastic depth, ECCV 2016).
    """

    def __init__(self, inputs: int, outputs: int, *, expansion: int, stride: int, drop: float):
        super().__init__()
        wide = inputs * expansion
        self.expand = ConvNorm(inputs, wide, 1) if expansion > 1 else None
        self.depthwise = ConvNorm(wide, wide, 3, stride=stride, groups=wide)
        self.project = ConvNorm(wide, outputs, 1, act=False)
        self.skip = stride == 1 and inputs == outputs
        self.drop = drop

    def forward(self, x: Tensor) -> Tensor:
        """Float32 (B, C_in, H, W) to (B, C_out, H/stride, W/stride)."""
        y = x if self.expand is None else self.expand(x)
        out: Tensor = self.project(self.depthwise(y))
        if not self.skip:
            return out
        if self.training and self.drop > 0:
            kept = torch.empty((len(out), 1, 1, 1), dtype=out.dtype).bernoulli_(1 - self.drop)
            out = out * (kept / (1 - self.drop))
        return x + out


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
        self.stem = ConvNorm(1, channels := config.channels(_STEM_CHANNELS), 3, stride=2)
        blocks: list[_Residual] = []
        for number, (expansion, full, stride) in enumerate(_BLOCKS, start=1):
            outputs, drop = config.channels(full), config.drop_path * number / len(_BLOCKS)
            blocks.append(_Residual(channels, outputs, expansion=expansion, stride=stride, drop=drop))
            channels = outputs
        self.blocks = nn.ModuleList(blocks)
        fine4, fine8, fine16, fine32 = (config.channels(_BLOCKS[tap - 1][1]) for tap in _TAPS)
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
            if number in _MIX_STYLE_AFTER and self.training and float(torch.rand(())) < self.config.mix_style_p:
                x = mix_style(x)
            if number in _TAPS:
                taps.append(x)
        top = self.drop(self.top(taps[3]))
        top = top + self.context(top) + self.whole(top.mean((2, 3), keepdim=True))
        p8 = self.drop(self.fuse8(taps[1], self.fuse16(taps[2], top)))
        masks = self.mask_head(self.mask_body(self.fuse4(taps[0], p8)))
        masks = functional.interpolate(masks, scale_factor=2.0, mode="bilinear", align_corners=False)
        det = self.det_head(self.det_body(p8))
        mask, gland = (masks, None) if masks.shape[1] == 1 else (masks[:, :1], masks[:, 1:])
        return RawOutputs(mask, gland, det[:, :1], det[:, 1:])

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

    def load_encoder(self, npz_path: Path, images: Tensor) -> None:
        """Initialise the encoder from folded ImageNet weights.

        In the file the batch norms are folded into the convolutions. Each norm here is set to act as the identity plus
        the folded bias: scale and running variance, shift and running mean are computed from the activations of
        ``images``.

        Parameters
        ----------
        npz_path : arrays ``LAYER.weight`` (out, in/groups, kh, kw) and ``LAYER.bias`` (out,), float16
        images : float32 (B, 1, H, W) in 0 to 1, typical input

        Raises
        ------
        ConfigError
            When the encoder has another width.
        """
        arrays = np.load(npz_path)

        def load_layer(layer: ConvNorm, name: str, x: Tensor) -> Tensor:
            weight = torch.from_numpy(arrays[f"{name}.weight"].astype(np.float32))
            if layer.conv.in_channels == 1 and weight.shape[1] == 3:
                weight = weight.sum(1, keepdim=True)  # a grey image has three equal channels
            if weight.shape != layer.conv.weight.shape:
                raise ConfigError("ImageNet weights fit an encoder of full width only; set model.encoder_width to 1.0")
            layer.conv.weight.copy_(weight)
            bias = torch.from_numpy(arrays[f"{name}.bias"].astype(np.float32))
            y = layer.conv(x)
            variance, mean = torch.var_mean(y, dim=(0, 2, 3), correction=0)
            variance = variance.clamp_min(1e-4)
            norm = layer.norm
            assert isinstance(norm, nn.BatchNorm2d)
            assert norm.running_mean is not None
            assert norm.running_var is not None
            norm.running_mean.copy_(mean)
            norm.running_var.copy_(variance)
            norm.weight.copy_(torch.sqrt(variance + norm.eps))
            norm.bias.copy_(mean + bias)
            y = y + bias[None, :, None, None]
            return functional.relu6(y) if layer.act else y

        with torch.no_grad():
            x = load_layer(self.stem, "Conv2d_0_0", images * 2.0 - 1.0)
            for number, block in enumerate(self.blocks, start=1):
                assert isinstance(block, _Residual)
                name = f"expanded_conv_{number}"
                y = x if block.expand is None else load_layer(block.expand, f"{name}.expand", x)
                y = load_layer(block.depthwise, f"{name}.depthwise", y)
                y = load_layer(block.project, f"{name}.project", y)
                x = x + y if block.skip else y


class ExportModule(nn.Module):
    """The network with all operations of the engine's tensor contract in the graph."""

    def __init__(self, net: DetectSegmentNet):
        super().__init__()
        self.net = net

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map float32 (1, 1, H, W) in 0 to 1 to the three engine outputs.

        Returns
        -------
        mask_prob : float32 (1, 1, H/2, W/2)
        center_score : float32 (1, 1, H/8, W/8), zero wherever one of the 8 neighbours is higher
        box_ltrb_px : float32 (1, 4, H/8, W/8), input px
        """
        raw = self.net(image)
        highest = functional.max_pool2d(raw.center_logit, 3, stride=1, padding=1)
        score = torch.sigmoid(raw.center_logit)
        peak = torch.where(raw.center_logit >= highest, score, torch.zeros_like(score))
        return torch.sigmoid(raw.mask_logit), peak, raw.box_ltrb_px()


def fold_norms(module: nn.Module) -> None:
    """Fold every batch norm in ``module`` into the preceding convolution, in place. Requires evaluation mode."""
    for layer in list(module.modules()):
        if isinstance(layer, ConvNorm) and isinstance(layer.norm, nn.BatchNorm2d):
            layer.conv = torch.nn.utils.fuse_conv_bn_eval(layer.conv, layer.norm)
            layer.norm = nn.Identity()
