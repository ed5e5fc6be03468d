"""``usassist bench isolation``: what stalled readers cost the stream and its other readers.

Rounds with and without stalled readers alternate in one run of one stream, so that other load on the machine affects
both alike.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from usassist.app.bench.bench_session import BenchSession
from usassist.app.bench.process_usage import Usage, UsageSampler
from usassist.app.bench.result_collector import Results
from usassist.app.bench.setup import Setup

__all__ = ["IsolationFigures", "measure_isolation", "ratio_interval"]

_SETTLE_S = 2.0
_WARM_UP_S = 5.0
_DRAWS = 2000
_MAX_RATIO = 1.10
_MAX_GROWTH_MB = 64.0


@dataclass(frozen=True, slots=True, kw_only=True)
class IsolationFigures:
    """What was measured.

    Attributes
    ----------
    stalled : number of stalled readers
    rounds : of each kind
    alone_p50_ms, alone_p99_ms, beside_p50_ms, beside_p99_ms : capture to published result, without and beside them
    ratio_p99 : beside to alone; `ratio_low` to `ratio_high` is its 95 % interval, by bootstrap over rounds
    growth_mb : memory of the stream at its most beside them, over its most in the first round without, MiB
    recorder_gaps : messages that the recorder, which does not stall, has missed
    """

    stalled: int
    rounds: int
    alone_p50_ms: float
    alone_p99_ms: float
    beside_p50_ms: float
    beside_p99_ms: float
    ratio_p99: float
    ratio_low: float
    ratio_high: float
    growth_mb: float
    recorder_gaps: int

    @property
    def broken(self) -> list[str]:
        """Which of the two limits is broken; that of the ratio where its whole interval lies above."""
        broken = ["p99"] if self.ratio_low > _MAX_RATIO else []
        return broken + (["memory"] if self.growth_mb > _MAX_GROWTH_MB else [])


def measure_isolation(
    setup: Setup, *, stalled: int, rounds: int, seconds: float, log: Callable[[str], None] = lambda line: None
) -> IsolationFigures:
    """Run a live session, with and without stalled readers in turn.

    Parameters
    ----------
    setup : without stalled readers
    stalled : how many in every second round
    rounds : of each kind, at least two
    seconds : of each round

    Raises
    ------
    UsAssistError
        If a process cannot be started, or exits.
    """
    windows: dict[bool, list[tuple[int, int]]] = {False: [], True: []}
    with tempfile.TemporaryDirectory(prefix="usassist-bench-") as folder, BenchSession(setup, Path(folder)) as bench:
        time.sleep(_WARM_UP_S)
        with UsageSampler(bench.processes) as sampler:
            for place in range(2 * rounds):
                beside = place % 2 == 1
                names = bench.add_stalled(stalled) if beside else []
                time.sleep(_SETTLE_S)
                begin_ns = time.monotonic_ns()
                time.sleep(seconds)
                bench.check()
                windows[beside].append((begin_ns, time.monotonic_ns()))
                for name in names:
                    bench.remove(name)
                log(f"round {place + 1} of {2 * rounds}, {len(names)} stalled readers")
            usage = {beside: [sampler.usage(*window)["stream"] for window in windows[beside]] for beside in windows}
        bench.shut_down()
        results = bench.collector.results()
        gaps = sum(bench.final_reports["record"]["gaps"].values()) if setup.record else 0
    alone, near = ([_totals_ms(results, window) for window in windows[beside]] for beside in (False, True))
    ratio, low, high = ratio_interval(alone, near)
    return IsolationFigures(
        stalled=stalled,
        rounds=rounds,
        alone_p50_ms=_percentile(alone, 50),
        alone_p99_ms=_percentile(alone, 99),
        beside_p50_ms=_percentile(near, 50),
        beside_p99_ms=_percentile(near, 99),
        ratio_p99=ratio,
        ratio_low=low,
        ratio_high=high,
        growth_mb=_growth_mb(usage),
        recorder_gaps=gaps,
    )


def ratio_interval(
    alone: list[npt.NDArray[np.float64]], beside: list[npt.NDArray[np.float64]]
) -> tuple[float, float, float]:
    """Ratio of the 99th percentiles, and its 95 % interval.

    By bootstrap over whole rounds (Efron and Tibshirani 1993, 13.3).
    """
    rng = np.random.default_rng(0)

    def ratio(places_alone: npt.NDArray[Any], places_beside: npt.NDArray[Any]) -> float:
        drawn = [
            np.concatenate([times[place] for place in places])
            for times, places in ((alone, places_alone), (beside, places_beside))
        ]
        return float(np.percentile(drawn[1], 99) / np.percentile(drawn[0], 99))

    draws = [
        ratio(rng.integers(len(alone), size=len(alone)), rng.integers(len(beside), size=len(beside)))
        for _ in range(_DRAWS)
    ]
    low, high = np.percentile(draws, [2.5, 97.5])
    return ratio(np.arange(len(alone)), np.arange(len(beside))), float(low), float(high)


def _totals_ms(results: Results, window: tuple[int, int]) -> npt.NDArray[np.float64]:
    inside = results.between(*window)
    asked = inside.where(inside.t_start_ns >= 0)
    return (asked.t_publish_ns - asked.t_capture_ns) / 1e6


def _percentile(times_ms: list[npt.NDArray[np.float64]], percent: float) -> float:
    return round(float(np.percentile(np.concatenate(times_ms), percent)), 3)


def _growth_mb(usage: dict[bool, list[Usage]]) -> float:
    """Peak memory beside stalled readers, less the peak before there were any."""
    most = max(item.rss_peak_mb for item in usage[True])
    return round(most - usage[False][0].rss_peak_mb, 1)
