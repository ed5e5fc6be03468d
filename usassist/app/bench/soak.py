"""``usassist bench soak``: a live session for long, while everything goes wrong that can.

The loop gives small pictures at a high rate through the live path with the real engine, so that 100,000 frames take
minutes. Every so many seconds its picture freezes, turns black, stops, changes its size, or the device is unplugged.
Viewers come, go and are killed; marks are made; the recorder is killed, and the next one has begun before.
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

from usassist.app.bench.calibration import calibration_work
from usassist.app.bench.figures import account_for, count_gaps
from usassist.app.bench.meter import Results, read_frame_times
from usassist.app.bench.proc import Sample, Sampler
from usassist.app.bench.rig import Rig
from usassist.app.bench.setup import Setup
from usassist.bus import Inbox, MarkBody, MarkKind
from usassist.errors import UsAssistError

__all__ = ["SOAK_SETUP", "Soaked", "soak"]

SOAK_SETUP = Setup(fps=120, width_px=640, height_px=360, viewers=1, faults_s=12)

_TICK_S = 0.25
_LEAVE_AT = (0.2, 0.97)  # shares of the run at which nobody watches for a moment, and for the rest
_VIEWER_EVERY_S = 5.0
_MAX_VIEWERS = 3
_MARK_EVERY_S = 3.0
_OVERLAP_MOST_S = 60.0
_LOOK_BACK_BYTES = 2**16
_FRAME_ID = b'"frame_id":'
_SAMPLE_S = 1.0
_WORK_EVERY_S = 2.0


@dataclass(slots=True, kw_only=True)
class Soaked:
    """What happened; judged in ``bench_soak_figures``.

    Attributes
    ----------
    results : of every frame
    samples : of every process but the viewers; all recorders have one name
    work : monotonic ns, and the processor time that the calibration's work took then, ms: how fast the machine was
    unaccounted : frame numbers without exactly one result, see ``Accounts``
    passed_over : pictures that the source has passed over, by its own word
    frames_recorded, results_recorded : numbers of frames that are in at least one recording
    frames_missing, results_missing : that were published and are in no recording; the recorder could not follow
    marks_made, marks_recorded : marks that the desk took, and that are in a recording
    reconnects : of the input
    viewers_seen, viewers_killed, recorders : how many there were
    meter_gaps : results that did not arrive at the measuring process
    """

    results: Results
    samples: dict[str, list[Sample]]
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
class _Kept:
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


class _Pace:
    """How fast the machine is, now and then, without what it has to do at the time."""

    def __init__(self) -> None:
        cv2.setNumThreads(1)  # as in a calibration; what other threads do is not in this one's time
        self._work = calibration_work()
        self._next_s = 0.0
        self.taken: list[tuple[int, float]] = []

    def look(self, now_s: float) -> None:
        """Time the calibration's work once, if it is time for that."""
        if now_s < self._next_s:
            return
        self._next_s = now_s + _WORK_EVERY_S
        begin_ns = time.thread_time_ns()
        self._work()
        self.taken.append((time.monotonic_ns(), (time.thread_time_ns() - begin_ns) / 1e6))


class _Crowd:
    """Viewers who come and go, some without a word. The same every time."""

    def __init__(self, rig: Rig) -> None:
        self._rig, self._random = rig, random.Random(0)
        self._names = [name for name in rig.children if name.startswith("viewer")]
        self.seen, self.killed = len(self._names), 0

    def move(self) -> None:
        """One comes, or one goes."""
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

    def leave(self) -> None:
        """All go, so that open files can be compared."""
        while self._names:
            self._rig.remove(self._names.pop())


