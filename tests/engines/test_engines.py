"""Every engine that ships, with every back end that can run here, in every precision that it has."""

from __future__ import annotations

import numpy as np
import pytest

from usassist.engine import BACKENDS, EngineSpec, list_engines, open_engine, runs, why_unavailable
from usassist.engine.backends.openvino import LEAST_INT8_SHARE, count_int8

PAIRS = [
    pytest.param(spec, backend, id=f"{spec.name}-{spec.version}-{backend}")
    for spec in list_engines()
    for backend in BACKENDS
    if backend != "null"
]
TRIPLES = [
    pytest.param(spec, backend, precision, id=f"{spec.name}-{spec.version}-{backend}-{precision}")
    for spec in list_engines()
    for backend in BACKENDS
    for precision in spec.precisions
    if backend != "null" and runs(backend, precision)
]
QUANTISED = [
    pytest.param(spec, id=f"{spec.name}-{spec.version}") for spec in list_engines() if "int8" in spec.precisions
]


@pytest.mark.parametrize(("spec", "backend", "precision"), TRIPLES)
def test_the_golden_input_is_answered_within_its_tolerance(spec: EngineSpec, backend: str, precision: str) -> None:
    _need(backend, precision)
    with open_engine(spec, backend, precision=precision) as engine:
        assert engine.precision == precision
        bounds = spec.golden.int8_mean_abs_diff
        assert engine.verify() <= (max(bounds.values()) if precision == "int8" and bounds else spec.golden.max_abs_diff)


@pytest.mark.parametrize(("spec", "backend"), PAIRS)
def test_random_inputs_are_answered_as_the_reference_answers_them(spec: EngineSpec, backend: str) -> None:
    _need(backend)
    rng = np.random.default_rng(3)
    with (
        open_engine(spec, backend, precision=spec.precision) as engine,
        open_engine(spec, "onnxruntime", precision=spec.precision) as reference,
    ):
        for _ in range(3):
            inputs = {
                tensor.name: rng.random([side or 1 for side in tensor.shape], np.float32) for tensor in spec.inputs
            }
            expected = {name: array.copy() for name, array in reference.infer(inputs).items()}
            for name, array in engine.infer(inputs).items():
                scale = max(1.0, float(np.abs(expected[name]).max()))
                assert float(np.abs(array - expected[name]).max()) <= 2e-3 * scale, name


@pytest.mark.parametrize(("spec", "backend", "precision"), TRIPLES)
def test_the_same_input_gives_the_same_bits(spec: EngineSpec, backend: str, precision: str) -> None:
    _need(backend, precision)
    inputs = {
        tensor.name: np.random.default_rng(1).random([side or 1 for side in tensor.shape], np.float32)
        for tensor in spec.inputs
    }
    with open_engine(spec, backend, threads=1, precision=precision) as engine:
        first = {name: array.copy() for name, array in engine.infer(inputs).items()}
        for name, array in engine.infer(inputs).items():
            np.testing.assert_array_equal(array, first[name])


@pytest.mark.parametrize("spec", QUANTISED)
def test_openvino_really_runs_the_int8_artefact_in_int8(spec: EngineSpec) -> None:
    """Counted in what the processor executes after all fusions; a silent fall-back to float would only be slower."""
    _need("openvino", "int8")
    import openvino

    path = spec.check_weights("onnx_int8")
    model = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    in_int8, layers = count_int8(model)
    assert layers > 0
    assert in_int8 >= LEAST_INT8_SHARE * layers, f"{in_int8} of {layers}"


def _need(backend: str, precision: str = "fp32") -> None:
    reason = why_unavailable(backend)
    if reason:
        pytest.skip(reason)
    if precision == "int8":
        import openvino

        if "INT8" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            pytest.skip("OpenVINO runs nothing in INT8 on this processor")
