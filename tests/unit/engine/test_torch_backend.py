"""PyTorch as a back end: the shipped engine, files that do not fit, FP16, arrays in and out, and the order on CUDA."""

from __future__ import annotations

import contextlib
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

pytest.importorskip("torch", reason="needs the extra `torch`")

import torch

from usassist.engine import find_engine, open_engine, why_not
from usassist.engine.backends.torch import TorchBackend
from usassist.engine.onnx_torch import cuda
from usassist.engine.onnx_torch.exact import exact
from usassist.engine.onnx_torch.graph import read_graph
from usassist.engine.onnx_torch.program import Program
from usassist.engine.onnx_torch.runner import open_runner, shared
from usassist.errors import BackendFailedError, EngineError

SHIPPED = find_engine("thyroid_nodule")
FLOAT, HALF, INT64 = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.INT64


def save(
    path: Path,
    nodes: list[Any],
    inputs: dict[str, tuple[int, list[Any]]],
    outputs: dict[str, tuple[int, list[Any]]],
    constants: dict[str, np.ndarray] | None = None,
    opset: int = 20,
) -> Path:
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(name, *kind) for name, kind in inputs.items()],
        [helper.make_tensor_value_info(name, *kind) for name, kind in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in (constants or {}).items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), path)
    return path


@pytest.fixture
def doubled(tmp_path: Path) -> Path:
    """`y` is 2 x, of any shape of two sides."""
    ends = ({"x": (FLOAT, [None, None])}, {"y": (FLOAT, [None, None])})
    return save(tmp_path / "model.onnx", [helper.make_node("Add", ["x", "x"], ["y"], name="add")], *ends)


def reference(path: Path, **inputs: np.ndarray) -> list[np.ndarray]:
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, inputs)


def test_the_shipped_engine_answers_as_onnx_runtime_does() -> None:
    x = np.random.default_rng(4).random((1, 1, 192, 288), dtype=np.float32)
    with open_engine(SHIPPED, "torch") as ours, open_engine(SHIPPED, "onnxruntime") as theirs:
        answer = ours.infer({"image": x})
        for name, expected in theirs.infer({"image": x}).items():
            assert np.abs(answer[name] - expected).max() <= SHIPPED.golden.max_abs_diff / 10, name
        assert (ours.backend, ours.device) == ("torch", "CPU")


def test_a_graph_that_computes_with_its_shapes_takes_every_size(tmp_path: Path) -> None:
    path = save(
        tmp_path / "model.onnx",
        [
            helper.make_node("Shape", ["x"], ["shape"]),
            helper.make_node("Gather", ["shape", "last"], ["sides"]),
            helper.make_node("Mul", ["sides", "two"], ["twice"]),
            helper.make_node("Concat", ["one_one", "twice"], ["sizes"], axis=0),
            helper.make_node("Resize", ["x", "", "", "sizes"], ["large"], mode="linear"),
            helper.make_node("Concat", ["one_one", "rest"], ["flat"], axis=0),
            helper.make_node("Reshape", ["large", "flat"], ["y"]),
            helper.make_node("Cast", ["sides"], ["real"], to=FLOAT),
            helper.make_node("ReduceSum", ["real", "zero"], ["both"], keepdims=0),
            helper.make_node("Mul", ["x", "both"], ["z"]),
        ],
        {"x": (FLOAT, [1, 1, "H", "W"])},
        {"y": (FLOAT, [1, 1, "A"]), "z": (FLOAT, [1, 1, "H", "W"])},
        {
            "last": np.array([2, 3]),
            "two": np.array(2),
            "one_one": np.array([1, 1]),
            "rest": np.array([-1]),
            "zero": np.array([0]),
        },
    )
    session = open_runner(path, "cpu", 0, "fp32")
    assert session.inputs == {"x": ("float32", (1, 1, None, None))}
    for shape in ((1, 1, 4, 6), (1, 1, 7, 3)):
        x = np.random.default_rng(1).random(shape, dtype=np.float32)
        for ours, theirs in zip(session.run({"x": x}).values(), reference(path, x=x), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_a_constant_part_is_computed_when_the_file_is_opened(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Constant", [], ["c"], value_float=3.0),
        helper.make_node("Mul", ["c", "c"], ["nine"]),
        helper.make_node("Mul", ["x", "nine"], ["y"]),
    ]
    path = save(tmp_path / "model.onnx", nodes, {"x": (FLOAT, [2])}, {"y": (FLOAT, [2]), "nine": (FLOAT, [])})
    program = Program(read_graph(path))
    assert len(program._steps) == 1
    assert [value.tolist() for value in program.run({"x": torch.ones(2)})] == [[9, 9], 9]


def test_a_value_is_let_go_after_its_last_reader(tmp_path: Path) -> None:
    names = ["x", "a", "b", "c", "y"]
    nodes = [helper.make_node("Relu", [one], [two]) for one, two in itertools.pairwise(names)]
    path = save(tmp_path / "model.onnx", nodes, {"x": (FLOAT, [2])}, {"y": (FLOAT, [2])})
    program = Program(read_graph(path))
    let_go = [step.done_with for step in program._steps]
    assert [len(places) for places in let_go] == [1, 1, 1, 1]
    assert len({place for places in let_go for place in places}) == 4


@pytest.mark.parametrize("opset", [12, 21])
def test_an_opset_outside_the_table_is_refused(tmp_path: Path, opset: int) -> None:
    nodes = [helper.make_node("Relu", ["x"], ["y"])]
    path = save(tmp_path / "model.onnx", nodes, {"x": (FLOAT, [2])}, {"y": (FLOAT, [2])}, opset=opset)
    with pytest.raises(EngineError, match=rf"opset {opset}, supported are 13 to 20; use --backend onnxruntime"):
        read_graph(path)


def test_a_quantised_graph_is_refused() -> None:
    with pytest.raises(EngineError, match=r"operator QuantizeLinear, .*INT8 in float"):
        open_runner(SHIPPED.artifacts["onnx_int8"][0], "cpu", 0, "int8")
    assert "int8" not in TorchBackend.precisions


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.7, 0.99, 0.9999])
def test_a_truncated_file_is_refused(tmp_path: Path, share: float) -> None:
    content = SHIPPED.artifacts["onnx"][0].read_bytes()
    path = tmp_path / "model.onnx"
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(EngineError, match=r"model\.onnx.*(install the engine again|use --backend onnxruntime)"):
        Program(read_graph(path))


