"""Processor time, memory, files and threads of other processes, read from ``/proc`` twice a second."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from usassist.common.closeable import Closeable

__all__ = ["Usage", "UsageSample", "UsageSampler", "busy_s", "find_capture", "read_sample", "usage_between"]

_TICK_S = 1.0 / os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_EVERY_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageSample:
    """One process at one time: processor time of all its threads, resident memory, open files, threads."""

    pid: int
    t_ns: int
    cpu_s: float
    rss_bytes: int
    fds: int
    threads: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Usage of one process over an interval.

    Attributes
    ----------
    cpu_percent : of one processor
    rss_start_mb, rss_end_mb, rss_peak_mb : resident memory at the first and last sample, and the most, MiB
    fds, threads : at the last sample
    """

    cpu_percent: float
    rss_start_mb: float
    rss_end_mb: float
    rss_peak_mb: float
    fds: int
    threads: int


def read_sample(pid: int) -> UsageSample | None:
    """Read one sample; None when the process has exited."""
    folder = Path("/proc") / str(pid)
    try:
        fields = (folder / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        pages = int((folder / "statm").read_text(encoding="ascii").split()[1])
        fds = sum(1 for _ in (folder / "fd").iterdir())
    except (OSError, IndexError, ValueError):
        return None
    if fields[0] == "Z":
        return None
    return UsageSample(
        pid=pid,
        t_ns=time.monotonic_ns(),
        cpu_s=(int(fields[11]) + int(fields[12])) * _TICK_S,
        rss_bytes=pages * _PAGE_BYTES,
        fds=fds,
        threads=int(fields[17]),
    )


def find_capture(pid: int) -> int | None:
    """Process id of the capture process of a stream; of the older one where a standby is starting."""
    found = []
    for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            for child in tasks.read_text(encoding="ascii").split():
                arguments = Path(f"/proc/{child}/cmdline").read_bytes()
                found += [int(child)] if b"usassist.sources.capture" in arguments else []
        except OSError:
            continue
    return min(found, default=None)


def busy_s() -> float:
    """Processor time of the whole machine since it was started, all processors together, s; without idle time."""
    for line in Path("/proc/stat").read_text(encoding="ascii").splitlines():
        if line.startswith("cpu "):
            user, nice, system, _idle, _waiting, *others = (int(field) for field in line.split()[1:8])
            return (user + nice + system + sum(others)) * _TICK_S
    return 0.0


class UsageSampler(Closeable):
    """Samples processes in a thread of its own.

    Parameters
    ----------
    processes : called for every sample; gives name → process id
    every_s : between two samples
    """

    def __init__(self, processes: Callable[[], Mapping[str, int]], every_s: float = _EVERY_S) -> None:
        self._processes, self._every_s = processes, every_s
        self.samples: dict[str, list[UsageSample]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(self._every_s):
            for name, pid in dict(self._processes()).items():
                sample = read_sample(pid)
                if sample is not None:
                    self.samples.setdefault(name, []).append(sample)

    def usage(self, begin_ns: int, end_ns: int) -> dict[str, Usage]:
        """Usage of every process with at least two samples in the interval."""
        found = {name: usage_between(list(samples), begin_ns, end_ns) for name, samples in dict(self.samples).items()}
        return {name: usage for name, usage in found.items() if usage is not None}

    def close(self) -> None:
        """End. May be called twice."""
        self._stop.set()
        self._thread.join()


def usage_between(samples: list[UsageSample], begin_ns: int, end_ns: int) -> Usage | None:
    """Usage from the samples in an interval; None for fewer than two."""
    inside = [sample for sample in samples if begin_ns <= sample.t_ns <= end_ns]
    if len(inside) < 2:
        return None
    first, last = inside[0], inside[-1]
    return Usage(
        cpu_percent=round(100e9 * (last.cpu_s - first.cpu_s) / max(1, last.t_ns - first.t_ns), 1),
        rss_start_mb=_mb(first.rss_bytes),
        rss_end_mb=_mb(last.rss_bytes),
        rss_peak_mb=_mb(max(sample.rss_bytes for sample in inside)),
        fds=last.fds,
        threads=last.threads,
    )


def _mb(count: int) -> float:
    return round(count / 2**20, 1)
