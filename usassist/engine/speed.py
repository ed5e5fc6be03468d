"""Which back end on the processor answers right here, and which of those is the fastest: measured, and kept.

Which is the fastest cannot be known beforehand: between FP32 on two runtimes it changes with the processor, and INT8 is
worth little without instructions for it, or answers wrong. So the candidates take turns on the golden input, as in
``usassist engine bench``, and the order is kept in the cache for this machine, these libraries and this engine. What
misses its golden output comes last, and is asked again only when something of that changes.

A start never waits for it. :class:`usassist.engine.failover.FailoverEngine` begins with the order that is kept, else
with that of the table, and has the order measured by a process beside the stream where none is kept; ``usassist
doctor`` measures where none is kept, ``usassist engine bench`` always. GPUs keep the order of the table, in front.
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
from usassist.engine.bench import BenchReport, bench
from usassist.engine.cache import open_cache
from usassist.engine.entry import file_sha256
from usassist.engine.registry import BACKENDS, Pair, candidates, requires
from usassist.engine.spec import EngineSpec
from usassist.errors import CacheError

__all__ = ["Speed", "Speeds", "by_speed", "load_speeds", "measure_speeds", "speed_pairs"]

logger = logging.getLogger(__name__)

_LEFT_OUT = ("torch",)  # slow to import, and twice as slow as the others wherever it was timed
_COUNT = 30  # inferences of each that count
_EQUAL = 1.1  # times as long as the fastest: the same measurement an hour later may have them change places
_STEADY = 0.25  # spread of the rounds, in parts of the median, beyond which the machine was not the same throughout


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
    """What was measured.

    Attributes
    ----------
    measured : when, UTC
    threads : CPU threads
    steady : the rounds agree with each other, so that the order can be relied on; only then it is kept
    rows : those that answer right, the fastest first, or the first of the table where two differ by less than a tenth;
        then the others
    """

    measured: str
    threads: int
    steady: bool
    rows: tuple[Speed, ...]

    def find(self, pair: Pair) -> Speed | None:
        """What was measured of a back end and precision; None = nothing."""
        return next((row for row in self.rows if row.pair == pair), None)


def speed_pairs(spec: EngineSpec) -> list[Pair]:
    """What is measured: everything that ``auto`` may take on the processor, except what is known to be slow."""
    pairs = candidates(spec)
    return [pair for pair in pairs if BACKENDS[pair[0]].device == "cpu" and pair[0] not in _LEFT_OUT]


def load_speeds(spec: EngineSpec, threads: int = 0) -> Speeds | None:
    """What is kept for this machine; None when nothing is, or the cache cannot be used.

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
        logger.info("what was measured of %s cannot be read: %s", spec.engine_id, error)
    except (ValueError, TypeError, KeyError) as error:
        logger.info("what was measured of %s is not used: %s", spec.engine_id, error)
        with contextlib.suppress(CacheError):
            open_cache().forget(key)
    return None


def measure_speeds(spec: EngineSpec, threads: int = 0, *, clock: Callable[[], float] = time.perf_counter) -> Speeds:
    """Let the candidates on the processor take turns, about a second each, and keep their order.

    An order of rounds that differ too much, on a machine that is busy by fits and starts, is given back and not kept.

    Parameters
    ----------
    threads : CPU threads; 0 = as many as the process may use
    clock : seconds, rising

    Raises
    ------
    BackendUnavailableError
        If none of the candidates can run here; the message says why each cannot.
    """
    pairs = speed_pairs(spec)
    report = bench(spec, pairs=pairs, threads=threads, count=_COUNT, clock=clock)
    speeds = _from_report(report, pairs, threads)
    if not speeds.steady:
        logger.info("the order of back ends for %s is not kept: this machine is busy", spec.engine_id)
        return speeds
    facts = {"kind": "speed", "engine": spec.engine_id}
    try:
        open_cache().store(_key(spec, threads), json.dumps(dataclasses.asdict(speeds)).encode(), facts)
    except CacheError as error:
        logger.info("the order of back ends for %s cannot be kept: %s", spec.engine_id, error)
    return speeds


def by_speed(spec: EngineSpec, pairs: list[Pair], threads: int = 0) -> list[Pair]:
    """Put candidates into the order in which they are to be tried here; unchanged where no order is kept.

    GPUs stay in front, and what was not measured keeps its place behind what was; what answers wrong comes last.

    Parameters
    ----------
    pairs : from :func:`usassist.engine.registry.candidates`
    threads : CPU threads; 0 = as many as the process may use
    """
    speeds = load_speeds(spec, threads)
    if speeds is None:
        return pairs
    ranks = {row.pair: (2, 0) if row.rejected else (0, place) for place, row in enumerate(speeds.rows)}
    in_front = [pair for pair in pairs if BACKENDS[pair[0]].device == "cuda"]
    ordered = sorted((pair for pair in pairs if pair not in in_front), key=lambda pair: ranks.get(pair, (1, 0)))
    for row in speeds.rows:
        if row.rejected:
            logger.info("%s %s is passed over for %s: %s", *row.pair, spec.engine_id, row.rejected)
    return in_front + ordered


def _key(spec: EngineSpec, threads: int) -> Mapping[str, Any]:
    """Everything that the order depends on."""
    pairs = speed_pairs(spec)
    processor = read_processor()
    modules = dict.fromkeys(name for backend, _ in pairs for name in requires(backend))
    return {
        "kind": "speed",
        "schema": 1,
        "engine_id": spec.engine_id,
        "engine_toml": file_sha256(spec.folder / "engine.toml"),  # with it all artefacts and bounds
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


def _from_report(report: BenchReport, pairs: list[Pair], threads: int) -> Speeds:
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
    """Those that answer right, the fastest first; of those that are as good as equal, the first of the table."""
    left = [row for row in sorted(rows, key=lambda row: table.index(row.pair)) if row.rejected is None]
    ordered: list[Speed] = []
    while left:
        limit = _EQUAL * min(_ratio(row) for row in left)
        ordered.append(next(row for row in left if _ratio(row) <= limit))
        left.remove(ordered[-1])
    return ordered


def _ratio(row: Speed) -> float:
    return math.inf if row.ratio is None else row.ratio
