"""The INT8 artefact of every engine that ships is in the form that every back end runs."""

from __future__ import annotations

import pytest

pytest.importorskip("onnx", reason="the lint reads graphs with onnx")

from usassist.engine import EngineSpec, list_engines
from usassist.engine.qdq import lint_qdq

QUANTISED = [
    pytest.param(spec, id=f"{spec.name}-{spec.version}") for spec in list_engines() if "int8" in spec.precisions
]


@pytest.mark.parametrize("spec", QUANTISED)
def test_the_int8_artefact_is_symmetric_qdq(spec: EngineSpec) -> None:
    assert lint_qdq(spec.check_weights("onnx_int8")) == []