def soak(
    frames: int,
    folder: Path,
    *,
    setup: Setup = SOAK_SETUP,
    frames_per_recording: int = 20_000,
    say: Callable[[str], None] = lambda line: None,
) -> Soaked:
    """Run until so many frames have their result.

    Parameters
    ----------
    frames : how many
    folder : recordings are made in it, read, and deleted
    setup : what runs; with recorder
    frames_per_recording : then the recorder is killed, and its recording read
    say : told how far it is

    Raises
    ------
    UsAssistError
        If a process cannot be started, or dies by itself.
    """
    kept, pace, marks = _Kept(), _Pace(), 0
    with Rig(setup, folder) as rig, Inbox(rig.address) as desk, Sampler(rig.processes, _SAMPLE_S) as sampler:
        crowd, next_recording = _Crowd(rig), frames_per_recording
        viewer_s = mark_s = time.monotonic()
        leave_at = list(_LEAVE_AT)
        while rig.meter.count < frames:
            time.sleep(_TICK_S)
            rig.check()
            now_s = time.monotonic()
            pace.look(now_s)
            if leave_at and rig.meter.count >= leave_at[0] * frames:
                leave_at.pop(0)
                crowd.leave()
                viewer_s = now_s
            elif setup.viewers and leave_at and now_s - viewer_s >= _VIEWER_EVERY_S:
                viewer_s = now_s
                crowd.move()
            if now_s - mark_s >= _MARK_EVERY_S:
                mark_s = now_s
                marks += _mark(rig, desk)
            if next_recording <= rig.meter.count < frames:
                next_recording += frames_per_recording
                _next_recorder(rig, kept)
                say(f"{rig.meter.count} of {frames} frames")
        session = rig.meter.session
        rig.end_in_order()
        kept.take(rig.folders[-1])
        results, gaps = rig.meter.results(), rig.meter.gaps
    signal = None if session is None else session.signal
    frame_ids, seqs = (np.array(sorted(numbers), np.int64) for numbers in (kept.frames, kept.seqs))
    frame_gaps = count_gaps(seqs)
    accounts = account_for(results, rate_hz=setup.fps, gaps=gaps, frame_gaps=frame_gaps, frame_ids=frame_ids)
    return Soaked(
        results=results,
        samples=dict(sampler.samples),
        work=pace.taken,
        unaccounted=accounts.unaccounted,
        passed_over=None if signal is None else signal.skipped,
        frames_recorded=len(kept.frames),
        frames_missing=frame_gaps,
        results_recorded=len(kept.results),
        results_missing=len(set(results.frame_id.tolist()) - kept.results),
        marks_made=marks,
        marks_recorded=len(kept.marks),
        reconnects=0 if signal is None else signal.reconnects,
        viewers_seen=crowd.seen,
        viewers_killed=crowd.killed,
        recorders=kept.recorders,
        meter_gaps=gaps,
    )


def _next_recorder(rig: Rig, kept: _Kept) -> None:
    """Another recorder begins; then the old one is killed, and what it has written is read."""
    before, folder = rig.rename("record"), rig.folders[-1]
    following = rig.begin_recorder()
    deadline_s = time.monotonic() + _OVERLAP_MOST_S
    while not _overlap(folder, following):
        if time.monotonic() > deadline_s:
            raise UsAssistError(f"the recorder is more than {_OVERLAP_MOST_S:.0f} s behind; give --fps a lower number")
        time.sleep(_TICK_S)
        rig.check()
    rig.kill(before)
    kept.take(folder)


def _overlap(before: Path, following: Path) -> bool:
    """True when the old recorder has what the new one has first, so that nothing falls between."""
    for name in ("frames.jsonl", "results.jsonl"):
        first = _first_number(following / name)
        if first is None or first > max(_numbers(before / name, _FRAME_ID, last_bytes=_LOOK_BACK_BYTES), default=-1):
            return False
    return True


def _first_number(path: Path) -> int | None:
    with path.open("rb") as file:
        line = file.readline()
    return _number(line, _FRAME_ID) if line.endswith(b"\n") else None


def _mark(rig: Rig, desk: Inbox) -> int:
    """Mark the newest frame; gives how many the desk has taken."""
    session = rig.meter.session
    if session is None or session.last_frame_id < 0:
        return 0
    body = MarkBody(
        session_id=session.session_id,
        frame_id=session.last_frame_id,
        kind=MarkKind.BOOKMARK,
        t_mark_ns=time.monotonic_ns(),
    )
    return int(desk.send("mark", body))


def _numbers(path: Path, key: bytes, last_bytes: int | None = None) -> set[int]:
    """The number behind a key in every whole line of a file, or of those in its last bytes."""
    with path.open("rb") as file:
        if last_bytes is not None and (size := path.stat().st_size) > last_bytes:
            file.seek(size - last_bytes)
            file.readline()  # the rest of a line
        lines = file.read().split(b"\n")[:-1]
    return {_number(line, key) for line in lines}


def _number(line: bytes, key: bytes) -> int:
    found = re.search(re.escape(key) + rb"\s*(\d+)", line)
    if found is None:
        raise UsAssistError(f"a line has no {key.decode()}: the recorder has written nonsense; run usassist doctor")
    return int(found[1])
