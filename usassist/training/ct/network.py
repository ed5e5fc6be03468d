"""The network of the engine ``ct_ich``: MobileNetV2, a U-Net decoder for the mask, and a head for the whole slice.

The batch norms of the encoder are folded into its convolutions before training (the ImageNet weights come so), and the
decoder has none: batches mix simulated slices and pictures of the web, whose statistics differ.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from usassist.training.network.encoder import ENCODERS, STEM_CHANNELS
from usassist.training.network.layers import ConvNorm, Residual, fold_norms

__all__ = ["KINDS", "ExportModule", "IchNet", "IchOutputs"]

KINDS = ("haemorrhage", "intraparenchymal", "intraventricular", "extra_axial")
"""The labels, in the order of the outputs; the first is any of them."""

_TAPS = (1, 3, 6, 13, 16)  # blocks at the ends of strides 2, 4, 8, 16 and 32
_WIDTHS = (24, 48, 64, 96)  # of the decoder at strides 2, 4, 8 and 16
_SLICE_CHANNELS = 64
_POOL = 4  # strides of 2 px over which scores are averaged before their maximum is taken


class IchOutputs(NamedTuple):
    """Logits.

    Attributes
    ----------
    mask : float32 (B, 4, H, W), one plane per label of :data:`KINDS`
    slice : float32 (B, 4)
    """

    mask: Tensor
    slice: Tensor


class _Up(nn.Module):
    """Doubles the resolution and joins it with the features of the encoder."""

    def __init__(self, coarse: int, fine: int, width: int):
        super().__init__()
        self.join = nn.Conv2d(coarse + fine, width, 3, padding=1)
        nn.init.kaiming_normal_(self.join.weight, nonlinearity="relu")

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """(B, C, H/2, W/2) and (B, D, H, W) to (B, width, H, W)."""
        coarse = functional.interpolate(coarse, scale_factor=2.0, mode="bilinear", align_corners=False)
        return functional.relu(self.join(torch.cat([coarse, fine], 1)))


class IchNet(nn.Module):
    """Scores of haemorrhage in one slice.

    Parameters
    ----------
    dropout : of whole channels, before the decoder and the head of the slice
    """

    def __init__(self, dropout: float = 0.1):
        super().__init__()
        shape = ENCODERS["mobilenet_v2"]
        self.stem = ConvNorm(3, STEM_CHANNELS, 3, stride=2)
        blocks, channels, taps = [], STEM_CHANNELS, []
        for number, block in enumerate(shape.blocks, start=1):
            blocks.append(
                Residual(
                    channels,
                    block.channels,
                    expansion=block.expansion,
                    stride=block.stride,
                    kernel=block.kernel,
                    drop=0.0,
                )
            )
            channels = block.channels
            if number in _TAPS:
                taps.append(channels)
        self.blocks = nn.ModuleList(blocks)
        fold_norms(self.eval())
        at2, at4, at8, at16, at32 = taps
        self.drop = nn.Dropout2d(dropout)
        self.up16 = _Up(at32, at16, _WIDTHS[3])
        self.up8 = _Up(_WIDTHS[3], at8, _WIDTHS[2])
        self.up4 = _Up(_WIDTHS[2], at4, _WIDTHS[1])
        self.up2 = _Up(_WIDTHS[1], at2, _WIDTHS[0])
        self.mask_head = nn.Conv2d(_WIDTHS[0], len(KINDS), 1)
        nn.init.constant_(self.mask_head.bias, -4.0)  # type: ignore[arg-type]
        self.slice_body = nn.Conv2d(at32 + _WIDTHS[3] + len(KINDS), _SLICE_CHANNELS, 1)
        self.slice_head = nn.Conv2d(_SLICE_CHANNELS, len(KINDS), 1)
        self.train()

    def forward(self, image: Tensor) -> IchOutputs:
        """Float32 (B, 3, H, W) in 0 to 1, H and W multiples of 32."""
        x = self.stem(image * 2.0 - 1.0)
        taps: list[Tensor] = []
        for number, block in enumerate(self.blocks, start=1):
            x = block(x)
            if number in _TAPS:
                taps.append(x)
        top = self.drop(taps[4])
        p16 = self.drop(self.up16(top, taps[3]))
        mask = self.mask_head(self.up2(self.up4(self.up8(p16, taps[2]), taps[1]), taps[0]))
        highest = functional.avg_pool2d(mask, _POOL).amax((2, 3), keepdim=True)
        pooled = torch.cat([top.mean((2, 3), keepdim=True), p16.amax((2, 3), keepdim=True), highest], 1)
        scores = self.slice_head(functional.relu(self.slice_body(pooled))).flatten(1)
        return IchOutputs(functional.interpolate(mask, scale_factor=2.0, mode="bilinear", align_corners=False), scores)

    def load_encoder(self, path: Path) -> None:
        """Initialise the encoder from the ImageNet weights in ``path``."""
        arrays = _FoldedWeights(path)
        arrays.copy_to(self.stem, "Conv2d_0_0")
        for number, block in enumerate(self.blocks, start=1):
            assert isinstance(block, Residual)
            name = f"expanded_conv_{number}"
            if block.expand is not None:
                arrays.copy_to(block.expand, f"{name}.expand")
            arrays.copy_to(block.depthwise, f"{name}.depthwise")
            arrays.copy_to(block.project, f"{name}.project")

    def encoder_parameters(self) -> list[nn.Parameter]:
        """The parameters that start from ImageNet weights."""
        return [*self.stem.parameters(), *self.blocks.parameters()]


class _FoldedWeights:
    """The file of the ImageNet weights: ``LAYER.weight`` and ``LAYER.bias``, batch norms folded, float16."""

    def __init__(self, path: Path):
        import numpy as np

        with np.load(path) as arrays:
            self._arrays = {name: torch.from_numpy(arrays[name].astype(np.float32)) for name in arrays.files}

    @torch.no_grad()
    def copy_to(self, layer: ConvNorm, name: str) -> None:
        """Copy weight and bias of a layer."""
        assert layer.conv.bias is not None
        layer.conv.weight.copy_(self._arrays[f"{name}.weight"])
        layer.conv.bias.copy_(self._arrays[f"{name}.bias"])


class ExportModule(nn.Module):
    """The network with the outputs of the engine's contract.

    Parameters
    ----------
    net : the trained network
    mask_threshold : probability of the network's mask that becomes 0.5 in ``mask_prob``, from which blood is outlined
    """

    def __init__(self, net: IchNet, mask_threshold: float = 0.5):
        super().__init__()
        self.net = net
        self.shift = math.log(mask_threshold / (1.0 - mask_threshold))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Map float32 (B, 3, H, W) in 0 to 1 to ``mask_prob`` (B, 1, H, W) and ``slice_prob`` (B, 4)."""
        outputs = self.net(image)
        return torch.sigmoid(outputs.mask[:, :1] - self.shift), torch.sigmoid(outputs.slice)
