"""Whether every back end agrees with the reference, in every precision, on golden and random inputs.

The reference is ONNX Runtime on the CPU in FP32; where that is missing, the next back end that runs FP32, and the
report names it. Each back end is compared with it in two ways:

- tensors. In FP32 no value of an output may differ by more than 0.002 of the largest value of that output (and of 1,
  where all are smaller). Rounding moves single values far where an output is steep, so in FP16 and INT8 the mean
  difference is bounded: by ``golden.<precision>.mean_abs_diff`` on the golden input, and on the others by
  ``varied_mean_abs_diff`` and ``random_mean_abs_diff`` of ``parity.<precision>``. For an output of
  integers the share of values that differ counts;
- findings, where a decoder is given: their masks, boxes and scores, and findings that only one of the two has. An input
  in which the reference finds nothing compares tensors only.

A back end must also meet its golden output. See :mod:`usassist.engine.probe` for the inputs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from usassist.engine.backend import PRECISIONS
from usassist.engine.base import Engine
from usassist.engine.comparison import Comparison, Decoder, compare
from usassist.engine.opening import load_engine
from usassist.engine.probe import probes
from usassist.engine.registry import BACKENDS, list_backends, why_not
from usassist.engine.spec import EngineSpec
from usassist.errors import BackendUnavailableError, EngineError, UsageError

__all__ = [
    "COMPUTES_NOTHING",
    "ParityReport",
    "ParityRow",
    "ParityState",
    "check_parity",
    "open_reference",
]

COMPUTES_NOTHING = "computes nothing, so there is nothing to compare"


class ParityState(StrEnum):
    """Outcome for one back end in one precision."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_AVAILABLE = "not available"
    COMPUTES_NOTHING = "computes nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class ParityRow:
    """One back end in one precision.

    Attributes
    ----------
    backend, precision : what was compared
    state : outcome
    device : what it ran on; empty = it did not
    reason : why it was not compared; empty = it was
    comparison : None = it was not compared
    failures : why it failed, one line each
    """

    backend: str
    precision: str
    state: ParityState
    device: str = ""
    reason: str = ""
    comparison: Comparison | None = None
    failures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ParityReport:
    """A comparison.

    Attributes
    ----------
    engine_id : which engine
    reference : back end and precision
    reference_note : why it is not ONNX Runtime; empty = it is
    undecoded : why findings were not compared; empty = they were
    seed : of the random inputs
    rows : in the order of the back ends
    """

    engine_id: str
    reference: tuple[str, str]
    reference_note: str
    undecoded: str
    seed: int
    rows: tuple[ParityRow, ...]

    @property
    def compared(self) -> tuple[ParityRow, ...]:
        """The rows that passed or failed."""
        return tuple(row for row in self.rows if row.state in (ParityState.PASSED, ParityState.FAILED))

    @property
    def ok(self) -> bool:
        """True when something was compared and nothing failed."""
        return bool(self.compared) and all(row.state is ParityState.PASSED for row in self.compared)


def check_parity(
    spec: EngineSpec,
    backends: Iterable[str] | None = None,
    precisions: Iterable[str] = PRECISIONS,
    *,
    decode: Decoder | None = None,
    threads: int = 0,
    seed: int = 0,
) -> ParityReport:
    """Compare every back end that can run here with the reference, in every precision. No plan is built.

    Parameters
    ----------
    spec : from ``find_engine``
    backends : what to compare; None = all
    precisions : likewise; of several those that the engine has
    decode : reads findings from outputs; None = tensors only
    threads : CPU threads; 0 = as many as the process may use
    seed : of the random inputs

    Raises
    ------
    EngineNotFoundError
        If there is no back end of that name.
    UsageError
        If there is no precision of that name.
    BackendUnavailableError
        If no back end can be the reference here; the message says why each cannot.
    EngineError
        If the reference fails on the golden input.
    """
    precisions = tuple(precisions)
    unknown = [name for name in precisions if name not in PRECISIONS]
    if unknown:
        raise UsageError(f"no precision {unknown[0]}; known: all, {', '.join(sorted(PRECISIONS))}")
    wanted = [name for name in precisions if len(precisions) == 1 or name in spec.precisions]
    pairs = [(backend, precision) for backend in backends or list_backends() for precision in wanted]
    reasons = {(backend, precision): why_not(backend, spec, precision) for backend, precision in pairs}
    reference, note = open_reference(spec, threads)
    with reference:
        golden = next(probes(spec, seed))
        undecoded = "" if decode is not None else "no decoder knows its outputs"
        if decode is not None and not len(decode(reference.infer(golden.inputs))):
            undecoded = "the reference finds nothing in the golden input; store one that shows something"
        rows = [_row(spec, *pair, reasons[pair], reference, decode, threads, seed) for pair in pairs]
    return ParityReport(
        engine_id=spec.engine_id,
        reference=(reference.runtime, reference.precision),
        reference_note=note,
        undecoded=undecoded,
        seed=seed,
        rows=tuple(rows),
    )


def open_reference(spec: EngineSpec, threads: int = 0) -> tuple[Engine, str]:
    """Open the reference: ONNX Runtime on the CPU, else the next back end that runs the parent.

    Returns
    -------
    engine : open, in the precision of the parent
    note : why it is not ONNX Runtime; empty when it is

    Raises
    ------
    BackendUnavailableError
        If none can run here; the message says why each cannot.
    """
    on_cpu = [name for name, row in BACKENDS.items() if row.device == "cpu" and name != "onnxruntime"]
    others = [name for name, row in BACKENDS.items() if row.device == "cuda"]
    reasons: list[str] = []
    for name in ("onnxruntime", *on_cpu, *others):
        try:
            return load_engine(spec, name, threads, spec.precision), reasons[0] if reasons else ""
        except EngineError as error:
            reasons.append(f"{name}: {error}")
    raise BackendUnavailableError(f"nothing can be the reference for {spec.engine_id}: {' | '.join(reasons)}")


def _row(
    spec: EngineSpec,
    backend: str,
    precision: str,
    reason: str | None,
    reference: Engine,
    decode: Decoder | None,
    threads: int,
    seed: int,
) -> ParityRow:
    def row(state: ParityState, **more: Any) -> ParityRow:
        return ParityRow(backend=backend, precision=precision, state=state, **more)

    if backend == "null":
        return row(ParityState.COMPUTES_NOTHING, reason=COMPUTES_NOTHING)
    if reason is not None:
        return row(ParityState.NOT_AVAILABLE, reason=reason)
    try:
        engine = load_engine(spec, backend, threads, precision)
    except BackendUnavailableError as error:
        return row(ParityState.NOT_AVAILABLE, reason=str(error))
    except EngineError as error:
        return row(ParityState.FAILED, failures=(str(error),))
    with engine:
        comparison = compare(engine, reference, decode, seed)
        state = ParityState.FAILED if comparison.failures else ParityState.PASSED
        return row(state, device=engine.device, comparison=comparison, failures=comparison.failures)
