"""``usassist bench live``: how long a frame takes through a live session, and what that costs."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from usassist.app.bench.bench_session import BenchSession
from usassist.app.bench.calibration import Calibration, calibrate
from usassist.app.bench.figures import Accounts, account_for, count_gaps, percentiles, stage_times_ns
from usassist.app.bench.process_usage import Usage, UsageSampler, busy_s
from usassist.app.bench.result_collector import IntArray, Results, read_frame_times
from usassist.app.bench.setup import Setup
from usassist.common.latency import STAGES

__all__ = ["LiveFigures", "measure_live"]

Log = Callable[[str], None]

_POLL_S = 0.25
_STRAGGLERS_S = 0.5
_CALIBRATION_S = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveFigures:
    """What was measured.

    Attributes
    ----------
    setup : what ran
    seconds : measured, after the warm-up
    stages : stage → ``count``, ``p50_ms``, ``p95_ms``, ``p99_ms``, ``max_ms``; see ``usassist.common.latency``
    accounts : what became of the frames
    usage : of every process, in the interval measured
    others_percent : of one processor, used by other programs meanwhile; much of it makes all figures worse
    recorded : ``frames``, ``results``, ``gaps`` and ``bytes`` of the whole recording; None without one
    before, after : calibration of the machine
    stream : summary of the stream, warm-up included
    """

    setup: Setup
    seconds: float
    stages: dict[str, dict[str, float]]
    accounts: Accounts
    usage: dict[str, Usage]
    others_percent: float
    recorded: dict[str, Any] | None
    before: Calibration
    after: Calibration
    stream: dict[str, Any]

    @property
    def calibration_ms(self) -> float:
        """Median of the calibration work, before and after together."""
        return (self.before + self.after).median_ms

    @property
    def drift_percent(self) -> float:
        """How much slower the machine was after the run than before."""
        return 100.0 * (self.after.median_ms / self.before.median_ms - 1.0)

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "setup": dataclasses.asdict(self.setup),
            "seconds": round(self.seconds, 3),
            "stages": self.stages,
            "accounts": dataclasses.asdict(self.accounts),
            "usage": {name: dataclasses.asdict(usage) for name, usage in self.usage.items()},
            "others_percent": self.others_percent,
            "recorded": self.recorded,
            "calibration": {
                "median_ms": round(self.calibration_ms, 4),
                "before": self.before.as_dict(),
                "after": self.after.as_dict(),
                "drift_percent": round(self.drift_percent, 2),
            },
            "stream": self.stream,
        }


def measure_live(setup: Setup, *, seconds: float, warm_up_s: float = 5.0, log: Log = lambda line: None) -> LiveFigures:
    """Run a live session, and measure it after a warm-up.

    Raises
    ------
    UsAssistError
        If a process cannot be started, or exits.
    """
    log("calibrating: how fast this machine is now")
    before = calibrate(_CALIBRATION_S)
    with tempfile.TemporaryDirectory(prefix="usassist-bench-") as folder, BenchSession(setup, Path(folder)) as bench:
        pids = ", ".join(f"{name} {pid}" for name, pid in bench.processes().items())
        log(f"{setup.source}; processes: {pids}")
        window = _watch(bench, seconds=seconds, warm_up_s=warm_up_s)
        stream = bench.shut_down()
        frames = read_frame_times(bench.folders[0]) if setup.record else None
        recorded = _recorded(bench) if setup.record else None
        everything = bench.collector.results()
        skipped = _skipped(bench)
        gaps, reports = bench.collector.gaps, bench.final_reports
    after = calibrate(_CALIBRATION_S)
    results = everything.between(window.begin_ns, window.end_ns)
    stages = _stages(results, frames) | _sink_stages(reports, window.begin_ns, window.end_ns)
    return LiveFigures(
        setup=setup,
        seconds=(window.end_ns - window.begin_ns) / 1e9,
        stages=stages,
        accounts=account_for(
            results,
            rate_hz=setup.fps,
            gaps=gaps,
            frame_gaps=0 if frames is None else count_gaps(frames["seq"]),
            frame_ids=None if frames is None else frames["frame_id"],
            skipped=skipped,
        ),
        usage=window.usage,
        others_percent=window.others_percent,
        recorded=recorded,
        before=before,
        after=after,
        stream=stream,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Window:
    begin_ns: int
    end_ns: int
    usage: dict[str, Usage]
    others_percent: float


def _watch(bench: BenchSession, *, seconds: float, warm_up_s: float) -> _Window:
    _sleep(bench, warm_up_s)
    with UsageSampler(bench.processes) as sampler:
        begin_ns, others_s = time.monotonic_ns(), busy_s() - bench.cpu_s()
        _sleep(bench, seconds)
        end_ns, others_s = time.monotonic_ns(), busy_s() - bench.cpu_s() - others_s
    time.sleep(_STRAGGLERS_S)
    return _Window(
        begin_ns=begin_ns,
        end_ns=end_ns,
        usage=sampler.usage(begin_ns, end_ns),
        others_percent=round(max(0.0, 100e9 * others_s / (end_ns - begin_ns)), 1),
    )


def _sleep(bench: BenchSession, seconds: float) -> None:
    """Sleep, and check the processes meanwhile."""
    deadline_s = time.monotonic() + seconds
    while (left_s := deadline_s - time.monotonic()) > 0:
        time.sleep(min(_POLL_S, left_s))
        bench.check()


def _stages(results: Results, frames: dict[str, IntArray] | None) -> dict[str, dict[str, float]]:
    times = stage_times_ns(results, frames)
    found = {stage: percentiles(values) for stage, values in times.items()}
    order = ("until asked", *STAGES)
    return {stage: found[stage] for stage in order if found.get(stage) is not None}  # type: ignore[misc]


def _sink_stages(reports: dict[str, dict[str, Any]], begin_ns: int, end_ns: int) -> dict[str, dict[str, float]]:
    """Stages ``draw`` and ``browser``, from the final reports of overlay and viewers."""
    stages: dict[str, dict[str, float]] = {}
    for stage, time_key, value_key, prefix in (
        ("draw", "drawn_ms", "draw_ms", "overlay"),
        ("browser", "captured_ms", "latency_ms", "viewer"),
    ):
        contents = [content for name, content in reports.items() if name.startswith(prefix)]
        times = np.concatenate([np.array(content[time_key], np.float64) for content in contents] or [np.empty(0)])
        values = np.concatenate([np.array(content[value_key], np.float64) for content in contents] or [np.empty(0)])
        inside = (times >= begin_ns / 1e6) & (times < end_ns / 1e6)
        summary = percentiles(values[inside], 1.0)
        if summary is not None:
            stages[stage] = summary
    return stages


def _recorded(bench: BenchSession) -> dict[str, Any]:
    report = bench.final_reports["record"]
    size = sum(path.stat().st_size for path in bench.folders[0].rglob("*") if path.is_file())
    return {"frames": report["frames"], "results": report["results"], "gaps": report["gaps"], "bytes": size}


def _skipped(bench: BenchSession) -> int | None:
    """Frames that the source has skipped, by its last session message."""
    session = bench.collector.session
    return None if session is None or session.signal is None else session.signal.skipped
