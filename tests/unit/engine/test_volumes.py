"""The same engine contract for CT and MR: free axes, batches of slices and of windows, on every back end."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from usassist.engine import BACKENDS, EngineSpec, find_engine, open_engine, why_not
from usassist.errors import EngineError, EngineSpecError
from usassist.frames import blend_windows, fill_volumes, infer_slices, window_starts

REAL = [name for name in BACKENDS if why_not(name) is None and name != "null"]
OUTPUTS = {"score": 2, "edge": 1}
RADIUS = 2  # two convolutions of 3: as far as an input reaches

TOML = """
schema = 1
name = "organ"
version = "1.0.0"
modality = "{modality}"
task = "segment"
precision = "fp32"
licence = "none"
intended_use = "tests"
rate_hz = 0.1
latency_budget_ms = 10000

[artifacts.onnx]
path = "model.onnx"
sha256 = "{sha256}"

[[inputs]]
name = "image"
dtype = "float32"
shape = {shape}
layout = "{layout}"
{ranges}

[[outputs]]
name = "score"
dtype = "float32"
shape = {score}
layout = "{layout}"

[[outputs]]
name = "edge"
dtype = "float32"
shape = {shape}
layout = "{layout}"

[preprocess]
color = "GRAY"
input_range = [-1.0, 1.0]
mean = [0.0]
std = [1.0]

[[labels]]
id = 0
name = "organ"
scheme = "SCT"
value = "10200004"
meaning = "Liver"
color_rgb = [200, 100, 50]
score_threshold = 0.5

