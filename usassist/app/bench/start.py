"""``usassist bench start`` and ``replay``: the command as a user starts it, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from usassist.app.bench.calibration import Calibration, calibrate
from usassist.app.bench.process_usage import read_sample
from usassist.app.bench.result_collector import ResultCollector
from usassist.app.runtime.private_bus import private_bus
from usassist.errors import UsAssistError

__all__ = ["ReplayFigures", "StartFigures", "measure_replay", "measure_start"]

Log = Callable[[str], None]

_TIMEOUT_S = 120.0
_POLL_S = 0.005
_IDLE_S = 3.0  # after the first result, before memory is read


@dataclass(frozen=True, slots=True, kw_only=True)
class StartFigures:
    """What was measured.

    Attributes
    ----------
    first_result_s, first_answer_s : from the start of the command, every round
    stream_rss_mb : of the stream's process, a few seconds later, MiB, every round
    calibration : of the machine, before
    """

    first_result_s: tuple[float, ...]
    first_answer_s: tuple[float, ...]
    stream_rss_mb: tuple[float, ...]
    calibration: Calibration

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "first_result_s": [round(value, 3) for value in self.first_result_s],
            "first_answer_s": [round(value, 3) for value in self.first_answer_s],
            "stream_rss_mb": list(self.stream_rss_mb),
            "first_result_median_s": round(float(np.median(self.first_result_s)), 3),
            "first_answer_median_s": round(float(np.median(self.first_answer_s)), 3),
            "calibration": self.calibration.as_dict(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayFigures:
    """What was measured.

    Attributes
    ----------
    frames : of the clip, over and over
    answered_per_s : frames a second, first frame to last result, every round
    kept_per_s : frames a second, first frame to the end of the process, when everything is on disk, every round
    calibration : of the machine, before
    """

    frames: int
    answered_per_s: tuple[float, ...]
    kept_per_s: tuple[float, ...]
    calibration: Calibration

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``; ``frames_per_calibration`` are the frames kept in the time of one calibration work."""
        kept = float(np.median(self.kept_per_s))
        return {
            "frames": self.frames,
            "answered_per_s": [round(value, 1) for value in self.answered_per_s],
            "kept_per_s": [round(value, 1) for value in self.kept_per_s],
            "kept_median_per_s": round(kept, 1),
            "frames_per_calibration": round(kept * self.calibration.median_ms / 1e3, 4),
            "calibration": self.calibration.as_dict(),
        }


def measure_start(rounds: int, *, source: str = "loop:demo", log: Log = lambda line: None) -> StartFigures:
    """Start ``usassist live`` several times, and wait for its first result.

    Raises
    ------
    UsAssistError
        If it exits before, or none comes.
    """
    calibration = calibrate()
    rows = []
    for place in range(rounds):
        rows.append(_start_once(source))
        log(f"round {place + 1}: first result after {rows[-1][0]:.2f} s")
    results, answers, memory = zip(*rows, strict=True)
    return StartFigures(first_result_s=results, first_answer_s=answers, stream_rss_mb=memory, calibration=calibration)


def measure_replay(
    rounds: int, count: int, *, clip: str = "demo", results_only: bool = False, log: Log = lambda line: None
) -> ReplayFigures:
    """Run ``usassist replay --fast`` several times, recording frames and results, or results alone.

    Raises
    ------
    UsAssistError
        If it fails.
    """
    calibration = calibrate()
    answered, kept = [], []
    for place in range(rounds):
        with tempfile.TemporaryDirectory(prefix="usassist-bench-") as folder:
            out = Path(folder) / "session"
            command = [sys.executable, "-m", "usassist", "replay", clip, "--fast", "--repeat", "--count", str(count)]
            command += ["--out", str(out), "--json", *(["--results-only"] if results_only else [])]
            run = subprocess.run(command, capture_output=True, text=True, check=False)
            end_ns = time.monotonic_ns()
            if run.returncode:
                raise UsAssistError(f"usassist replay failed: {_last_line(run.stderr)}")
            summary = json.loads(run.stdout)
            with (out / "results.jsonl").open(encoding="utf-8") as lines:
                begin_ns = json.loads(next(lines))["t_capture_ns"]
        if summary["frames"] != count or summary["recorded"]["results"] != count:
            raise UsAssistError(f"usassist replay kept {summary['recorded']} of {count} frames; run usassist doctor")
        answered.append(float(summary["frames_per_s"]))
        kept.append(count / ((end_ns - begin_ns) / 1e9))
        log(f"round {place + 1}: {answered[-1]:.1f} frames/s answered, {kept[-1]:.1f} frames/s kept")
    return ReplayFigures(frames=count, answered_per_s=tuple(answered), kept_per_s=tuple(kept), calibration=calibration)


def _start_once(source: str) -> tuple[float, float, float]:
    """Seconds to the first result and to the first answer, and MiB of the stream."""
    with (
        private_bus() as bus,
        tempfile.TemporaryDirectory(prefix="usassist-bench-") as folder,
        ResultCollector(bus) as collector,
    ):
        command = [sys.executable, "-m", "usassist", "live", "--source", source, "--no-page", "--out", folder]
        began_ns = time.monotonic_ns()
        with subprocess.Popen(
            [*command, "--bus", bus], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as process:
            try:
                _wait(lambda: collector.results().answered.any(), process)
                results = collector.results()
                time.sleep(_IDLE_S)
                rss_mb = _stream_rss_mb(process.pid)
            finally:
                process.terminate()
                process.communicate()
    first_answer = int(results.t_publish_ns[results.answered][0])
    return (
        (int(results.t_publish_ns[0]) - began_ns) / 1e9,
        (first_answer - began_ns) / 1e9,
        rss_mb,
    )


def _wait(condition: Callable[[], Any], process: subprocess.Popen[str]) -> None:
    deadline_s = time.monotonic() + _TIMEOUT_S
    while not condition():
        if process.poll() is not None:
            _, stderr = process.communicate()
            raise UsAssistError(f"usassist live exited before its first result: {_last_line(stderr)}")
        if time.monotonic() > deadline_s:
            raise UsAssistError(f"no answer came in {_TIMEOUT_S:.0f} s; run usassist doctor")
        time.sleep(_POLL_S)


def _stream_rss_mb(parent: int) -> float:
    """Memory of the running stream; its warm standby is smaller, because it has not loaded an engine."""
    sizes = [0]
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
            arguments = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if int(fields[1]) == parent and b"usassist.app.runtime.workers.stream" in arguments:
            sample = read_sample(int(os.path.basename(folder)))
            sizes.append(0 if sample is None else sample.rss_bytes)
    return round(max(sizes) / 2**20, 1)


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it printed no error"])[-1]
