"""The INT8 artifact of every engine that ships has the form that every back end runs, and answers alike everywhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx", reason="the lint reads graphs with onnx")

import onnx
from onnx import numpy_helper

from usassist.common.processor import read_processor
from usassist.engine import EngineSpec, list_engines
from usassist.engine.findings import compare_findings, no_apart
from usassist.engine.probe import probes
from usassist.engine.qdq import lint_qdq
from usassist.modalities.findings_decoder import decoder_for

QUANTISED = [
    pytest.param(spec, id=f"{spec.name}-{spec.version}") for spec in list_engines() if "int8" in spec.precisions
]
# What OpenVINO may be kept to, and what the processor must have for that.
KINDS = {
    "AVX": "avx",
    "AVX2": "avx2",
    "AVX512_CORE": "avx512bw",
    "AVX512_CORE_VNNI": "avx512_vnni",
    "AVX2_VNNI": "avx_vnni",
}
LARGEST_U8, LARGEST_I16 = 255, 32767


@pytest.mark.parametrize("spec", QUANTISED)
def test_the_int8_artifact_is_symmetric_qdq(spec: EngineSpec) -> None:
    assert lint_qdq(spec.check_weights("onnx_int8")) == []


@pytest.mark.parametrize("spec", QUANTISED)
def test_no_sum_of_two_products_leaves_16_bits(spec: EngineSpec) -> None:
    """Whichever two weights of a convolution meet, and whatever the inputs are: ``vpmaddubsw`` then cannot saturate."""
    graph = onnx.load(str(spec.check_weights("onnx_int8"))).graph
    constants = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    makers = {node.output[0]: node for node in graph.node}
    worst = count = 0
    for node in graph.node:
        pair = makers.get(node.input[1]) if node.op_type == "Conv" else None
        if pair is not None and pair.op_type == "DequantizeLinear":
            codes = constants[pair.input[0]].astype(np.int64)
            worst = max(worst, 2 * LARGEST_U8 * int(np.abs(codes).max()))
            count += 1
    assert count > 10
    assert worst <= LARGEST_I16


def _answers(spec: EngineSpec, kind: str, folder: Path) -> dict[str, np.ndarray]:
    """What a process answers that OpenVINO keeps to one kind of processor in; skips where that has no INT8."""
    out = folder / f"{kind}.npz"
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": kind, "USASSIST_CACHE": str(folder / "cache")}
    run = subprocess.run(
        [sys.executable, "-m", "tests.engines.int8_child", f"{spec.name}@{spec.version}", str(out)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if run.returncode == 3:
        pytest.skip(f"OpenVINO runs no INT8 under {kind}: {run.stderr.strip()}")
    assert run.returncode == 0, run.stderr
    with np.load(out) as stored:
        return dict(stored)


@pytest.mark.parametrize("spec", QUANTISED)
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "AVX2"])
def test_every_kind_of_processor_answers_as_one_with_avx2(spec: EngineSpec, kind: str, tmp_path: Path) -> None:
    """Each meets the golden bounds, which the child asks, and finds the same nodules with nearly the same outlines.

    What is left is rounding: sums are exact, and scaled in another order. With sums that saturate nothing is found.
    """
    processor = read_processor()
    missing = [name for name in (kind, "AVX2") if KINDS[name] not in processor.features]
    if missing:
        pytest.skip(f"this processor has no {KINDS[missing[0]]}, so {missing[0]} cannot be run")
    base, other = (_answers(spec, name, tmp_path) for name in ("AVX2", kind))
    decode = decoder_for(spec)
    assert decode is not None
    thresholds = {label.id: label.score_threshold for label in spec.labels}
    limits = spec.parity_limits("int8")
    apart = no_apart()
    for probe in probes(spec):
        one, two = ({item.name: side[f"{probe.name}/{item.name}"] for item in spec.outputs} for side in (base, other))
        apart |= compare_findings(decode(one), decode(two), thresholds, limits.max_score_diff)
    assert apart.findings >= 5
    assert apart.missing == apart.extra == 0
    assert apart.min_dice is not None
    assert apart.min_dice > 0.95
