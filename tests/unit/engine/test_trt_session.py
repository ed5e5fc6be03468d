"""The run half of TensorRT, against doubles: in which order it calls, what it takes and gives back, how it fails."""

from __future__ import annotations

import gc
import sys
import threading
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tests.unit.engine.gpu_double import CAPTURE_UNSUPPORTED, LAUNCH_FAILED, OUT_OF_MEMORY, STREAM, Driver, Trt
from usassist.engine import find_engine
from usassist.engine.base import Engine
from usassist.engine.trt.api import RTX, TENSORRT, import_trt, why_not_installed
from usassist.engine.trt.runner import MAX_SHAPES, TrtRunner
from usassist.errors import BackendFailedError, BackendUnavailableError, EngineError, PlanMissingError

TAKES = (
    "cuMemAlloc_v2",
    "cuMemHostRegister_v2",
    "cuStreamCreate",
    "create_execution_context",
    "cuDevicePrimaryCtxRetain",
)


def _tensors(rows: int = 4) -> list[tuple[str, str, str, list[int]]]:
    sides = [1, 1, rows, 6]
    return [
        (name, "input" if name == "image" else "output", "float32", sides) for name in ("image", "doubled", "inverse")
    ]


def _open(trt: Trt) -> TrtRunner:
    return TrtRunner(trt, TENSORRT, b"plan", _tensors(trt.rows), trt.driver)


def _input(value: float, rows: int = 4) -> dict[str, np.ndarray]:
    return {"image": np.full((1, 1, rows, 6), value, np.float32)}


def _agrees(outputs: dict[str, np.ndarray], value: float, rows: int = 4) -> bool:
    return all(
        outputs[name].shape == (1, 1, rows, 6) and np.allclose(outputs[name], expected)
        for name, expected in (("doubled", 2 * value), ("inverse", 1 / value))
    )


@pytest.fixture
def trt() -> Trt:
    return Trt(Driver())


@pytest.fixture
def free_trt() -> Trt:
    return Trt(Driver(), rows=-1)


def _assert_nothing_is_held(trt: Trt) -> None:
    gc.collect()
    assert not trt.driver.held
    assert not trt.driver.current


def test_it_computes_and_tells_its_tensors(trt: Trt, tiny: Path) -> None:
    session = _open(trt)
    assert session.device == "Double 1"
    with Engine(find_engine("tiny", tiny), "tensorrt", session) as engine:
        for value in (0.5, 0.25, 4.0):  # plain, then twice by its graph
            assert _agrees(engine.infer(_input(value)), value)
    _assert_nothing_is_held(trt)


def test_opening_sets_every_address_before_anything_is_enqueued(trt: Trt) -> None:
    session = _open(trt)
    session.run(_input(1))
    names = trt.driver.names
    addresses = [index for index, name in enumerate(names) if name == "set_tensor_address"]
    assert len(addresses) == 3
    assert max(addresses) < names.index("cuMemcpyHtoDAsync_v2")
    session.close()


def test_the_first_run_is_plain_and_the_graph_is_captured_after_it(trt: Trt) -> None:
    session = _open(trt)
    trt.driver.forget()
    session.run(_input(1))
    once = ["cuMemcpyHtoDAsync_v2", "execute_async_v3", "cuMemcpyDtoHAsync_v2", "cuMemcpyDtoHAsync_v2"]
    assert trt.driver.names == [
        *once,
        "cuStreamSynchronize",
        "cuStreamBeginCapture_v2",
        *once,
        "cuStreamEndCapture",
        "cuGraphInstantiateWithFlags",
        "cuGraphDestroy",
    ]
    session.close()


def test_later_runs_launch_the_graph_and_take_nothing(trt: Trt) -> None:
    session = _open(trt)
    first = session.run(_input(1))
    trt.driver.forget()
    for value in (2.0, 3.0):
        again = session.run(_input(value))
        assert all(again[name] is first[name] for name in first)
    assert trt.driver.names == ["cuGraphLaunch", "cuStreamSynchronize"] * 2
    session.close()


def test_the_default_stream_is_never_used(free_trt: Trt) -> None:
    session = _open(free_trt)
    for rows in (4, 8, 4):
        session.run(_input(1, rows))
    session.close()
    streams = [call[-1] for call in free_trt.driver.calls if call[0] in ("execute_async_v3", "cuGraphLaunch")]
    streams += [call[-1] for call in free_trt.driver.calls if call[0].startswith("cuMemcpy")]
    assert set(streams) == {STREAM}


