"""Every back end keeps the contract, and each check finds exactly the fault that it is there for."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from typer.testing import CliRunner

from usassist.app.commands.main import app
from usassist.engine import BACKENDS, find_engine, get_backend
from usassist.engine.backend import Backend, Runner
from usassist.engine.backends.onnxruntime import OnnxRuntimeBackend
from usassist.engine.conformance import CHECKS, Setup, check_backend, run_check
from usassist.engine.spec import EngineSpec
from usassist.modalities.findings_decoder import decoder_for

Run = Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USASSIST_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", BACKENDS)
def test_a_back_end_of_the_table_conforms(name: str, check: str, tmp_path: Path) -> None:
    spec = find_engine("thyroid_nodule")
    folder = tmp_path / "files"
    folder.mkdir()
    result = run_check(check, Setup(backend=get_backend(name), folder=folder, engine=spec, decode=decoder_for(spec)))
    if result.state == "skipped":
        pytest.skip(result.detail)
    assert result.state == "passed", result.detail


class Broken(OnnxRuntimeBackend):
    """ONNX Runtime whose runners go through `spoil`."""

    precisions: ClassVar[tuple[str, ...]] = ("fp32", "fp16")

    def __init__(self, spoil: Callable[[Any, str], None] = lambda runner, precision: None) -> None:
        super().__init__("broken", install="nothing to install")
        self.spoil = spoil

    def open(self, spec: EngineSpec, path: Path, *, threads: int, precision: str) -> Runner:
        runner = super().open(spec, path, threads=threads, precision=precision)
        self.spoil(runner, precision)
        return runner


def _after(change: Callable[[dict[str, np.ndarray], dict[str, np.ndarray]], Any]) -> Callable[[Any, str], None]:
    """Change what every run returns; `change` gets inputs and outputs."""

    def spoil(runner: Any, precision: str) -> None:
        run = runner.run

        def changed(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            outputs = run(inputs)
            change(inputs, outputs)
            return outputs

        runner.run = changed

    return spoil


def _reports_float64(runner: Any, precision: str) -> None:
    runner.outputs = {name: ("float64", shape) for name, (_, shape) in runner.outputs.items()}


def _drifts() -> Callable[[Any, str], None]:
    count = [0]

    def drift(_: Any, outputs: dict[str, np.ndarray]) -> None:
        count[0] += 1
        for array in outputs.values():
            array += np.float32(4e-6 * (count[0] % 3))

    return _after(drift)


def _writes_into_its_input(inputs: dict[str, np.ndarray], _: Any) -> None:
    for array in inputs.values():
        if array.flags.writeable:
            array[:, :, 0, 0] = 0.5


def _returns_what_it_returned_before(runner: Any, precision: str) -> None:
    run, close, known = runner.run, runner.close, {}

    def remember(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        key = b"".join(array.tobytes() for array in inputs.values())
        if key not in known:
            known[key] = run(inputs)
        return known[key]

    runner.run = remember
    runner.close = lambda: (known.clear(), close())


def _swaps_two_inputs(runner: Any, precision: str) -> None:
    run = runner.run
    other = {"first": "second", "second": "first"}
    runner.run = lambda inputs: run({other.get(name, name): array for name, array in inputs.items()})


def _one_size_only(runner: Any, precision: str) -> None:
    shapes: list[tuple[int, ...]] = []

    def once(inputs: dict[str, np.ndarray], _: Any) -> None:
        shapes.append(next(iter(inputs.values())).shape)
        if shapes[-1] != shapes[0]:
            raise RuntimeError("the memory is too small")

    _after(once)(runner, precision)


def _fp16_is_off(runner: Any, precision: str) -> None:
    if precision == "fp16":
        _after(lambda _, outputs: [np.multiply(array, 1.1, out=array) for array in outputs.values()])(runner, precision)


def _closes_once(runner: Any, precision: str) -> None:
    close = runner.close
    closed: list[bool] = []

    def once() -> None:
        close()
        closed.append(True)
        assert len(closed) == 1, "it was closed before"

    runner.close = once


def _answers_when_closed(runner: Any, precision: str) -> None:
    runner.close = lambda: None


def _one_thread_only(runner: Any, precision: str) -> None:
    mine = threading.get_ident()

    def same(*_: Any) -> None:
        assert threading.get_ident() == mine, "another thread"

    _after(same)(runner, precision)


class OtherErrors(Broken):
    """It lets the errors of its runtime through."""

    def open(self, spec: EngineSpec, path: Path, *, threads: int, precision: str) -> Runner:
        if path.name == "broken.onnx":
            raise ValueError("no protobuf")
        return super().open(spec, path, threads=threads, precision=precision)


class EmptyFormat(Broken):
    """It declares a format without a name."""

    formats: ClassVar[tuple[str, ...]] = ("onnx", "")


class HidesWhatIsMissing(Broken):
    """It needs a module that is not there, and reports nothing."""

    requires = ("onnxruntime", "no_such_module_at_all")

    def why_not_installed(self) -> str | None:
        return None


class ZeroBackend(Broken):
    """It computes nothing and is not called ``null``."""

    def __init__(self) -> None:
        super().__init__(_after(lambda _, outputs: [array.fill(0) for array in outputs.values()]))
        self.device = "none"

    def why_not_here(self) -> str | None:
        return None

    def open(self, spec: EngineSpec, path: Path, *, threads: int, precision: str) -> Runner:
        self.device = "cpu"  # of ONNX Runtime
        try:
            return super().open(spec, path, threads=threads, precision=precision)
        finally:
            self.device = "none"


def test_a_back_end_with_no_fault_passes() -> None:
    assert {item.check for item in check_backend(Broken()) if item.state != "passed"} == {"golden", "null"}


@pytest.mark.parametrize(
    ("backend", "check", "words"),
    [
        (EmptyFormat(), "declared", "formats must be a tuple of texts"),
        (HidesWhatIsMissing(), "reasons", "no_such_module_at_all cannot be imported"),
        (Broken(_one_size_only), "free_axis", "the memory is too small"),
        (Broken(_swaps_two_inputs), "two_inputs", "apart is wrong by"),
        (Broken(_fp16_is_off), "each_precision", "doubled in fp16 is wrong by"),
        (Broken(_drifts()), "repeatable", "differs between two runs"),
        (Broken(_after(_writes_into_its_input)), "inputs_kept", "wrote into its input"),
        (Broken(_returns_what_it_returned_before), "outputs_apart", "changed the next answer"),
        (OtherErrors(), "errors", "raises ValueError, not EngineError"),
        (Broken(_closes_once), "close_twice", "it was closed before"),
        (Broken(_answers_when_closed), "close_twice", "answers after it was closed"),
        (Broken(_one_thread_only), "threads", "another thread"),
        (ZeroBackend(), "null", "only the back end null may compute nothing"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_fault_fails_the_check_that_is_there_for_it_and_no_other(backend: Backend, check: str, words: str) -> None:
    failed = {item.check: item.detail for item in check_backend(backend) if item.state == "failed"}
    assert list(failed) == [check], failed
    assert words in failed[check]
    assert "\n" not in failed[check]


def test_a_wrong_type_fails_wherever_a_graph_is_opened() -> None:
    failed = {item.check for item in check_backend(Broken(_reports_float64)) if item.state == "failed"}
    assert "fixed_shape" in failed
    assert not {"declared", "reasons", "close_twice"} & failed


def test_a_fault_in_its_answers_fails_the_golden_input() -> None:
    spec = find_engine("thyroid_nodule")

    def shift(_: Any, outputs: dict[str, np.ndarray]) -> None:
        for name, array in outputs.items():
            if name == "mask_prob":
                array[...] = np.roll(array, 4, -1)

    failed = {item.check for item in check_backend(Broken(_after(shift)), engine=spec) if item.state == "failed"}
    assert failed == {"golden"}


def test_without_onnx_what_needs_a_graph_is_not_tested(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    results = {item.check: item for item in check_backend(Broken())}
    assert results["declared"].state == "passed"
    assert results["fixed_shape"].state == "skipped"
    assert "pip install onnx" in results["fixed_shape"].detail


def test_a_back_end_that_cannot_run_here_is_not_called_conformant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("usassist.engine.registry.why_no_cuda", lambda: "there is no GPU in this test")
    done = CliRunner().invoke(app, ["engine", "conformance", "tensorrt", "--json"])
    assert done.exit_code == 1
    document = json.loads(done.stdout)
    assert document["failed"] == 0
    assert document["skipped"] > 0
