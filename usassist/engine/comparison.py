"""One open engine against the reference: tensors and findings. See :mod:`usassist.engine.parity`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from usassist.engine.base import Engine
from usassist.engine.findings import Apart, Findings, compare_findings, no_apart
from usassist.engine.probe import Probe, probes
from usassist.engine.spec import ParityLimits
from usassist.errors import EngineError, EngineOutputError

__all__ = ["Comparison", "Decoder", "OutputApart", "compare"]

Array = npt.NDArray[Any]
Decoder = Callable[[Mapping[str, Array]], Findings]
"""Reads findings from the outputs of one inference; raises ``EngineOutputError`` where it cannot."""

_RELATIVE = 2e-3  # FP32 differs in the order of sums and in the kernels; measured differences are a hundredth of this
_WHOLE_SHARE = 1e-3  # of the values of an integer output of an FP32 graph: ties may fall either way


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputApart:
    """How far one output is from the reference, over all inputs of one kind.

    Attributes
    ----------
    output : its name
    kind : ``golden``, ``varied`` or ``random``
    max_abs, mean_abs : largest difference of any value, and largest mean difference on any input
    of_limit : largest difference that counts, as a fraction of the limit; above 1 it fails. None = not bounded
    probe : the input on which it occurred
    """

    output: str
    kind: str
    max_abs: float
    mean_abs: float
    of_limit: float | None
    probe: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One open engine against the reference.

    Attributes
    ----------
    outputs : by output and kind of input
    golden, others : findings on the golden input, and on those of the other inputs in which the reference has some;
        None = nothing was decoded
    probes : how many inputs were compared
    unanswered : inputs for which the reference returns no finite values, so there is nothing to compare with
    failures : one line each; empty = passed
    """

    outputs: tuple[OutputApart, ...]
    golden: Apart | None
    others: Apart | None
    probes: int
    unanswered: tuple[str, ...]
    failures: tuple[str, ...]


def compare(engine: Engine, reference: Engine, decode: Decoder | None = None, seed: int = 0) -> Comparison:
    """Run two open engines on the same inputs, one after the other, and compare the outputs.

    Parameters
    ----------
    engine, reference : of one spec
    decode : reads findings from outputs; None = tensors only
    seed : of the random inputs
    """
    spec = engine.spec
    limits = spec.parity_limits(engine.precision)
    tensors: dict[tuple[str, str], OutputApart] = {}
    found: dict[bool, Apart] = {}
    failures: list[str] = []
    unanswered = []
    count = 0
    try:
        engine.verify()
    except EngineError as error:
        failures.append(str(error))
    for probe in probes(spec, seed):
        try:
            # A runner may return the same arrays again, and both may be the same runner.
            expected = {name: array.copy() for name, array in reference.infer(probe.inputs).items()}
        except EngineOutputError:
            unanswered.append(probe.name)
            continue
        try:
            outputs = engine.infer(probe.inputs)
            for tensor in spec.outputs:
                apart = _tensor(engine, probe, tensor.name, expected[tensor.name], outputs[tensor.name], limits)
                key = (tensor.name, probe.kind)
                tensors[key] = _worse(tensors[key], apart) if key in tensors else apart
            wanted = decode(expected) if decode is not None else None
            if decode is not None and wanted:
                thresholds = {label.id: label.score_threshold for label in spec.labels}
                apart_findings = compare_findings(wanted, decode(outputs), thresholds, limits.max_score_diff)
                failures += _decoded_failures(apart_findings, limits, probe)
                is_golden = probe.kind == "golden"
                found[is_golden] = found.get(is_golden, no_apart()) | apart_findings
        except EngineError as error:
            failures.append(f"{probe.name}: {error}")
            break
        count += 1
    for item in tensors.values():
        if item.of_limit is not None and item.of_limit > 1.0:
            failures.append(
                f"{item.output} is {item.of_limit:.3g} times as far from the reference as it may be, on input "
                f"{item.probe} (on such inputs: max {item.max_abs:.3g}, mean {item.mean_abs:.3g})"
            )
    return Comparison(
        outputs=tuple(tensors.values()),
        golden=found.get(True),
        others=found.get(False),
        probes=count,
        unanswered=tuple(unanswered),
        failures=tuple(dict.fromkeys(failures)),
    )


def _tensor(engine: Engine, probe: Probe, name: str, expected: Array, came: Array, limits: ParityLimits) -> OutputApart:
    if expected.shape != came.shape:
        raise EngineOutputError(
            f"{name} has shape {came.shape}, the reference returns {expected.shape}; check the export"
        )
    is_whole = np.issubdtype(expected.dtype, np.integer)
    apart = (came != expected).astype(np.float64) if is_whole else np.abs(came.astype(np.float64) - expected)
    largest, mean = (float(apart.max()), float(apart.mean())) if apart.size else (0.0, 0.0)
    if engine.precision == "fp32":
        scale = max(1.0, float(np.abs(expected).max(initial=0.0)))
        of_limit: float | None = mean / _WHOLE_SHARE if is_whole else largest / (_RELATIVE * scale)
    else:
        allowed = {
            "golden": engine.spec.golden.mean_abs_diff.get(engine.precision, {}),
            "varied": limits.varied_mean_abs_diff,
            "random": limits.random_mean_abs_diff,
        }[probe.kind].get(name)
        of_limit = None if allowed is None else mean / allowed
    return OutputApart(
        output=name, kind=probe.kind, max_abs=largest, mean_abs=mean, of_limit=of_limit, probe=probe.name
    )


def _worse(first: OutputApart, second: OutputApart) -> OutputApart:
    worst = max(first, second, key=lambda item: (item.of_limit or 0.0, item.mean_abs))
    return OutputApart(
        output=first.output,
        kind=first.kind,
        max_abs=max(first.max_abs, second.max_abs),
        mean_abs=max(first.mean_abs, second.mean_abs),
        of_limit=worst.of_limit,
        probe=worst.probe,
    )


def _decoded_failures(apart: Apart, limits: ParityLimits, probe: Probe) -> list[str]:
    failures = []
    for what, least, allowed in (
        ("Dice of a mask", apart.min_dice, limits.min_dice),
        ("IoU of a box", apart.min_box_iou, limits.min_box_iou),
    ):
        if least is not None and least < allowed:
            failures.append(f"{what} is {least:.3f} on input {probe.name}, at least {allowed:g} is required")
    if apart.max_score_diff is not None and apart.max_score_diff > limits.max_score_diff:
        failures.append(
            f"a score differs by {apart.max_score_diff:.3f} on input {probe.name}, allowed is {limits.max_score_diff:g}"
        )
    for what, number in (("misses", apart.missing), ("has in addition", apart.extra)):
        if number:
            failures.append(
                f"{what} {number} of the findings on input {probe.name}, of which the reference has {apart.findings}"
            )
    return failures
