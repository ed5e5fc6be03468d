"""``usassist bench view``: what people see, at which rate and how late, and what that costs the stream.

Rounds without and with those who look alternate in one run of one stream, so that other load on the machine affects
both alike.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from usassist.app.bench.bench_session import BenchSession
from usassist.app.bench.process_usage import UsageSampler
from usassist.app.bench.result_collector import Results
from usassist.app.bench.setup import Setup

__all__ = ["Seen", "ViewFigures", "measure_view", "published", "shown_frames", "sleep_watching"]

_WARM_UP_S = 5.0
_SETTLE_S = 3.0

Floats = npt.NDArray[np.float64]
Span = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Frames that came to one place.

    Attributes
    ----------
    rate_hz : frames a second
    p50_ms, p95_ms, p99_ms, max_ms : from capture to there
    frames : in all rounds together
    """

    rate_hz: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    frames: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewFigures:
    """What was measured.

    Attributes
    ----------
    source : address of the loop
    rounds, seconds : of each kind, and how long each took
    stream_alone, stream_beside : published results, without and with those who look
    shown : ``window``, ``viewer 1``, … → frames shown there
    cpu_percent : process → of one processor, in the rounds with those who look
    dropped : frames that the engine was too busy for, without and with those who look
    """

    source: str
    rounds: int
    seconds: float
    stream_alone: Seen
    stream_beside: Seen
    shown: dict[str, Seen]
    cpu_percent: dict[str, float]
    dropped: tuple[int, int]

    @property
    def ratio_p99(self) -> float:
        """p99 of the stream with those who look, to that without."""
        return self.stream_beside.p99_ms / self.stream_alone.p99_ms


def measure_view(
    setup: Setup, *, viewers: int, rounds: int, seconds: float, log: Callable[[str], None] = lambda line: None
) -> ViewFigures:
    """Run a live session, and in every second round a window and viewers of the page.

    Parameters
    ----------
    setup : without viewers and overlay
    viewers : of the page
    rounds : of each kind
    seconds : of each round

    Raises
    ------
    UsAssistError
        If a process cannot be started, or exits; also where there is no display.
    """
    spans: dict[bool, list[Span]] = {False: [], True: []}
    reports: dict[str, list[Mapping[str, Any]]] = {}
    with tempfile.TemporaryDirectory(prefix="usassist-bench-") as folder, BenchSession(setup, Path(folder)) as bench:
        bench.add_page()
        time.sleep(_WARM_UP_S)
        with UsageSampler(bench.processes) as sampler:
            for place in range(2 * rounds):
                beside = place % 2 == 1
                names = [bench.add_window(), *(bench.add_viewer() for _ in range(viewers))] if beside else []
                time.sleep(_SETTLE_S)
                begin_ns = time.monotonic_ns()
                sleep_watching(bench, seconds)
                spans[beside].append((begin_ns, time.monotonic_ns()))
                for number, name in enumerate(names):
                    bench.remove(name)
                    shown_as = f"viewer {number}" if number else "window"
                    reports.setdefault(shown_as, []).append(bench.final_reports[name])
                log(f"round {place + 1} of {2 * rounds}, {'with' if beside else 'without'} window and viewers")
            usage = [sampler.usage(*span) for span in spans[True]]
        bench.shut_down()
        results = bench.collector.results()
    return ViewFigures(
        source=setup.source,
        rounds=rounds,
        seconds=seconds,
        stream_alone=published(results, spans[False]),
        stream_beside=published(results, spans[True]),
        shown={name: shown_frames(of_name, spans[True]) for name, of_name in reports.items()},
        cpu_percent={
            name: round(float(np.mean([item[name].cpu_percent for item in usage if name in item])), 1)
            for name in sorted({name for item in usage for name in item})
        },
        dropped=(_dropped(results, spans[False]), _dropped(results, spans[True])),
    )


def sleep_watching(bench: BenchSession, seconds: float) -> None:
    """Sleep, and check the processes meanwhile."""
    deadline_s = time.monotonic() + seconds
    while (left_s := deadline_s - time.monotonic()) > 0:
        time.sleep(min(0.25, left_s))
        bench.check()


def published(results: Results, spans: Iterable[Span]) -> Seen:
    """Results that the stream published, by when their frames were captured."""
    answered = results.where(results.t_output_ns >= 0)
    captured_ms = answered.t_capture_ns / 1e6
    return _seen(captured_ms, answered.t_publish_ns / 1e6 - captured_ms, spans)


def shown_frames(reports: Iterable[Mapping[str, Any]], spans: Iterable[Span]) -> Seen:
    """Frames that came to one place, from its reports with ``captured_ms`` and ``latency_ms``."""
    captured_ms, latency_ms = (
        np.concatenate([np.array(report[key], np.float64) for report in reports])
        for key in ("captured_ms", "latency_ms")
    )
    return _seen(captured_ms, latency_ms, spans)


def _dropped(results: Results, spans: Iterable[Span]) -> int:
    return sum(int((one.t_output_ns < 0).sum()) for one in (results.between(*span) for span in spans))


def _seen(captured_ms: Floats, latency_ms: Floats, spans: Iterable[Span]) -> Seen:
    spans = list(spans)
    inside = np.zeros(len(captured_ms), bool)
    for begin_ns, end_ns in spans:
        inside |= (captured_ms >= begin_ns / 1e6) & (captured_ms < end_ns / 1e6)
    seconds = sum(end_ns - begin_ns for begin_ns, end_ns in spans) / 1e9
    latencies = latency_ms[inside]
    if not len(latencies):
        return Seen(rate_hz=0.0, p50_ms=np.nan, p95_ms=np.nan, p99_ms=np.nan, max_ms=np.nan, frames=0)
    p50, p95, p99 = (round(float(value), 2) for value in np.percentile(latencies, (50, 95, 99)))
    return Seen(
        rate_hz=round(len(latencies) / seconds, 2),
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        max_ms=round(float(latencies.max()), 2),
        frames=len(latencies),
    )
