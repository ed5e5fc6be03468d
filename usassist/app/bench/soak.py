"""``usassist bench soak``: a long live session under fault injection.

The loop delivers small frames at a high rate to the live path with the real engine, so that 100,000 frames take
minutes. Every so many seconds it freezes, turns black, stops, changes its size, or the device is unplugged. Viewers
connect, disconnect and are killed; marks are made; the recorder is killed, after the next one has started.
"""

from __future__ import annotations

import random
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from usassist.app.bench.bench_session import BenchSession
from usassist.app.bench.calibration import calibration_work
from usassist.app.bench.figures import account_for, count_gaps
from usassist.app.bench.process_usage import UsageSample, UsageSampler
from usassist.app.bench.result_collector import Results, read_frame_times
from usassist.app.bench.setup import Setup
from usassist.bus import Inbox, MarkBody, MarkKind
from usassist.errors import UsAssistError

__all__ = ["DEFAULT_SOAK_SETUP", "SoakRun", "soak"]

DEFAULT_SOAK_SETUP = Setup(fps=120, width_px=640, height_px=360, viewers=1, faults_s=12)

_TICK_S = 0.25
_LEAVE_AT = (0.2, 0.97)  # shares of the run at which all viewers leave: for a while, and for the rest
_VIEWER_EVERY_S = 5.0
_MAX_VIEWERS = 3
_MARK_EVERY_S = 3.0
_MAX_OVERLAP_S = 60.0
_LOOK_BACK_BYTES = 2**16
_FRAME_ID = b'"frame_id":'
_SAMPLE_S = 1.0
_CALIBRATE_EVERY_S = 2.0


@dataclass(slots=True, kw_only=True)
class SoakRun:
    """What was observed; judged in ``soak_figures``.

    Attributes
    ----------
    results : of every frame
    samples : of every process but the viewers; all recorders have one name
    work : monotonic ns, and the processor time of the calibration workload then, ms: how fast the machine was
    unaccounted : frame numbers without exactly one result, see ``Accounts``
    passed_over : frames that the source reports as skipped
    frames_recorded, results_recorded : numbers of frames that are in at least one recording
    frames_missing, results_missing : that were published and are in no recording: the recorder fell behind
    marks_made, marks_recorded : marks that the inbox accepted, and marks in a recording
    reconnects : of the input
    viewers_seen, viewers_killed, recorders : how many there were
    meter_gaps : results that did not arrive at the measuring process
    """

    results: Results
    samples: dict[str, list[UsageSample]]
    work: list[tuple[int, float]]
    unaccounted: int
    passed_over: int | None
    frames_recorded: int
    frames_missing: int
    results_recorded: int
    results_missing: int
    marks_made: int
    marks_recorded: int
    reconnects: int
    viewers_seen: int
    viewers_killed: int
    recorders: int
    meter_gaps: int


@dataclass(slots=True)
class _Recorded:
    """What was read from recordings before they were deleted."""

    frames: set[int] = field(default_factory=set)
    seqs: set[int] = field(default_factory=set)
    results: set[int] = field(default_factory=set)
    marks: set[int] = field(default_factory=set)
    recorders: int = 0

    def take(self, folder: Path) -> None:
        """Read a recording and delete it."""
        frames = read_frame_times(folder)
        self.frames.update(frames["frame_id"].tolist())
        self.seqs.update(frames["seq"].tolist())
        self.results.update(_numbers(folder / "results.jsonl", _FRAME_ID))
        self.marks.update(_numbers(folder / "marks.jsonl", b'"t_mark_ns":'))
        self.recorders += 1
        shutil.rmtree(folder)


class _MachineSpeed:
    """Times the calibration workload now and then, in processor time of this thread."""

    def __init__(self) -> None:
        cv2.setNumThreads(1)  # as in a calibration; the time of other threads would be missing
        self._work = calibration_work()
        self._next_s = 0.0
        self.times: list[tuple[int, float]] = []

    def poll(self, now_s: float) -> None:
        """Run and time the workload, if it is due."""
        if now_s < self._next_s:
            return
        self._next_s = now_s + _CALIBRATE_EVERY_S
        begin_ns = time.thread_time_ns()
        self._work()
        self.times.append((time.monotonic_ns(), (time.thread_time_ns() - begin_ns) / 1e6))


class _Viewers:
    """Viewers that connect and disconnect; some are killed. The same sequence in every run."""

    def __init__(self, bench: BenchSession) -> None:
        self._rig, self._random = bench, random.Random(0)
        self._names = [name for name in bench.children if name.startswith("viewer")]
        self.seen, self.killed = len(self._names), 0

    def step(self) -> None:
        """Add or remove one viewer."""
        if len(self._names) < self._random.randint(1, _MAX_VIEWERS):
            self._names.append(self._rig.add_viewer(keep=False))
            self.seen += 1
        elif self._names:
            name = self._names.pop(self._random.randrange(len(self._names)))
            if self._random.random() < 0.5:
                self._rig.kill(name)
                self.killed += 1
            else:
                self._rig.remove(name)

    def remove_all(self) -> None:
        """Remove all, so that open files can be compared."""
        while self._names:
            self._rig.remove(self._names.pop())