def test_a_new_shape_gets_a_context_and_a_graph_of_its_own(free_trt: Trt) -> None:
    session = _open(free_trt)
    assert _agrees(session.run(_input(2, 4)), 2, 4)
    free_trt.driver.forget()
    assert _agrees(session.run(_input(3, 8)), 3, 8)
    names = free_trt.driver.names
    assert names.count("create_execution_context") == 1
    assert names.count("cuStreamBeginCapture_v2") == 1
    assert not {"cuMemAlloc_v2", "cuMemHostRegister_v2"} & set(names), "memory was taken once, for the largest shape"
    free_trt.driver.forget()
    assert _agrees(session.run(_input(5, 4)), 5, 4)
    assert _agrees(session.run(_input(6, 8)), 6, 8)
    assert free_trt.driver.names == ["cuGraphLaunch", "cuStreamSynchronize"] * 2
    session.close()
    _assert_nothing_is_held(free_trt)


def test_only_some_shapes_are_kept_and_the_one_unused_for_longest_goes(free_trt: Trt) -> None:
    session = _open(free_trt)
    shapes = list(range(2, 3 + MAX_SHAPES))
    for rows in (*shapes[:-1], shapes[0]):
        session.run(_input(1, rows))
    session.run(_input(1, shapes[-1]))
    assert len([kind for kind, _ in free_trt.driver.held if kind == "executable"]) == MAX_SHAPES
    free_trt.driver.forget()
    session.run(_input(1, shapes[0]))
    assert free_trt.driver.names == ["cuGraphLaunch", "cuStreamSynchronize"]
    free_trt.driver.forget()
    assert _agrees(session.run(_input(4, shapes[1])), 4, shapes[1])
    assert "create_execution_context" in free_trt.driver.names
    session.close()
    _assert_nothing_is_held(free_trt)


def test_a_shape_that_the_plan_was_not_built_for_is_refused_and_the_others_go_on(free_trt: Trt) -> None:
    session = _open(free_trt)
    with pytest.raises(BackendFailedError, match=r"not built for image \[1, 1, 9, 6\].*build again"):
        session.run(_input(1, 9))
    assert _agrees(session.run(_input(2, 4)), 2, 4)
    session.close()
    _assert_nothing_is_held(free_trt)


def test_it_gives_back_in_the_opposite_order_and_twice_is_fine(trt: Trt) -> None:
    session = _open(trt)
    outputs = session.run(_input(2))
    trt.driver.forget()
    session.close()
    assert trt.driver.names == [
        "cuGraphExecDestroy",
        "del Context",
        "del Engine",
        "del Runtime",
        "cuStreamSynchronize",
        *["cuMemFree_v2"] * 3,
        *["cuMemHostUnregister"] * 3,
        "cuStreamDestroy_v2",
        "cuDevicePrimaryCtxRelease_v2",
    ]
    session.close()
    _assert_nothing_is_held(trt)
    assert _agrees(outputs, 2), "outputs can be read after close"
    with pytest.raises(BackendFailedError, match="closed before"):
        session.run(_input(1))


def test_it_is_opened_run_and_closed_in_three_threads(trt: Trt) -> None:
    sessions: list[TrtRunner] = []
    results: list[bool] = []
    for work in (
        lambda: sessions.append(_open(trt)),
        lambda: results.extend(_agrees(sessions[0].run(_input(value)), value) for value in (2.0, 3.0)),
        lambda: sessions[0].close(),
    ):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert results == [True, True]
    _assert_nothing_is_held(trt)


@pytest.mark.parametrize("way", ["begin", "execute", "instantiate", "rtx"])
def test_without_a_graph_it_goes_on_plainly(trt: Trt, way: str) -> None:
    if way == "begin":
        trt.driver.fail["cuStreamBeginCapture_v2"] = CAPTURE_UNSUPPORTED
    elif way == "instantiate":
        trt.driver.fail["cuGraphInstantiateWithFlags"] = CAPTURE_UNSUPPORTED
    elif way == "execute":
        trt.fail.add("captured execute")
    else:
        trt.capturable = False
    session = _open(trt)
    for value in (2.0, 3.0, 4.0):
        assert _agrees(session.run(_input(value)), value)
    assert "cuGraphLaunch" not in trt.driver.names
    assert trt.driver.names.count("cuStreamBeginCapture_v2") == (0 if way == "rtx" else 1), "it is tried once"
    session.close()
    _assert_nothing_is_held(trt)


def test_an_enqueue_that_fails_says_why(trt: Trt) -> None:
    session = _open(trt)
    trt.fail.add("execute")
    with pytest.raises(BackendFailedError, match="TensorRT failed: a kernel failed; open the engine again"):
        session.run(_input(1))
    session.close()
    _assert_nothing_is_held(trt)


