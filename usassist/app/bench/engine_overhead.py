"""What the engine layer costs over calling OpenVINO directly: ``usassist engine bench NAME --overhead``.

Both run the same file with the same options, each compiled on its own, and take turns, one inference each, the first of
a round being the second of the next, so that other load on the machine affects both alike. Times of the same round are
compared. The layer's own work (checks of inputs and outputs, dictionaries) is timed separately too, with a back end
that returns a stored answer; its code and data are then still in the caches, which an inference evicts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from usassist.engine import EngineSpec
from usassist.engine.base import Engine
from usassist.engine.opening import artifact_path
from usassist.engine.probe import golden_input
from usassist.engine.registry import open_engine, why_not
from usassist.errors import BackendUnavailableError

__all__ = ["Overhead", "measure_overhead", "measure_overheads"]

Array = npt.NDArray[Any]
Infer = Callable[[Mapping[str, Array]], Mapping[str, Array]]

_ALONE = 1000  # calls with a stored answer
_DRAWS = 2000
_BACKEND = "openvino"


@dataclass(frozen=True, slots=True, kw_only=True)
class Overhead:
    """One precision.

    Attributes
    ----------
    precision : of the file
    direct_p50_ms, layer_p50_ms : median over all inferences, without and with the layer
    ratio : layer to direct, median over the rounds; `ratio_low` to `ratio_high` is its 95 % interval
    difference_ms : layer less direct, likewise
    own_ms : the layer's own work, median over calls with a stored answer
    rounds : inferences of each
    """

    precision: str
    direct_p50_ms: float
    layer_p50_ms: float
    ratio: float
    ratio_low: float
    ratio_high: float
    difference_ms: float
    difference_low_ms: float
    difference_high_ms: float
    own_ms: float
    rounds: int


def measure_overheads(spec: EngineSpec, *, threads: int, seconds: float) -> tuple[Overhead, ...]:
    """Measure every precision of an engine that OpenVINO can run here, for `seconds` in all.

    Raises
    ------
    BackendUnavailableError
        If OpenVINO can run none of them.
    EngineError
        If one of them cannot be opened.
    """
    reasons = {precision: why_not(_BACKEND, spec, precision) for precision in spec.precisions}
    able = [precision for precision, reason in reasons.items() if reason is None]
    if not able:
        raise BackendUnavailableError(f"the overhead is measured with OpenVINO: {next(iter(reasons.values()))}")
    inputs = golden_input(spec)
    done = []
    for precision in able:
        direct = _direct(spec, precision, threads)
        with open_engine(spec, _BACKEND, threads, precision) as engine:
            own_ms = _own_work_ms(engine, inputs)
            done.append(measure_overhead(precision, direct, engine.infer, inputs, own_ms, seconds=seconds / len(able)))
    return tuple(done)


def measure_overhead(
    precision: str,
    direct: Infer,
    layer: Infer,
    inputs: Mapping[str, Array],
    own_ms: float,
    *,
    seconds: float,
    clock: Callable[[], float] = time.perf_counter,
) -> Overhead:
    """Run the same model in two ways that take turns for `seconds`, two rounds at least.

    Intervals are from a bootstrap over rounds, the same rounds of both (Efron and Tibshirani 1993, 13.3).
    """
    both = (direct, layer)
    for infer in both * 2:
        infer(inputs)
    times_ms: tuple[list[float], list[float]] = ([], [])
    order, end_s = [0, 1], clock() + seconds
    while len(times_ms[0]) < 2 or clock() < end_s:
        for index in order:
            times_ms[index].append(_timed_ms(both[index], inputs, clock))
        order.reverse()
    direct_ms, layer_ms = (np.array(item) for item in times_ms)
    ratios, differences = layer_ms / direct_ms, layer_ms - direct_ms
    drawn = np.random.default_rng(0).integers(len(ratios), size=(_DRAWS, len(ratios)))
    ratio_low, ratio_high = np.percentile(np.median(ratios[drawn], axis=1), [2.5, 97.5])
    low_ms, high_ms = np.percentile(np.median(differences[drawn], axis=1), [2.5, 97.5])
    return Overhead(
        precision=precision,
        direct_p50_ms=float(np.median(direct_ms)),
        layer_p50_ms=float(np.median(layer_ms)),
        ratio=float(np.median(ratios)),
        ratio_low=float(ratio_low),
        ratio_high=float(ratio_high),
        difference_ms=float(np.median(differences)),
        difference_low_ms=float(low_ms),
        difference_high_ms=float(high_ms),
        own_ms=own_ms,
        rounds=len(ratios),
    )


def _direct(spec: EngineSpec, precision: str, threads: int) -> Infer:
    """OpenVINO called directly: same file, same options, inputs shared, outputs read."""
    import openvino

    from usassist.engine.backends.openvino import compile_options

    path = artifact_path(spec, _BACKEND, precision)
    model = openvino.Core().compile_model(str(path), "CPU", compile_options(spec, threads))
    request = model.create_infer_request()
    names = [port.any_name for port in model.outputs]

    def infer(inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        request.infer(inputs, share_inputs=True)
        return {name: request.get_output_tensor(index).data for index, name in enumerate(names)}

    return infer


@dataclass(slots=True, kw_only=True)
class _Ready:
    """A session that returns a stored answer."""

    inputs: dict[str, tuple[str, tuple[int | None, ...]]]
    outputs: dict[str, tuple[str, tuple[int | None, ...]]]
    answer: dict[str, Array]
    device: str = "none"

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        return self.answer

    def close(self) -> None:
        pass


def _own_work_ms(engine: Engine, inputs: Mapping[str, Array]) -> float:
    answer = {name: array.copy() for name, array in engine.infer(inputs).items()}
    ends = [{name: (array.dtype.name, array.shape) for name, array in part.items()} for part in (inputs, answer)]
    ready = Engine(engine.spec, engine.runtime, _Ready(inputs=ends[0], outputs=ends[1], answer=answer))
    return float(np.median([_timed_ms(ready.infer, inputs, time.perf_counter) for _ in range(_ALONE)]))


def _timed_ms(infer: Infer, inputs: Mapping[str, Array], clock: Callable[[], float]) -> float:
    start_s = clock()
    infer(inputs)
    return 1e3 * (clock() - start_s)