def soak(
    frames: int,
    folder: Path,
    *,
    setup: Setup = DEFAULT_SOAK_SETUP,
    frames_per_recording: int = 20_000,
    log: Callable[[str], None] = lambda line: None,
) -> SoakRun:
    """Run until a number of frames have their result.

    Parameters
    ----------
    frames : how many
    folder : recordings are made in it, read, and deleted
    setup : with a recorder
    frames_per_recording : then the recorder is killed, and its recording read
    log : called with the progress

    Raises
    ------
    UsAssistError
        If a process cannot be started, or exits.
    """
    recorded, speed, marks = _Recorded(), _MachineSpeed(), 0
    with (
        BenchSession(setup, folder) as bench,
        Inbox(bench.address) as inbox,
        UsageSampler(bench.processes, _SAMPLE_S) as sampler,
    ):
        viewers, next_recording = _Viewers(bench), frames_per_recording
        viewer_s = mark_s = time.monotonic()
        leave_at = list(_LEAVE_AT)
        while bench.collector.count < frames:
            time.sleep(_TICK_S)
            bench.check()
            now_s = time.monotonic()
            speed.poll(now_s)
            if leave_at and bench.collector.count >= leave_at[0] * frames:
                leave_at.pop(0)
                viewers.remove_all()
                viewer_s = now_s
            elif setup.viewers and leave_at and now_s - viewer_s >= _VIEWER_EVERY_S:
                viewer_s = now_s
                viewers.step()
            if now_s - mark_s >= _MARK_EVERY_S:
                mark_s = now_s
                marks += _mark(bench, inbox)
            if next_recording <= bench.collector.count < frames:
                next_recording += frames_per_recording
                _next_recorder(bench, recorded)
                log(f"{bench.collector.count} of {frames} frames")
        session = bench.collector.session
        bench.shut_down()
        recorded.take(bench.folders[-1])
        results, gaps = bench.collector.results(), bench.collector.gaps
    signal = None if session is None else session.signal
    frame_ids, seqs = (np.array(sorted(numbers), np.int64) for numbers in (recorded.frames, recorded.seqs))
    frame_gaps = count_gaps(seqs)
    accounts = account_for(results, rate_hz=setup.fps, gaps=gaps, frame_gaps=frame_gaps, frame_ids=frame_ids)
    return SoakRun(
        results=results,
        samples=dict(sampler.samples),
        work=speed.times,
        unaccounted=accounts.unaccounted,
        passed_over=None if signal is None else signal.skipped,
        frames_recorded=len(recorded.frames),
        frames_missing=frame_gaps,
        results_recorded=len(recorded.results),
        results_missing=len(set(results.frame_id.tolist()) - recorded.results),
        marks_made=marks,
        marks_recorded=len(recorded.marks),
        reconnects=0 if signal is None else signal.reconnects,
        viewers_seen=viewers.seen,
        viewers_killed=viewers.killed,
        recorders=recorded.recorders,
        meter_gaps=gaps,
    )


def _next_recorder(bench: BenchSession, recorded: _Recorded) -> None:
    """Start another recorder, then kill the old one, and read what it has written."""
    before, folder = bench.rename("record"), bench.folders[-1]
    following = bench.start_recorder()
    deadline_s = time.monotonic() + _MAX_OVERLAP_S
    while not _overlap(folder, following):
        if time.monotonic() > deadline_s:
            raise UsAssistError(f"the recorder is more than {_MAX_OVERLAP_S:.0f} s behind; give --fps a lower number")
        time.sleep(_TICK_S)
        bench.check()
    bench.kill(before)
    recorded.take(folder)


def _overlap(before: Path, following: Path) -> bool:
    """True when the old recorder has the first frame and result of the new one, so that none is lost in between."""
    for name in ("frames.jsonl", "results.jsonl"):
        first = _first_number(following / name)
        if first is None or first > max(_numbers(before / name, _FRAME_ID, last_bytes=_LOOK_BACK_BYTES), default=-1):
            return False
    return True


def _first_number(path: Path) -> int | None:
    with path.open("rb") as file:
        line = file.readline()
    return _number(line, _FRAME_ID) if line.endswith(b"\n") else None


def _mark(bench: BenchSession, inbox: Inbox) -> int:
    """Mark the newest frame; gives how many marks the inbox has accepted."""
    session = bench.collector.session
    if session is None or session.last_frame_id < 0:
        return 0
    body = MarkBody(
        session_id=session.session_id,
        frame_id=session.last_frame_id,
        kind=MarkKind.BOOKMARK,
        t_mark_ns=time.monotonic_ns(),
    )
    return int(inbox.send("mark", body))


def _numbers(path: Path, key: bytes, last_bytes: int | None = None) -> set[int]:
    """The number after a key in every complete line of a file, or of its last bytes."""
    with path.open("rb") as file:
        if last_bytes is not None and (size := path.stat().st_size) > last_bytes:
            file.seek(size - last_bytes)
            file.readline()  # the rest of a line
        lines = file.read().split(b"\n")[:-1]
    return {_number(line, key) for line in lines}


def _number(line: bytes, key: bytes) -> int:
    found = re.search(re.escape(key) + rb"\s*(\d+)", line)
    if found is None:
        raise UsAssistError(f"a line has no {key.decode()}: the recording is damaged; run usassist doctor")
    return int(found[1])
