"""Layers of the encoders and of the network: convolution with norm and fake quantisation, inverted residual block."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from usassist.engine.qdq import MAX_CODE, MIN_CODE

__all__ = ["ConvNorm", "Residual", "fold_norms"]

_INPUT_MAX_CODE = 127  # symmetric: -128 is not used
_INPUT_MAX_RATE = 0.05  # update rate of the running maximum of an input


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

    def set_identity_norm(self, x: Tensor, bias: Tensor) -> Tensor:
        """Set the norm to act as the identity plus ``bias`` on input like ``x``; returns the layer's output for ``x``.

        Parameters
        ----------
        x : float32 (B, C_in, H, W)
        bias : float32 (C_out,)
        """
        y = self.conv(x)
        variance, mean = torch.var_mean(y, dim=(0, 2, 3), correction=0)
        variance = variance.clamp_min(1e-4)
        norm = self.norm
        assert isinstance(norm, nn.BatchNorm2d)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
        norm.weight.copy_(torch.sqrt(variance + norm.eps))
        norm.bias.copy_(mean + bias)
        out: Tensor = y + bias[None, :, None, None]
        return functional.relu6(out) if self.act else out

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


class Residual(nn.Module):
    """Inverted residual block: expand 1x1, depthwise, project 1x1.

    ``drop`` is the share of training images that skip the block (Huang et al., stochastic depth, ECCV 2016).
    """

    def __init__(self, inputs: int, outputs: int, *, expansion: int, stride: int, kernel: int, drop: float):
        super().__init__()
        wide = inputs * expansion
        self.expand = ConvNorm(inputs, wide, 1) if expansion > 1 else None
        self.depthwise = ConvNorm(wide, wide, kernel, stride=stride, groups=wide)
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


def fold_norms(module: nn.Module) -> None:
    """Fold every batch norm in ``module`` into the preceding convolution, in place. Requires evaluation mode."""
    for layer in list(module.modules()):
        if isinstance(layer, ConvNorm) and isinstance(layer.norm, nn.BatchNorm2d):
            layer.conv = torch.nn.utils.fuse_conv_bn_eval(layer.conv, layer.norm)
            layer.norm = nn.Identity()
