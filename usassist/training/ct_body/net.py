"""The network of ``ct_bodycomp``: a plain encoder and decoder with sums as skip connections, 0.6 M values.

Three windows of a plane in, five compartments out, both at the same size. The encoder starts at half the size; the last
layers see the full size again, because the wall of a thin person is two pixels thick.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional

from usassist.training.network.layers import ConvNorm

__all__ = ["CLASSES", "BodyNet", "ExportBodyNet"]

CLASSES = 5
_WIDTHS = (24, 48, 72, 96, 96)


class _Up(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.reduce = ConvNorm(inputs, outputs, 1, act=False)
        self.body = ConvNorm(outputs, outputs, 3)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        up = functional.interpolate(self.reduce(coarse), scale_factor=2.0, mode="nearest")
        out: Tensor = self.body(up + fine)
        return out


class _Spread(nn.Conv2d):
    """A pointwise convolution whose channels become a picture of twice the size (Shi et al., CVPR 2016)."""

    exported = False
    """True: of plain operators, which every back end has."""

    def forward(self, x: Tensor) -> Tensor:
        """float32 (B, C_in, H, W) → (B, C_out / 4, 2 H, 2 W)."""
        y = super().forward(x)
        if not self.exported:
            return functional.pixel_shuffle(y, 2)
        height, width = y.shape[2:]
        y = y.reshape(-1, self.out_channels // 4, 2, 2, height, width).permute(0, 1, 4, 2, 5, 3)
        return y.reshape(-1, self.out_channels // 4, 2 * height, 2 * width)


class BodyNet(nn.Module):
    """float32 (B, 3, H, W) in 0 to 1, sides multiples of 32 → logits (B, 5, H, W)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvNorm(3, _WIDTHS[0], 5, stride=2)
        self.first = ConvNorm(_WIDTHS[0], _WIDTHS[0], 3)
        self.down = nn.ModuleList(
            nn.Sequential(ConvNorm(a, b, 3, stride=2), ConvNorm(b, b, 3)) for a, b in itertools.pairwise(_WIDTHS)
        )
        self.context = ConvNorm(_WIDTHS[-1], _WIDTHS[-1], 5, groups=_WIDTHS[-1])
        self.up = nn.ModuleList(_Up(b, a) for a, b in itertools.pairwise(_WIDTHS))
        self.detail = ConvNorm(3, 8, 3)
        self.spread = _Spread(_WIDTHS[0], 4 * 8, 1)
        self.join = ConvNorm(16, 12, 3)
        self.head = nn.Conv2d(12, CLASSES, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Logits of the compartments."""
        x = self.first(self.stem(image))
        levels = [x]
        for stage in self.down:
            x = stage(x)
            levels.append(x)
        x = x + self.context(x) + x.mean((2, 3), keepdim=True)
        for number in range(len(self.up) - 1, -1, -1):
            x = self.up[number](x, levels[number])
        x = self.spread(x)
        logits: Tensor = self.head(self.join(torch.cat([functional.relu6(x), self.detail(image)], 1)))
        return logits


class ExportBodyNet(nn.Module):
    """The network with the softmax of the engine's contract."""

    def __init__(self, net: BodyNet) -> None:
        super().__init__()
        self.net = net
        net.spread.exported = True

    def forward(self, image: Tensor) -> Tensor:
        """float32 (B, 3, H, W) → probabilities (B, 5, H, W)."""
        return torch.softmax(self.net(image), 1)
