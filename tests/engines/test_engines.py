"""Every engine that ships, on every back end that can run here, in every precision that it has."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from usassist.engine import BACKENDS, EngineSpec, get_backend, list_engines, open_engine, why_not
from usassist.engine.backends.openvino import MIN_INT8_SHARE, count_int8
from usassist.engine.base import Engine
from usassist.engine.comparison import compare
from usassist.engine.opening import load_engine, prepare
from usassist.engine.parity import ParityState, check_parity, open_reference
from usassist.engine.probe import probes
from usassist.modalities.findings_decoder import decoder_for

Outputs = dict[str, np.ndarray]

TRIPLES = [
    pytest.param(spec, backend, precision, id=f"{spec.name}-{spec.version}-{backend}-{precision}")
    for spec in list_engines()
    for backend in BACKENDS
    for precision in spec.precisions
    if backend != "null" and precision in get_backend(backend).precisions
]
SPECS = [pytest.param(spec, id=f"{spec.name}-{spec.version}") for spec in list_engines()]
QUANTISED = [
    pytest.param(spec, id=f"{spec.name}-{spec.version}") for spec in list_engines() if "int8" in spec.precisions
]


@pytest.mark.parametrize(("spec", "backend", "precision"), TRIPLES)
def test_the_golden_input_is_answered_within_its_tolerance(spec: EngineSpec, backend: str, precision: str) -> None:
    _need(spec, backend, precision)
    with open_engine(spec, backend, precision=precision) as engine:
        assert engine.precision == precision
        bounds = spec.golden.mean_abs_diff.get(precision)
        assert engine.verify() <= (max(bounds.values()) if bounds else spec.golden.max_abs_diff)


@pytest.mark.parametrize(("spec", "backend", "precision"), TRIPLES)
def test_golden_and_random_inputs_are_answered_as_the_reference_answers_them(
    spec: EngineSpec, backend: str, precision: str
) -> None:
    _need(spec, backend, precision)
    prepare(spec, backend, precision)
    report = check_parity(spec, (backend,), (precision,), decode=decoder_for(spec))
    (row,) = report.rows
    assert (row.state, row.reason, row.failures) == (ParityState.PASSED, "", ())
    assert row.comparison is not None
    assert row.comparison.unanswered == ()


@pytest.mark.parametrize("spec", SPECS)
def test_what_is_compared_holds_findings_that_could_be_missed(spec: EngineSpec) -> None:
    """Two back ends that find nothing agree too."""
    decode = decoder_for(spec)
    assert decode is not None
    with open_reference(spec)[0] as reference:
        found = {probe.name: len(decode(reference.infer(probe.inputs))) for probe in probes(spec)}
    assert found["golden"] >= 1
    assert sum(count > 0 for name, count in found.items() if name.startswith("varied")) >= 5


@pytest.mark.parametrize("spec", SPECS)
def test_every_precision_that_rounds_has_limits_of_its_own(spec: EngineSpec) -> None:
    for precision in set(spec.precisions) - {"fp32"}:
        limits = spec.parity[precision]
        assert limits.varied_mean_abs_diff
        assert limits.random_mean_abs_diff


def _zeros(outputs: Outputs) -> Outputs:
    return {name: np.zeros_like(array) for name, array in outputs.items()}


def _shifted(outputs: Outputs) -> Outputs:
    return {name: np.roll(array, 1, -1) for name, array in outputs.items()}


def _scaled_up(outputs: Outputs) -> Outputs:
    return {name: array * np.float32(1.2) for name, array in outputs.items()}


def _scaled_down(outputs: Outputs) -> Outputs:
    return {name: array * np.float32(0.8) for name, array in outputs.items()}


def _mirrored(outputs: Outputs) -> Outputs:
    return {name: np.ascontiguousarray(array[..., ::-1]) for name, array in outputs.items()}


def _last_answer() -> Callable[[Outputs], Outputs]:
    """Every input is answered with what was found in the first one."""
    first: list[Outputs] = []

    def stale(outputs: Outputs) -> Outputs:
        first.append({name: array.copy() for name, array in outputs.items()})
        return first[0]

    return stale


@pytest.mark.parametrize("fault", [_zeros, _shifted, _scaled_up, _scaled_down, _mirrored, _last_answer()])
@pytest.mark.parametrize("spec", QUANTISED)
def test_the_limits_of_int8_are_narrow_enough_to_see_a_fault(
    spec: EngineSpec, fault: Callable[[Outputs], Outputs], monkeypatch: pytest.MonkeyPatch
) -> None:
    _need(spec, "openvino", "int8")
    decode = decoder_for(spec)
    infer = Engine.infer

    def faulty(self: Engine, inputs: Outputs) -> Outputs:
        outputs = infer(self, inputs)
        return fault(outputs) if self.precision == "int8" else outputs

    with open_reference(spec)[0] as reference, load_engine(spec, "openvino", 0, "int8") as engine:
        monkeypatch.setattr(Engine, "verify", lambda self: 0.0)  # it would see some of them too
        assert compare(engine, reference, decode).failures == ()
        monkeypatch.setattr(Engine, "infer", faulty)
        assert compare(engine, reference, decode).failures


@pytest.mark.parametrize(("spec", "backend", "precision"), TRIPLES)
def test_the_same_input_gives_the_same_bits(spec: EngineSpec, backend: str, precision: str) -> None:
    _need(spec, backend, precision)
    with open_engine(spec, backend, threads=1, precision=precision) as engine:
        for probe in (list(probes(spec, 1))[index] for index in (0, -1)):
            first = {name: array.copy() for name, array in engine.infer(probe.inputs).items()}
            for name, array in engine.infer(probe.inputs).items():
                np.testing.assert_array_equal(array, first[name])


@pytest.mark.parametrize("spec", QUANTISED)
def test_openvino_really_runs_the_int8_artifact_in_int8(spec: EngineSpec) -> None:
    """Counted in what the processor executes after all fusions; a silent fall-back to float would only be slower."""
    _need(spec, "openvino", "int8")
    import openvino

    path = spec.check_weights("onnx_int8")
    model = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    in_int8, layers = count_int8(model)
    assert layers > 0
    assert in_int8 >= MIN_INT8_SHARE * layers, f"{in_int8} of {layers}"


def _need(spec: EngineSpec, backend: str, precision: str) -> None:
    reason = why_not(backend, spec, precision)
    if reason:
        pytest.skip(reason)
    if (backend, precision) == ("openvino", "int8"):
        import openvino

        if "INT8" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            pytest.skip("OpenVINO runs nothing in INT8 on this processor")
