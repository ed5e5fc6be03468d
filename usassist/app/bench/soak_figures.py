"""Judges a soak: memory, files, threads, latency over time, and every frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from usassist.app.bench.process_usage import UsageSample
from usassist.app.bench.result_collector import Results
from usassist.app.bench.soak import SoakRun

__all__ = ["Block", "Growth", "Judgement", "growth_of", "judge", "latency_blocks"]

_WARM_UP = 0.15  # share of a process's life that does not count
_PART = 0.15  # share of it that counts as its beginning, and as its end
_MIN_SAMPLES = 20
_BLOCKS = 20
_MAX_GROWTH_MB = 5.0
_MAX_DRIFT = 1.15


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """Growth of one process from the end of its warm-up to its end.

    Attributes
    ----------
    growth_mb : of resident memory, MiB: the minimum in the last part less the minimum in the first. Peaks are
        returned soon after; a leak raises the minimum
    rss_end_mb, rss_peak_mb : median at the end, and the most since the warm-up
    fds, threads : fewest open at once, likewise: viewers and reconnections come and go
    samples : that this is known from
    """

    growth_mb: float
    rss_end_mb: float
    rss_peak_mb: float
    fds: int
    threads: int
    samples: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Latency of a part of the run, capture to published result, of answered frames.

    ``work_ms`` is the time of the calibration workload meanwhile; None where it was not timed.
    """

    first_frame: int
    frames: int
    p50_ms: float
    p99_ms: float
    work_ms: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """The judgement.

    Attributes
    ----------
    growth : name of a process → its growth; of recorders, the largest. Processes with too few samples are left out
    blocks : the run in parts of equal length
    drift : median latency of the last quarter to that of the first quarter after the warm-up, both to the time that
        the calibration's work took; None with too few blocks
    broken : limits that do not hold, one line each
    """

    growth: dict[str, Growth]
    blocks: tuple[Block, ...]
    drift: float | None
    broken: tuple[str, ...]


def judge(run: SoakRun) -> Judgement:
    """Compare a run with the limits."""
    growth = {name: item for name, samples in run.samples.items() if (item := _worst(samples)) is not None}
    blocks = latency_blocks(run.results, run.work)
    drift = _drift(blocks)
    broken = [
        f"{name} has grown by {item.growth_mb:.1f} MiB"
        for name, item in growth.items()
        if item.growth_mb >= _MAX_GROWTH_MB
    ]
    for what in ("fds", "threads"):
        name_of = {"fds": "open files", "threads": "threads"}[what]
        broken += [
            f"{name} has {more} {name_of} more" for name, item in growth.items() if (more := getattr(item, what)) > 0
        ]
    if drift is not None and drift > _MAX_DRIFT:
        broken.append(f"the median latency has become {drift:.2f} times as long, for the machine's own speed")
    for count, text in (
        (run.unaccounted, "frames are unaccounted for"),
        (run.results_missing - run.meter_gaps, "results are in no recording"),
        (run.marks_made - run.marks_recorded, "marks are in no recording"),
    ):
        if count > 0:
            broken.append(f"{count} {text}")
    return Judgement(growth=growth, blocks=blocks, drift=drift, broken=tuple(broken))


def _worst(samples: list[UsageSample]) -> Growth | None:
    """The largest growth of the processes that had the same name one after the other."""
    lives: dict[int, list[UsageSample]] = {}
    for sample in samples:
        lives.setdefault(sample.pid, []).append(sample)
    grown = [item for life in lives.values() if (item := growth_of(life)) is not None]
    return max(grown, key=lambda item: (item.growth_mb, item.fds, item.threads), default=None)


def growth_of(samples: list[UsageSample]) -> Growth | None:
    """Growth of one process; None for too few samples."""
    if len(samples) < _MIN_SAMPLES:
        return None
    begin, part = int(_WARM_UP * len(samples)), max(1, int(_PART * len(samples)))
    first, last = samples[begin : begin + part], samples[-part:]

    def least_mb(items: list[UsageSample]) -> float:
        return min(sample.rss_bytes for sample in items) / 2**20

    return Growth(
        growth_mb=round(least_mb(last) - least_mb(first), 2),
        rss_end_mb=round(float(np.median([sample.rss_bytes for sample in last])) / 2**20, 1),
        rss_peak_mb=round(max(sample.rss_bytes for sample in samples[begin:]) / 2**20, 1),
        fds=min(sample.fds for sample in last) - min(sample.fds for sample in first),
        threads=min(sample.threads for sample in last) - min(sample.threads for sample in first),
        samples=len(samples),
    )


def latency_blocks(results: Results, work: list[tuple[int, float]], count: int = _BLOCKS) -> tuple[Block, ...]:
    """The run in `count` parts with equally many answered frames; fewer where there are few."""
    work_ns, work_ms = np.array(work, np.float64).reshape(-1, 2).T
    answered = results.where(results.answered)
    times_ms = (answered.t_publish_ns - answered.t_capture_ns) / 1e6
    blocks = []
    for part in np.array_split(np.arange(len(times_ms)), min(count, max(1, len(times_ms) // 50))):
        if len(part):
            p50, p99 = np.percentile(times_ms[part], [50, 99])
            begin_ns, end_ns = answered.t_publish_ns[part[[0, -1]]]
            meanwhile = work_ms[(work_ns >= begin_ns) & (work_ns <= end_ns)]
            if work and not meanwhile.size:  # a short run: what was timed before and after it
                meanwhile = np.interp([(begin_ns + end_ns) / 2], work_ns, work_ms)
            blocks.append(
                Block(
                    first_frame=int(answered.frame_id[part[0]]),
                    frames=len(part),
                    p50_ms=round(float(p50), 3),
                    p99_ms=round(float(p99), 3),
                    work_ms=round(float(np.median(meanwhile)), 3) if meanwhile.size else None,
                )
            )
    return tuple(blocks)


def as_dict(run: SoakRun, judgement: Judgement) -> dict[str, Any]:
    """For ``--json``."""
    from dataclasses import asdict, fields

    counts = {field.name: getattr(run, field.name) for field in fields(run) if field.name not in ("results", "samples")}
    return {
        "frames": len(run.results),
        "by_state": run.results.by_state(),
        "by_cause": run.results.by_cause(),
        **counts,
        **asdict(judgement),
    }


def _drift(blocks: tuple[Block, ...]) -> float | None:
    if len(blocks) < 8:
        return None
    p50: npt.NDArray[np.float64] = np.array([block.p50_ms for block in blocks])
    work = [block.work_ms for block in blocks]
    if None not in work:
        p50 /= np.array(work, np.float64)
    begin, quarter = max(1, int(_WARM_UP * len(p50))), len(p50) // 4
    return round(float(np.median(p50[-quarter:]) / np.median(p50[begin : begin + quarter])), 3)
