from __future__ import annotations

import dataclasses
import json
import signal

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra `train`: pip install usassist[train]")
onnx = pytest.importorskip("onnx", reason="training needs the extra `train`: pip install usassist[train]")
pytest.importorskip("onnxscript", reason="training needs the extra `train`: pip install usassist[train]")

from usassist.engine import find_engine, open_engine  # noqa: E402
from usassist.errors import ConfigError, EngineSpecError  # noqa: E402
from usassist.training.checkpoint import load_trained  # noqa: E402
from usassist.training.data.appearance import Appearance  # noqa: E402
from usassist.training.data.augment import Augmenter  # noqa: E402
from usassist.training.data.batches import TrainFrames  # noqa: E402
from usassist.training.data.sample import Sample  # noqa: E402
from usassist.training.export import export_onnx, output_shapes  # noqa: E402
from usassist.training.network.model import DetectSegmentNet  # noqa: E402
from usassist.training.onnx_file import run_onnx  # noqa: E402
from usassist.training.package import write_engine_folder  # noqa: E402
from usassist.training.recipe import (  # noqa: E402
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
    looks = Appearance.from_donors(AugmentConfig(spectrum_p=1.0), [item.image for item in nodule])
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

    assert spec.ap_t_rel_sd is None
    ratios = [{"engine": spec.engine_id, "command": "size_report", "ap_t": {"rel_sd": value}} for value in (0.1, 0.2)]
    write_engine_folder(recipe, tmp_path / "run", tmp_path / "engines", report, golden=image, ratios=ratios)
    assert find_engine("thyroid_nodule", tmp_path / "engines").ap_t_rel_sd == 0.2

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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_after_its_step_even_where_the_shell_ignores_it(tmp_path, number):
    recipe, before = tiny_recipe(steps=5), signal.signal(number, signal.SIG_IGN)
    try:
        with pytest.raises(KeyboardInterrupt, match="stopped after 1 steps; the same command resumes"):
            train(recipe, tiny_data(), tmp_path, on_step=lambda progress: signal.raise_signal(number))
        assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)
    _, progress = load_trained(tmp_path)
    assert progress.step == 1
    seen = []
    train(recipe, tiny_data(), tmp_path, on_step=lambda progress: seen.append(progress.step))
    assert seen[0] == 2


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
    monkeypatch.setattr("usassist.training.onnx_file.MAX_ONNX_BYTES", 1000)
    with pytest.raises(EngineSpecError, match="8 MB"):
        export_onnx(DetectSegmentNet().eval(), SIZE_HW_PX, tmp_path / "m.onnx", np.zeros((1, 1, *SIZE_HW_PX), "f4"))