@pytest.mark.parametrize("runs_before", [0, 1])
def test_a_gpu_that_fails_while_it_is_waited_for_is_named(trt: Trt, runs_before: int) -> None:
    session = _open(trt)
    for _ in range(runs_before):
        session.run(_input(1))
    trt.driver.fail["cuStreamSynchronize"] = LAUNCH_FAILED
    with pytest.raises(
        BackendFailedError, match=r"cuStreamSynchronize: CUDA_ERROR_LAUNCH_FAILED.*start usassist again"
    ):
        session.run(_input(1))
    session.close()
    _assert_nothing_is_held(trt)


@pytest.mark.parametrize(
    "call", ["cuDevicePrimaryCtxRetain", "cuStreamCreate", "cuMemAlloc_v2", "cuMemHostRegister_v2"]
)
def test_no_room_when_it_is_opened_leaves_nothing_taken(trt: Trt, call: str) -> None:
    trt.driver.fail[call] = OUT_OF_MEMORY
    with pytest.raises(BackendFailedError, match=f"{call}: CUDA_ERROR_OUT_OF_MEMORY.*nvidia-smi") as error:
        _open(trt)
    assert "\n" not in str(error.value)
    del error
    _assert_nothing_is_held(trt)


@pytest.mark.parametrize(
    ("failure", "kind", "message"),
    [
        ("Runtime", EngineError, "TensorRT does not start: .*update the driver"),
        ("deserialize", PlanMissingError, "cannot read the plan: the stream is not a plan; build it again"),
        ("context", BackendFailedError, "cannot get ready: out of memory; end other programs"),
        ("infer", EngineError, "the shape of inverse depends on more"),
        ("address", BackendFailedError, "refuses the memory for image; open the engine again"),
    ],
)
def test_what_the_library_refuses_when_opening_leaves_nothing_taken(
    trt: Trt, failure: str, kind: type[EngineError], message: str
) -> None:
    trt.fail.add(failure)
    with pytest.raises(kind, match=message) as error:
        _open(trt)
    assert "\n" not in str(error.value)
    del error
    _assert_nothing_is_held(trt)


def test_a_plan_with_other_tensors_than_were_stored_is_built_again(trt: Trt) -> None:
    other = [(name, kind, dtype, [1, 1, 5, 6]) for name, kind, dtype, _ in _tensors()]
    with pytest.raises(PlanMissingError, match=r"the plan has input image .*4, 6.*stored as input image .*5, 6"):
        TrtRunner(trt, TENSORRT, b"plan", other, trt.driver)
    _assert_nothing_is_held(trt)


def test_a_tensor_that_is_not_on_the_gpu_is_refused(trt: Trt) -> None:
    trt.location = "host"
    with pytest.raises(EngineError, match="image holds a shape, not data"):
        _open(trt)
    _assert_nothing_is_held(trt)


def test_nothing_of_the_library_is_made_before_the_gpu_is_open(trt: Trt) -> None:
    """A runtime without a driver ends the interpreter, and no `except` helps."""
    session = _open(trt)
    names = [call[0] for call in trt.driver.calls]
    assert names.index("cuDevicePrimaryCtxRetain") < names.index("Runtime")
    session.close()
    trt.driver.forget()
    trt.driver.fail["cuInit"] = OUT_OF_MEMORY
    with pytest.raises(BackendFailedError, match="cuInit"):
        _open(trt)
    assert [call[0] for call in trt.driver.calls if call[0] == "Runtime"] == []


@pytest.mark.parametrize(
    ("version", "understood"),
    [("10.11.0.33", False), ("10.12.0.36", True), ("11.4.0.106", True), ("12.0.0.1", False), ("strange", False)],
)
def test_versions_outside_the_range_are_refused(
    version: str, understood: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType("tensorrt_bindings")
    module.__version__ = version
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    monkeypatch.setitem(sys.modules, "tensorrt_bindings", module)
    if understood:
        assert import_trt(TENSORRT) is module
    else:
        with pytest.raises(BackendUnavailableError, match=r"needs 10\.12 or newer and older than 12\.0; pip install"):
            import_trt(TENSORRT)


@pytest.mark.parametrize("flavour", [TENSORRT, RTX], ids=["tensorrt", "tensorrt-rtx"])
def test_a_library_that_is_missing_is_answered_with_the_command(flavour, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in flavour.names:
        monkeypatch.setitem(sys.modules, name, None)
    reason = why_not_installed(flavour)
    assert reason is not None
    assert reason.endswith(flavour.install)
    assert "\n" not in reason
