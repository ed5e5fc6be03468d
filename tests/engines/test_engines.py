"""Every engine that ships, with every back end that can run here."""

from __future__ import annotations

import numpy as np
import pytest

from usassist.engine import BACKENDS, EngineSpec, list_engines, open_engine, why_unavailable

PAIRS = [
    pytest.param(spec, backend, id=f"{spec.name}-{spec.version}-{backend}")
    for spec in list_engines()
    for backend in BACKENDS
    if backend != "null"
]


@pytest.mark.parametrize(("spec", "backend"), PAIRS)
def test_the_golden_input_is_answered_within_its_tolerance(spec: EngineSpec, backend: str) -> None:
    reason = why_unavailable(backend)
    if reason:
        pytest.skip(reason)
    with open_engine(spec, backend) as engine:
        assert engine.verify() <= spec.golden.max_abs_diff


@pytest.mark.parametrize(("spec", "backend"), PAIRS)
def test_random_inputs_are_answered_as_the_reference_answers_them(spec: EngineSpec, backend: str) -> None:
    reason = why_unavailable(backend)
    if reason:
        pytest.skip(reason)
    rng = np.random.default_rng(3)
    with open_engine(spec, backend) as engine, open_engine(spec, "onnxruntime") as reference:
        for _ in range(3):
            inputs = {
                tensor.name: rng.random([side or 1 for side in tensor.shape], np.float32) for tensor in spec.inputs
            }
            expected = {name: array.copy() for name, array in reference.infer(inputs).items()}
            for name, array in engine.infer(inputs).items():
                scale = max(1.0, float(np.abs(expected[name]).max()))
                assert float(np.abs(array - expected[name]).max()) <= 2e-3 * scale, name


@pytest.mark.parametrize(("spec", "backend"), PAIRS)
def test_the_same_input_gives_the_same_bits(spec: EngineSpec, backend: str) -> None:
    reason = why_unavailable(backend)
    if reason:
        pytest.skip(reason)
    inputs = {
        tensor.name: np.random.default_rng(1).random([side or 1 for side in tensor.shape], np.float32)
        for tensor in spec.inputs
    }
    with open_engine(spec, backend, threads=1) as engine:
        first = {name: array.copy() for name, array in engine.infer(inputs).items()}
        for name, array in engine.infer(inputs).items():
            np.testing.assert_array_equal(array, first[name])