def test_weights_cut_short_weights_elsewhere_and_unknown_names_are_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("Add", ["x", "w"], ["y"])]
    ends = ({"x": (FLOAT, [4])}, {"y": (FLOAT, [4])})
    path = save(tmp_path / "model.onnx", nodes, *ends, {"w": np.ones(4, np.float32)})
    model = onnx.load(path)
    model.graph.initializer[0].raw_data = b"\0" * 7
    onnx.save(model, path)
    with pytest.raises(EngineError, match="weights w: "):
        read_graph(path)
    model.graph.initializer[0].data_location = TensorProto.EXTERNAL
    path.write_bytes(model.SerializeToString())
    with pytest.raises(EngineError, match="another file, which no hash covers"):
        read_graph(path)
    with pytest.raises(EngineError, match="inputs or outputs w do not fit the graph"):
        Program(read_graph(save(tmp_path / "model.onnx", nodes, *ends)))
    with pytest.raises(EngineError, match="computes no z"):
        Program(read_graph(save(tmp_path / "model.onnx", nodes, ends[0], {"z": (FLOAT, [4])}, {"w": np.ones(4, "f4")})))


def half(path: Path) -> tuple[Path, np.ndarray]:
    """A convolution in FP16 between FP32 ends."""
    rng = np.random.default_rng(5)
    weights = rng.standard_normal((8, 3, 3, 3)).astype(np.float16)
    nodes = [
        helper.make_node("Cast", ["x"], ["h"], to=HALF),
        helper.make_node("Conv", ["h", "w", "b"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Clip", ["c", "least", "most"], ["r"]),
        helper.make_node("Resize", ["r", "", "scales"], ["u"], mode="linear"),
        helper.make_node("Sigmoid", ["u"], ["s"]),
        helper.make_node("Cast", ["s"], ["y"], to=FLOAT),
    ]
    constants = {
        "w": weights,
        "b": rng.standard_normal(8).astype(np.float16),
        "least": np.float16(0),
        "most": np.float16(6),
        "scales": np.array([1, 1, 2, 2], np.float32),
    }
    save(path, nodes, {"x": (FLOAT, [1, 3, 16, 20])}, {"y": (FLOAT, [1, 8, 32, 40])}, constants)
    return path, rng.standard_normal((1, 3, 16, 20)).astype(np.float32)


def test_an_fp16_graph_runs_as_it_is(tmp_path: Path) -> None:
    path, x = half(tmp_path / "model.onnx")
    (answer,) = open_runner(path, "cpu", 0, "fp16").run({"x": x}).values()
    assert answer.dtype == np.float32
    # Every value of the middle has 11 bits; the convolution sums 27 of them in another order.
    np.testing.assert_allclose(answer, reference(path, x=x)[0], atol=4e-3)


@pytest.mark.filterwarnings("ignore:the float32 number:UserWarning")  # of weights that are next to nothing
def test_the_shipped_engine_derived_to_fp16_by_the_converter_stays_near_its_parent(tmp_path: Path) -> None:
    converter = pytest.importorskip("onnxconverter_common.float16", reason="needs onnxconverter-common")
    model = onnx.load(SHIPPED.artifacts["onnx"][0])
    path = tmp_path / "model.onnx"
    onnx.save(converter.convert_float_to_float16(model, keep_io_types=True, op_block_list=["Exp", "Resize"]), path)
    x = SHIPPED.golden.load(["image"])["image"].astype(np.float32)
    session = open_runner(path, "cpu", 0, "fp16")
    parent = open_runner(SHIPPED.artifacts["onnx"][0], "cpu", 0, "fp32").run({"image": x})
    for name, answer in session.run({"image": x}).items():
        assert answer.dtype == np.float32
        scale = 1.0 if name != "box_ltrb_px" else 100.0
        assert 0 < np.abs(answer - parent[name]).mean() < 1e-3 * scale, name


def test_an_input_is_neither_copied_nor_written_nor_warned_about(doubled: Path) -> None:
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    x.flags.writeable = False
    assert shared(x).data_ptr() == x.ctypes.data
    assert shared(x[:, ::-1]).tolist() == x[:, ::-1].tolist()
    assert shared(x.T).tolist() == x.T.tolist()
    session = open_runner(doubled, "cpu", 0, "fp32")
    np.testing.assert_array_equal(session.run({"x": x})["y"], 2 * x)


def test_what_comes_back_shares_memory_with_neither_the_input_nor_the_weights(tmp_path: Path) -> None:
    nodes = [helper.make_node("Identity", ["x"], ["same"]), helper.make_node("Identity", ["w"], ["weights"])]
    ends = ({"x": (FLOAT, [3])}, {"same": (FLOAT, [3]), "weights": (FLOAT, [3])})
    session = open_runner(save(tmp_path / "model.onnx", nodes, *ends, {"w": np.ones(3, np.float32)}), "cpu", 0, "fp32")
    x = np.zeros(3, np.float32)
    for value in session.run({"x": x}).values():
        value[:] = 7
    assert not x.any()
    np.testing.assert_array_equal(session.run({"x": x})["weights"], 1)


def test_a_closed_session_raises_and_may_be_closed_again(doubled: Path) -> None:
    session = open_runner(doubled, "cpu", 0, "fp32")
    session.close()
    session.close()
    with pytest.raises(EngineError, match="closed"):
        session.run({"x": np.zeros((1, 1), np.float32)})


def test_a_failure_names_the_node_and_reaches_the_caller_as_a_failed_back_end(tiny: Path, tmp_path: Path) -> None:
    nodes = [helper.make_node("MatMul", ["x", "x"], ["y"], name="square")]
    path = save(tmp_path / "model.onnx", nodes, {"x": (FLOAT, [None, None])}, {"y": (FLOAT, [None, None])})
    with pytest.raises(EngineError, match="operator MatMul, node square: "):
        open_runner(path, "cpu", 0, "fp32").run({"x": np.zeros((2, 3), np.float32)})
    with open_engine(find_engine("tiny", tiny), "torch") as engine:
        engine.close()
        with pytest.raises(BackendFailedError, match="closed"):
            engine.infer({"image": np.ones((1, 1, 4, 6), np.float32)})


@pytest.fixture
def settings() -> Iterator[Any]:
    owners = (torch.backends.cudnn.conv, torch.backends.cudnn.rnn)
    before = {owner: owner.fp32_precision for owner in owners}
    yield torch.backends
    torch.backends.fp32_precision = "none"
    for owner, precision in before.items():
        owner.fp32_precision = precision
    torch.backends.cudnn.benchmark = False


@pytest.mark.parametrize("wanted", ["none", "tf32", "ieee"])
def test_a_training_in_the_same_process_keeps_its_rounding(settings: Any, wanted: str) -> None:
    settings.fp32_precision = wanted
    before = (settings.cuda.matmul.fp32_precision, settings.cudnn.conv.fp32_precision, settings.cudnn.benchmark)
    with contextlib.suppress(KeyError), exact(benchmark=True), exact():
        assert settings.cuda.matmul.fp32_precision == settings.cudnn.conv.fp32_precision == "ieee"
        assert settings.mkldnn.matmul.fp32_precision == settings.mkldnn.conv.fp32_precision == "ieee"
        assert settings.cudnn.benchmark
        raise KeyError
    after = (settings.cuda.matmul.fp32_precision, settings.cudnn.conv.fp32_precision, settings.cudnn.benchmark)
    assert after == before
    settings.fp32_precision = "bf16"  # what followed the setting of all of torch still follows it
    assert settings.mkldnn.conv.fp32_precision == "bf16"


def test_threads_are_set_only_when_asked_for(doubled: Path) -> None:
    before = torch.get_num_threads()
    try:
        open_runner(doubled, "cpu", 0, "fp32")
        assert torch.get_num_threads() == before
        open_runner(doubled, "cpu", before + 1, "fp32")
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


def test_a_machine_without_torch_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert "pip install 'usassist[torch]'" in (why_not("torch") or "")


def test_a_build_without_cuda_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", None)
    assert TorchBackend("torch").why_not_here() is None
    assert "this build of PyTorch has no CUDA" in (TorchBackend("torch-cuda", device="cuda").why_not_here() or "")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert "driver" in (TorchBackend("torch-cuda", device="cuda").why_not_here() or "")


class Recorder:
    """The calls of CUDA, done on the CPU and written down; a replay computes again from what lies in the buffers."""

    def __init__(self, *, records: bool = True) -> None:
        self.log: list[str] = []
        self._records = records
        self._graphs: list[tuple[Any, list[Any]]] = []

    def pinned(self, shape: tuple[int, ...], dtype: Any) -> Any:
        self.log.append("pinned")
        return torch.empty(shape, dtype=dtype)

    def buffer(self, shape: tuple[int, ...], dtype: Any) -> Any:
        self.log.append("buffer")
        return torch.empty(shape, dtype=dtype)

    def copy(self, target: Any, source: Any) -> None:
        self.log.append("copy")
        target.copy_(source)

    def compute(self, function: cuda.Compute) -> list[Any]:
        self.log.append("compute")
        return function()

    def record(self, function: cuda.Compute) -> tuple[int, list[Any]]:
        self.log.append("record")
        if not self._records:
            raise RuntimeError("operation not permitted when stream is capturing")
        self._graphs.append((function, [torch.full_like(value, torch.nan) for value in function()]))
        return len(self._graphs) - 1, self._graphs[-1][1]

    def replay(self, graph: int) -> None:
        self.log.append("replay")
        function, outputs = self._graphs[graph]
        for target, value in zip(outputs, function(), strict=True):
            target.copy_(value)

    def synchronize(self) -> None:
        self.log.append("synchronize")

    def free(self) -> None:
        self.log.append("free")

    def since(self) -> list[str]:
        done, self.log = self.log, []
        return done


def runner(path: Path, calls: Any) -> cuda.GraphRunner:
    graph = read_graph(path)
    return cuda.GraphRunner(Program(graph), tuple(graph.outputs), calls)


FRAME = ["copy", "replay", "copy", "synchronize"]


def test_on_cuda_a_shape_is_recorded_once_and_then_only_replayed(doubled: Path) -> None:
    calls = Recorder()
    session = runner(doubled, calls)
    first = session.run({"x": np.full((2, 3), 1, np.float32)})["y"]
    assert calls.since() == [
        *["pinned", "buffer", "copy"],
        *["compute"] * cuda.WARM_UPS,
        *["synchronize", "record", "pinned"],
        *FRAME,
    ]
    np.testing.assert_array_equal(first, 2)
    for value in (4, 5):
        again = session.run({"x": np.full((2, 3), value, np.float32)})["y"]
        assert calls.since() == FRAME
        assert again is first
        np.testing.assert_array_equal(again, 2 * value)
    session.run({"x": np.zeros((4, 1), np.float32)})
    assert calls.since().count("record") == 1


def test_on_cuda_only_the_shapes_used_last_are_kept(doubled: Path) -> None:
    calls = Recorder()
    session = runner(doubled, calls)
    frames = [{"x": np.zeros((1, side), np.float32)} for side in range(1, cuda.MAX_GRAPHS + 2)]
    for frame in frames[:-1]:
        session.run(frame)
    session.run(frames[0])
    calls.since()
    for frame, recorded in ((frames[-1], 1), (frames[0], 0), (frames[1], 1)):
        session.run(frame)
        assert calls.since().count("record") == recorded


def test_on_cuda_what_cannot_be_recorded_is_run_without_and_warned_about_once(
    doubled: Path, caplog: pytest.LogCaptureFixture
) -> None:
    calls = Recorder(records=False)
    session = runner(doubled, calls)
    for value in (1, 2):
        np.testing.assert_array_equal(session.run({"x": np.full((1, 2), value, np.float32)})["y"], 2 * value)
    assert calls.since()[-4:] == ["copy", "compute", "copy", "synchronize"]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "not permitted" in caplog.text


def test_on_cuda_closing_frees_the_memory_and_what_is_closed_raises(doubled: Path) -> None:
    calls = Recorder()
    session = runner(doubled, calls)
    session.run({"x": np.zeros((1, 1), np.float32)})
    calls.since()
    session.close()
    session.close()
    assert calls.since() == ["free", "free"]
    with pytest.raises(EngineError, match="closed"):
        session.run({"x": np.zeros((1, 1), np.float32)})


def test_the_calls_of_cuda_use_one_stream_and_let_other_threads_use_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[str] = []

    @contextlib.contextmanager
    def inside(name: str, *_: Any, **options: Any) -> Iterator[None]:
        log.append(f"{name} {options.get('capture_error_mode', '')}".strip())
        yield
        log.append(f"/{name}")

    class Stream:
        def __init__(self, device: Any) -> None:
            log.append("Stream")

        def synchronize(self) -> None:
            log.append("synchronize")

    class Graph:
        def replay(self) -> None:
            log.append("replay")

    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: inside("stream"))
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", lambda graph, **options: inside("graph", graph, **options))
    calls = cuda.CudaCalls("cpu", benchmark=True)
    source, target = torch.ones(2), calls.buffer((2,), torch.float32)
    calls.copy(target, source)
    seen = []

    def compute() -> list[Any]:
        seen.append((torch.backends.cudnn.benchmark, torch.backends.cudnn.conv.fp32_precision))
        return [target]

    calls.compute(compute)
    graph, _ = calls.record(compute)
    calls.replay(graph)
    calls.synchronize()
    on_stream = ["stream", "/stream"]
    assert log == [
        "Stream",
        *on_stream * 3,
        *["stream", "graph thread_local", "/graph", "/stream"],
        *["stream", "replay", "/stream"],
        "synchronize",
    ]
    assert seen == [(True, "ieee")] * 2
    assert target.tolist() == [1, 1]


def test_a_gpu_that_cannot_take_it_is_an_error_that_another_back_end_can_answer(
    doubled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> int:
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate")

    monkeypatch.setattr(torch.cuda, "current_device", full)
    with pytest.raises(EngineError, match=r"on CUDA: CUDA out of memory\.; use another --backend"):
        open_runner(doubled, "cuda", 0, "fp32")


needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch finds no CUDA device here")


@pytest.mark.gpu
@needs_cuda
def test_the_shipped_engine_on_cuda_answers_as_on_the_cpu_from_a_recorded_graph(caplog: Any) -> None:
    x = np.random.default_rng(4).random((1, 1, 192, 288), dtype=np.float32)
    path = SHIPPED.artifacts["onnx"][0]
    session = open_runner(path, "cuda", 0, "fp32")
    expected = open_runner(path, "cpu", 0, "fp32").run({"image": x})
    for _ in range(3):
        for name, value in session.run({"image": x}).items():
            assert np.abs(value - expected[name]).max() <= SHIPPED.golden.max_abs_diff, name
    assert not caplog.records
    held = torch.cuda.memory_allocated()
    session.close()
    assert torch.cuda.memory_allocated() < held


@pytest.mark.gpu
@needs_cuda
def test_an_fp16_graph_on_cuda_answers_as_on_the_cpu(tmp_path: Path) -> None:
    path, x = half(tmp_path / "model.onnx")
    (expected,) = open_runner(path, "cpu", 0, "fp16").run({"x": x}).values()
    (answer,) = open_runner(path, "cuda", 0, "fp16").run({"x": x}).values()
    np.testing.assert_allclose(answer, expected, atol=4e-3)


@pytest.mark.gpu
@needs_cuda
def test_new_frames_and_new_shapes_are_answered_on_cuda(doubled: Path) -> None:
    session = open_runner(doubled, "cuda", 0, "fp32")
    for side in (*range(1, 7), 2, 1):
        x = np.random.default_rng(side).random((side, 3), dtype=np.float32)
        np.testing.assert_array_equal(session.run({"x": x})["y"], 2 * x)
