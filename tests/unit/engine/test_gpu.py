"""The real thing: plans that are built and run on a GPU. Skipped where there is none; `--require gpu` forbids that."""

from __future__ import annotations

import ctypes
import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from usassist.engine import PlanBackend, get_backend, list_engines, open_engine, why_not
from usassist.engine.base import Engine
from usassist.engine.cuda import driver, why_no_cuda
from usassist.engine.engine_toml import find_engine, load_spec
from usassist.engine.gpu import Device
from usassist.engine.opening import artifact_path, prepare
from usassist.engine.plan import find_plan, plan_path
from usassist.engine.spec import EngineSpec
from usassist.errors import BackendFailedError, EngineError

pytestmark = pytest.mark.gpu

# Where neither is there, the tests of the first are skipped, and say why.
BACKENDS = [name for name in ("tensorrt", "tensorrt-rtx") if why_not(name) is None] or ["tensorrt"]
ENGINES = [(spec, precision) for spec in list_engines() for precision in spec.precisions]
IDS = [f"{spec.name}-{precision}" for spec, precision in ENGINES]
RANGE = "\nmin = [1, 1, 2, 6]\nopt = [1, 1, 4, 6]\nmax = [1, 1, 8, 6]"


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    reason = why_not(request.param)
    if reason is not None:
        pytest.skip(f"{request.param} cannot run here: {reason}")
    return request.param


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One for all tests here: building takes minutes."""
    folder = tmp_path_factory.mktemp("cache", numbered=True)
    folder.chmod(0o700)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("USASSIST_CACHE", str(folder))
        yield folder


@pytest.fixture
def device() -> Iterator[Device]:
    """The GPU without TensorRT: that only needs a driver."""
    reason = why_no_cuda()
    if reason is not None:
        pytest.skip(reason)
    device = Device()
    yield device
    device.close()


def test_the_driver_copies_there_and_back_at_once_and_by_a_graph(device: Device) -> None:
    values = np.random.default_rng(1).integers(0, 255, 1_000_003, np.uint8)
    with device:
        address, here, back = device.allocate(values.size), device.pin(values.size), device.pin(values.size)

        def work() -> None:
            device.to_device(address, here)
            device.to_host(back, address)

        here[:] = values
        work()
        device.synchronize()
        np.testing.assert_array_equal(back, values)
        graph = device.capture(work)
        here[:] = values[::-1]
        np.testing.assert_array_equal(back, values)
        device.launch(graph)
        device.synchronize()
    device.close()
    np.testing.assert_array_equal(back, values[::-1])


def test_the_driver_is_used_from_several_threads(device: Device) -> None:
    copies: list[int] = []

    def work() -> None:
        with device:
            address, here, back = device.allocate(16), device.pin(16), device.pin(16)
            here[:] = 3
            device.to_device(address, here)
            device.to_host(back, address)
            device.synchronize()
            copies.append(int(back.sum()))

    for _ in range(4):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert copies == [48] * 4


def test_too_much_memory_is_named_and_the_gpu_goes_on(device: Device) -> None:
    with device:
        with pytest.raises(BackendFailedError, match="CUDA_ERROR_OUT_OF_MEMORY"):
            device.allocate(1 << 42)
        device.allocate(1 << 20)
        device.synchronize()


def test_a_capture_that_must_not_be_leaves_the_stream_usable(device: Device) -> None:
    with device:
        address, here, back = device.allocate(16), device.pin(16), device.pin(16)
        with pytest.raises(BackendFailedError, match="CUDA_ERROR_STREAM_CAPTURE"):
            device.capture(device.synchronize)
        here[:] = 5
        device.to_device(address, here)
        device.to_host(back, address)
        device.synchronize()
        assert (back == 5).all()


def _golden(spec: EngineSpec) -> dict[str, np.ndarray]:
    return spec.golden.load([tensor.name for tensor in spec.inputs])


def _copy(outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: array.copy() for name, array in outputs.items()}


def _graphs(engine: Engine) -> int:
    return sum(lane.graph is not None for lane in engine._runner._lanes.values())  # type: ignore[attr-defined]


def _gpu_bytes() -> int:
    """What is taken on the GPU, by everybody."""
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    library = driver()
    device = Device(library)
    try:
        with device:
            assert library.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total)) == 0
    finally:
        device.close()
    return total.value - free.value


def _own_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _open(spec: EngineSpec, backend: str, precision: str) -> Engine:
    reason = why_not(backend, spec, precision)
    if reason is not None:
        pytest.skip(reason)
    return open_engine(spec, backend, precision=precision)  # builds, opens and asks the golden input


@pytest.mark.parametrize(("spec", "precision"), ENGINES, ids=IDS)
def test_every_engine_is_built_and_meets_its_golden_output_by_its_graph_too(
    spec: EngineSpec, precision: str, backend: str
) -> None:
    with _open(spec, backend, precision) as engine:
        assert _graphs(engine) == 1, "the golden input was the first run, so the graph is there"
        engine.verify()
        again = _copy(engine.infer(_golden(spec)))
        for name, array in engine.infer(_golden(spec)).items():
            np.testing.assert_array_equal(array, again[name])


@pytest.mark.parametrize(("spec", "precision"), ENGINES, ids=IDS)
def test_a_thousand_inferences_take_no_memory(spec: EngineSpec, precision: str, backend: str) -> None:
    values = _golden(spec)
    with _open(spec, backend, precision) as engine:
        for _ in range(50):
            engine.infer(values)
        gpu, own = _gpu_bytes(), _own_bytes()
        for _ in range(1000):
            engine.infer(values)
        assert _gpu_bytes() - gpu <= 1 << 20
        assert _own_bytes() - own <= 8 << 20


def test_opening_and_closing_gives_everything_back(backend: str) -> None:
    spec = list_engines()[0]
    _open(spec, backend, "fp32").close()
    gpu = _gpu_bytes()
    for _ in range(5):
        engine = open_engine(spec, backend, precision="fp32")
        outputs = engine.infer(_golden(spec))
        engine.close()
        engine.close()
        assert all(np.isfinite(array).all() for array in outputs.values()), "outputs can be read after close"
    assert _gpu_bytes() - gpu <= 16 << 20


def test_it_is_opened_run_and_closed_in_three_threads(backend: str) -> None:
    spec = list_engines()[0]
    engines: list[Engine] = []
    differences: list[float] = []
    steps: tuple[Callable[[], object], ...] = (
        lambda: engines.append(_open(spec, backend, "fp32")),
        lambda: differences.extend(engines[0].verify() for _ in range(3)),
        lambda: engines[0].close(),
    )
    for step in steps:
        thread = threading.Thread(target=step)
        thread.start()
        thread.join()
    assert len(differences) == 3


def test_two_engines_take_turns(backend: str) -> None:
    spec = list_engines()[0]
    with _open(spec, backend, "fp32") as one, open_engine(spec, backend, precision="fp32") as other:
        for _ in range(3):
            one.verify()
            other.verify()


def test_a_free_side_runs_in_every_size_with_a_graph_each(tiny: Path, backend: str) -> None:
    spec = _with_free_rows(tiny)
    with _open(spec, backend, "fp32") as engine:
        for value in (0.5, 2.0):
            for rows in (4, 2, 8):
                outputs = engine.infer({"image": np.full((1, 1, rows, 6), value, np.float32)})
                assert outputs["doubled"].shape == (1, 1, rows, 6)
                np.testing.assert_allclose(outputs["doubled"], 2 * value, rtol=1e-5)
                np.testing.assert_allclose(outputs["inverse"], 1 / value, rtol=1e-5)
        assert _graphs(engine) == 3


def test_a_plan_that_is_damaged_is_refused_and_the_next_build_makes_another(tiny: Path, backend: str) -> None:
    spec = find_engine("tiny", tiny)
    _open(spec, backend, "fp32").close()
    found, onnx_path = get_backend(backend), artifact_path(spec, backend, "fp32")
    assert isinstance(found, PlanBackend)
    plan = find_plan(found, spec, onnx_path, "fp32")
    assert plan is not None
    with pytest.raises(EngineError, match="build"):
        found.open_plan(spec, replace(plan, content=plan.content[: len(plan.content) // 2]))
    path = plan_path(found, spec, onnx_path, "fp32")
    path.write_bytes(path.read_bytes()[:-1])
    assert prepare(spec, backend, "fp32")
    with open_engine(spec, backend, precision="fp32") as engine:
        engine.verify()


def _with_free_rows(tiny: Path) -> EngineSpec:
    folder = tiny / "tiny/1.2.3"
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, "rows", 6])
        for name in ("image", "doubled", "inverse")
    ]
    nodes = [
        helper.make_node("Add", ["image", "image"], ["doubled"]),
        helper.make_node("Reciprocal", ["image"], ["inverse"]),
    ]
    graph = helper.make_graph(nodes, "tiny", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    before = load_spec(folder / "engine.toml").artifacts["onnx"][1]
    onnx.save(model, folder / "model.onnx")
    digest = hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
    toml = (folder / "engine.toml").read_text().replace(before, digest)
    toml = toml.replace("shape = [1, 1, 4, 6]", "shape = [1, 1, -1, 6]")
    toml = toml.replace('layout = "NCHW"\n', f'layout = "NCHW"{RANGE}\n', 1)
    (folder / "engine.toml").write_text(toml)
    return load_spec(folder / "engine.toml")