[golden]
path = "golden.npz"
max_abs_diff = 0.0001
"""


def _graph(sides: list[int | str], batch: int | str) -> onnx.ModelProto:
    """Two convolutions of 3 with a tanh between; `score` is a softmax of the second, `edge` a sigmoid of a third."""
    rank = len(sides)
    rng = np.random.default_rng(3)

    def convolution(source: str, name: str, come: int, go: int) -> onnx.NodeProto:
        kernel = rng.normal(0, 0.5, (go, come, *[3] * rank)).astype(np.float32)
        constants.append(numpy_helper.from_array(kernel, f"{name}_w"))
        return helper.make_node("Conv", [source, f"{name}_w"], [name], pads=[1] * 2 * rank)

    constants: list[onnx.TensorProto] = []
    nodes = [
        convolution("image", "first", 1, 3),
        helper.make_node("Tanh", ["first"], ["bent"]),
        convolution("bent", "second", 3, 2),
        helper.make_node("Softmax", ["second"], ["score"], axis=1),
        convolution("bent", "third", 3, 1),
        helper.make_node("Sigmoid", ["third"], ["edge"]),
    ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, channels, *sides])
        for name, channels in {"image": 1, **OUTPUTS}.items()
    ]
    graph = helper.make_graph(nodes, "organ", ends[:1], ends[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def _install(
    folder: Path, *, modality: str, batch: int | None = None, side: int | None = None, ranges: str, rank: int = 3
) -> EngineSpec:
    """An engine whose batch and sides are free, in the graph also unless they are given here."""
    home = folder / "organ" / "1.0.0"
    home.mkdir(parents=True)
    letters = ["z", "y", "x"][-rank:]
    model = _graph([side or letter for letter in letters], batch or "n")
    onnx.save(model, home / "model.onnx")
    image = _noise(batch or 1, 1, *[side or 9] * rank)
    np.savez(home / "golden.npz", image=image, **_reference(home / "model.onnx", image))
    free = [-1] * rank
    text = TOML.format(
        sha256=hashlib.sha256((home / "model.onnx").read_bytes()).hexdigest(),
        modality=modality,
        shape=[batch or -1, 1, *free],
        score=[batch or -1, 2, *free],
        layout="NCDHW" if rank == 3 else "NCHW",
        ranges=ranges,
    )
    (home / "engine.toml").write_text(text)
    return find_engine("organ", folder)


def _reference(path: Path, image: np.ndarray) -> dict[str, np.ndarray]:
    """What the graph says, by the reference implementation of the ONNX package."""
    return dict(zip(OUTPUTS, ReferenceEvaluator(str(path)).run(list(OUTPUTS), {"image": image}), strict=True))


def _noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).uniform(-1, 1, shape).astype(np.float32)


RANGES = "min = [1, 1, 4, 8, 8]\nopt = [2, 1, 8, 16, 16]\nmax = [4, 1, 24, 32, 40]"


@pytest.fixture
def organ(tmp_path: Path) -> EngineSpec:
    """A 3-D engine for CT with a free batch and free sides."""
    return _install(tmp_path, modality="CT", ranges=RANGES)


def test_a_volume_engine_is_described_by_the_same_file_as_any_other(organ: EngineSpec) -> None:
    image = organ.inputs[0]
    assert (organ.modality, image.layout, image.shape) == ("CT", "NCDHW", (None, 1, None, None, None))
    assert (image.min_shape, image.opt_shape, image.max_shape) == (
        (1, 1, 4, 8, 8),
        (2, 1, 8, 16, 16),
        (4, 1, 24, 32, 40),
    )
    assert str(image) == "image float32 [1..4, 1, 4..24, 8..32, 8..40]"


@pytest.mark.parametrize("backend", REAL)
def test_shapes_may_change_from_call_to_call(organ: EngineSpec, backend: str) -> None:
    with open_engine(organ, backend, threads=1) as engine:
        for batch, *sides in [
            (1, 8, 16, 16),
            (4, 24, 32, 40),
            (1, 4, 8, 8),
            (3, 5, 9, 31),
            (4, 24, 32, 40),
            (1, 5, 9, 9),
        ]:
            image = _noise(batch, 1, *sides)
            outputs = engine.infer({"image": image})
            for name, expected in _reference(organ.check_weights("onnx"), image).items():
                assert outputs[name].shape == (batch, OUTPUTS[name], *sides)
                np.testing.assert_allclose(outputs[name], expected, atol=2e-5)


def test_openvino_does_not_take_the_memory_of_an_older_answer_away(organ: EngineSpec) -> None:
    """It moves its own when a larger shape comes: reading the older answer could end the process."""
    with open_engine(organ, "openvino", threads=1) as engine:
        kept = engine.infer({"image": _noise(4, 1, 24, 32, 32)})["score"]
        expected = kept.copy()
        engine.infer({"image": _noise(4, 1, 24, 32, 40)})
        np.testing.assert_array_equal(kept, expected)


@pytest.mark.parametrize("backend", [*REAL, "null"])
@pytest.mark.parametrize("shape", [(5, 1, 8, 16, 16), (1, 1, 3, 16, 16), (1, 1, 8, 16, 41), (1, 2, 8, 16, 16)])
def test_a_shape_outside_the_range_is_refused_with_the_range(
    organ: EngineSpec, backend: str, shape: tuple[int, ...]
) -> None:
    with open_engine(organ, backend, threads=1) as engine:
        with pytest.raises(EngineError, match=r"expects image float32 \[1\.\.4, 1, .* got float32 \[") as caught:
            engine.infer({"image": np.zeros(shape, np.float32)})
        assert "\n" not in str(caught.value)
        assert engine.infer({"image": np.zeros((1, 1, 8, 8, 8), np.float32)})["edge"].shape == (1, 1, 8, 8, 8)


def test_null_answers_on_the_grid_of_its_input(organ: EngineSpec) -> None:
    with open_engine(organ, "null") as engine:
        for shape in [(2, 1, 5, 9, 10), (1, 1, 8, 8, 8)]:
            outputs = engine.infer({"image": np.ones(shape, np.float32)})
            assert outputs["edge"].shape == shape
            assert outputs["score"].shape == (shape[0], 2, *shape[2:])
            assert not outputs["score"].any()
        same = engine.infer({"image": np.ones((1, 1, 8, 8, 8), np.float32)})
        assert same["edge"] is outputs["edge"]


@pytest.mark.parametrize("backend", REAL)
def test_a_side_that_is_fixed_in_the_graph_cannot_be_free_in_the_spec(tmp_path: Path, backend: str) -> None:
    spec = _install(tmp_path, modality="CT", side=9, ranges="")
    with pytest.raises(EngineSpecError, match=r"the graph's inputs are image float32 \[None, 1, 9, 9, 9\]"):
        open_engine(spec, backend, threads=1)


@pytest.mark.parametrize("backend", REAL)
@pytest.mark.parametrize("overlap", [0.0, 0.25])
def test_windows_answer_as_the_whole_volume_does_where_they_see_enough(
    organ: EngineSpec, backend: str, overlap: float
) -> None:
    volume, window_zyx = _noise(1, 20, 31, 26), (12, 16, 16)
    trusted = np.ones(volume.shape[1:], bool)
    for axis, (side, window) in enumerate(zip(volume.shape[1:], window_zyx, strict=True)):
        along = np.ones(side, bool)
        for start in window_starts(side, window, overlap):
            # A window sees nothing beyond its ends; where the volume ends too, nor does the whole volume.
            if start > 0:
                along[start : start + RADIUS] = False
            if start + window < side:
                along[start + window - RADIUS : start + window] = False
        trusted &= along.reshape([-1 if index == axis else 1 for index in range(3)])
    assert 0.1 < trusted.mean() < 0.9
    blended = {name: np.full((channels, *volume.shape[1:]), np.nan, np.float32) for name, channels in OUTPUTS.items()}
    with open_engine(organ, backend, threads=1) as engine:
        whole = {name: array[0].copy() for name, array in engine.infer({"image": volume[None]}).items()}
        slabs = blend_windows(
            volume, engine.infer, window_zyx=window_zyx, outputs=list(OUTPUTS), overlap=overlap, batch=4
        )
        fill_volumes(slabs, blended)
    for name in OUTPUTS:
        np.testing.assert_allclose(blended[name][:, trusted], whole[name][:, trusted], atol=2e-5)
        assert np.abs(blended[name] - whole[name]).max() > 1e-3  # elsewhere it cannot be the same
        assert np.isfinite(blended[name]).all()


@pytest.mark.parametrize("backend", REAL)
def test_an_engine_of_fixed_batch_takes_windows_too(tmp_path: Path, backend: str) -> None:
    spec = _install(tmp_path, modality="MR", batch=2, ranges=RANGES.replace("[1, 1", "[2, 1").replace("[4, 1", "[2, 1"))
    volume, answers = _noise(1, 12, 16, 9), {"edge": np.zeros((1, 12, 16, 9), np.float32)}
    whole = _reference(spec.check_weights("onnx"), np.concatenate([volume[None]] * 2))["edge"][0]
    with open_engine(spec, backend, threads=1) as engine:
        # One window as large as the volume: the batch is filled up.
        slabs = blend_windows(volume, engine.infer, window_zyx=(12, 16, 9), outputs=["edge"], batch=2, fixed_batch=True)
        fill_volumes(slabs, answers)
        np.testing.assert_allclose(answers["edge"], whole, atol=2e-5)
        with pytest.raises(EngineError, match=r"expects image float32 \[2, 1, .*got float32 \[1, 1, 12, 16, 9\]"):
            next(blend_windows(volume, engine.infer, window_zyx=(12, 16, 9), outputs=["edge"], batch=2))


@pytest.mark.parametrize("backend", REAL)
def test_slices_go_through_a_flat_engine_in_batches(tmp_path: Path, backend: str) -> None:
    ranges = "min = [1, 1, 8, 8]\nopt = [4, 1, 32, 32]\nmax = [4, 1, 64, 64]"
    spec = _install(tmp_path, modality="MR", ranges=ranges, rank=2)
    volume = _noise(10, 17, 23)
    expected = _reference(spec.check_weights("onnx"), volume[:, None])["score"]
    stored = np.zeros((2, 10, 17, 23), np.float32)
    with open_engine(spec, backend, threads=1) as engine:
        fill_volumes(infer_slices(volume, engine.infer, outputs=["score"], batch=4), {"score": stored})
    np.testing.assert_allclose(stored.swapaxes(0, 1), expected, atol=2e-5)
