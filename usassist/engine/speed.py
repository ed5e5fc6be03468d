"""The order of the back ends on the processor: fastest first of those that meet the golden output; measured and cached.

The fastest cannot be predicted: in FP32 it depends on the processor, and INT8 gains little without instructions for it,
or computes wrong values. So the candidates take turns on the golden input, as in ``usassist engine bench``, and the
order is cached for this machine, these libraries and this engine. A candidate that misses its golden output comes last,
and is measured again only when one of these changes.

A start never waits for a measurement. :class:`usassist.engine.failover.FailoverEngine` starts with the cached order,
else with that of the table, and then measures in a process beside the stream; ``usassist doctor`` measures where no
order is cached, ``usassist engine bench`` always. GPUs come first, in the order of the table.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import json
import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from usassist.common.process_tuning import usable_cpus
from usassist.common.processor import read_processor
from usassist.engine.cache import open_cache
from usassist.engine.cache_entry import file_sha256
from usassist.engine.registry import Pair, candidates, device_of, get_backend
from usassist.engine.spec import EngineSpec
from usassist.engine.timing import TimingReport, time_variants
from usassist.errors import CacheError

__all__ = ["Speed", "Speeds", "by_speed", "load_speeds", "measure_speeds", "speed_pairs"]

logger = logging.getLogger(__name__)

_LEFT_OUT = ("torch",)  # slow to import, and twice as slow as the others wherever it was timed
_COUNT = 30  # timed inferences of each
_EQUAL = 1.1  # times the fastest: within this, a repeated measurement may swap them
_STEADY = 0.25  # largest spread of the rounds, as a fraction of the median, of a measurement that can be trusted


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """One back end in one precision, on this processor.

    Attributes
    ----------
    backend, precision : what was timed
    p50_ms : median time of an inference; None = it does not run
    ratio : against FP32 on ONNX Runtime in the same round, less is faster; None = it does not run
    rejected : why it must not be used here; None = it may
    """

    backend: str
    precision: str
    p50_ms: float | None
    ratio: float | None
    rejected: str | None

    @property
    def pair(self) -> Pair:
        """Back end and precision."""
        return self.backend, self.precision


@dataclass(frozen=True, slots=True, kw_only=True)
class Speeds:
    """One measurement.

    Attributes
    ----------
    measured : when, UTC
    threads : CPU threads
    steady : the rounds agree with each other, so the order can be trusted; only then it is cached
    rows : those that meet the golden output, fastest first, in the order of the table where two differ by less than a
        tenth; then the others
    """

    measured: str
    threads: int
    steady: bool
    rows: tuple[Speed, ...]

    def find(self, pair: Pair) -> Speed | None:
        """The row of a back end and precision; None = it was not measured."""
        return next((row for row in self.rows if row.pair == pair), None)


def speed_pairs(spec: EngineSpec) -> list[Pair]:
    """What is measured: everything that ``auto`` may take on the processor, except what is known to be slow."""
    pairs = candidates(spec)
    return [pair for pair in pairs if device_of(pair[0]) == "cpu" and pair[0] not in _LEFT_OUT]


def load_speeds(spec: EngineSpec, threads: int = 0) -> Speeds | None:
    """The cached order of this machine; None when there is none, or the cache cannot be used.

    Parameters
    ----------
    threads : CPU threads; 0 = as many as the process may use
    """
    key = _key(spec, threads)
    try:
        entry = open_cache().load(key)
        if entry is None:
            return None
        document = json.loads(entry.content)
        return Speeds(**document | {"rows": tuple(Speed(**row) for row in document["rows"])})
    except CacheError as error:
        logger.info("the order of back ends for %s cannot be read: %s", spec.engine_id, error)
    except (ValueError, TypeError, KeyError) as error:
        logger.info("the cached order of back ends for %s is not used: %s", spec.engine_id, error)
        with contextlib.suppress(CacheError):
            open_cache().forget(key)
    return None


def measure_speeds(spec: EngineSpec, threads: int = 0, *, clock: Callable[[], float] = time.perf_counter) -> Speeds:
    """Let the candidates on the processor take turns, about a second each, and cache their order.

    When the rounds differ too much, because the load of the machine varies, the order is returned and not cached.

    Parameters
    ----------
    threads : CPU threads; 0 = as many as the process may use
    clock : seconds, monotonic

    Raises
    ------
    BackendUnavailableError
        If none of the candidates can run here; the message says why each cannot.
    """
    pairs = speed_pairs(spec)
    report = time_variants(spec, pairs=pairs, threads=threads, count=_COUNT, clock=clock)
    speeds = _from_report(report, pairs, threads)
    if not speeds.steady:
        logger.info("the order of back ends for %s is not cached: the load of this machine varies", spec.engine_id)
        return speeds
    facts = {"kind": "speed", "engine": spec.engine_id}
    try:
        open_cache().store(_key(spec, threads), json.dumps(dataclasses.asdict(speeds)).encode(), facts)
    except CacheError as error:
        logger.info("the order of back ends for %s cannot be cached: %s", spec.engine_id, error)
    return speeds


def by_speed(spec: EngineSpec, pairs: list[Pair], threads: int = 0) -> list[Pair]:
    """Sort candidates into the cached order; unchanged where none is cached.

    GPUs stay first, what was not measured comes after what was, and what misses its golden output comes last.

    Parameters
    ----------
    pairs : from :func:`usassist.engine.registry.candidates`
    threads : CPU threads; 0 = as many as the process may use
    """
    speeds = load_speeds(spec, threads)
    if speeds is None:
        return pairs
    ranks = {row.pair: (2, 0) if row.rejected else (0, place) for place, row in enumerate(speeds.rows)}
    in_front = [pair for pair in pairs if device_of(pair[0]) == "cuda"]
    ordered = sorted((pair for pair in pairs if pair not in in_front), key=lambda pair: ranks.get(pair, (1, 0)))
    for row in speeds.rows:
        if row.rejected:
            logger.info("%s %s is skipped for %s: %s", *row.pair, spec.engine_id, row.rejected)
    return in_front + ordered


def _key(spec: EngineSpec, threads: int) -> Mapping[str, Any]:
    """Everything that the order depends on."""
    pairs = speed_pairs(spec)
    processor = read_processor()
    modules = dict.fromkeys(name for backend, _ in pairs for name in get_backend(backend).requires)
    return {
        "kind": "speed",
        "schema": 1,
        "engine_id": spec.engine_id,
        "engine_toml": file_sha256(spec.folder / "engine.toml"),  # with it all artifacts and bounds
        "pairs": [" ".join(pair) for pair in pairs],
        "threads": threads or usable_cpus(),
        "usable": usable_cpus(),
        "runtime": {
            "libraries": {name: _version(name) for name in modules},
            "processor": [processor.vendor, processor.name, processor.generation, *processor.features],
            "limits": list(processor.limits),
        },
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _from_report(report: TimingReport, pairs: list[Pair], threads: int) -> Speeds:
    rows = [
        Speed(
            backend=item.backend,
            precision=item.precision,
            p50_ms=round(item.p50_ms, 3),
            ratio=round(item.ratio, 3),
            rejected=item.rejected,
        )
        for item in report.variants
    ]
    rows += [
        Speed(backend=item.backend, precision=item.precision, p50_ms=None, ratio=None, rejected=item.reason)
        for item in report.left_out
    ]
    return Speeds(
        measured=datetime.now(UTC).isoformat(timespec="seconds"),
        threads=threads or usable_cpus(),
        steady=all(item.ratio_spread <= _STEADY for item in report.variants if item.rejected is None),
        rows=(*_in_order(rows, pairs), *(row for row in rows if row.rejected is not None)),
    )


def _in_order(rows: list[Speed], table: list[Pair]) -> list[Speed]:
    """Those that meet the golden output, fastest first; of those that are about equal, the first of the table."""
    left = [row for row in sorted(rows, key=lambda row: table.index(row.pair)) if row.rejected is None]
    ordered: list[Speed] = []
    while left:
        limit = _EQUAL * min(_ratio(row) for row in left)
        ordered.append(next(row for row in left if _ratio(row) <= limit))
        left.remove(ordered[-1])
    return ordered


def _ratio(row: Speed) -> float:
    return math.inf if row.ratio is None else row.ratio
