"""Kill the recorder of a live stream with SIGKILL at random moments, and look at what can be read afterwards.

::

    python -m tests.replay.kill_recordings [COUNT] [SEED] [SOURCE] [ENGINE BACK END]

Each time a stream runs in its own time and a recorder records it, as a process of its own. The recorder is killed, and
what had been published by then is compared with what a reader finds: frames whose picture decodes, results, and how
long before the kill the first frame was published that is lost. Then ``usassist session verify`` and ``repair`` are
asked, and ``verify`` again. Prints one row for each kill; ends with exit code 1 when a recording could not be read, was
not in order after its repair, or had lost more than the last second and a half.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from usassist.app.runtime.child_process import ChildProcess
from usassist.app.runtime.open_stream import StreamOptions, open_stream
from usassist.app.runtime.private_bus import private_bus
from usassist.app.runtime.recording_facts import recording_facts
from usassist.bus import Publisher
from usassist.records import Frame
from usassist.session import open_session
from usassist.session.repair import repair_session
from usassist.session.verify import verify_session

LIMIT_S = 1.5  # a second is held back until text was looked for
_LONGEST_S = 5.0
_READY_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """One kill and what could be read.

    Attributes
    ----------
    at_s : when, after the recorder was ready
    published, frames, results : how many frames had been published; how many pictures and results can be read
    lost_s : from when the first frame that is lost was published to the kill; 0 where none is lost
    unfinished : what ``verify`` says of it before its repair
    left : what it says afterwards; empty where all is well
    """

    at_s: float
    published: int
    frames: int
    results: int
    lost_s: float
    unfinished: list[str]
    left: list[str]


class Published:
    """When each frame of a stream was published, monotonic ns.

    Parameters
    ----------
    publisher : of the stream; its frames pass through here
    """

    def __init__(self, publisher: Publisher) -> None:
        self.t_ns: dict[int, int] = {}
        self._send = publisher.frame
        publisher.frame = self._frame  # type: ignore[method-assign]

    def _frame(self, frame: Frame) -> None:
        self._send(frame)
        self.t_ns[frame.frame_id] = time.monotonic_ns()


def kill_once(folder: Path, at_s: float, source: str, backend: str) -> Kill:
    """Record a stream, and kill the recorder."""
    stop = threading.Event()
    with private_bus() as bus, ChildProcess("record") as recorder:
        options = StreamOptions(source=source, bus=bus, engine="thyroid_nodule", backend=backend, threads=1)
        with open_stream(options) as stream:
            published = Published(stream.publisher)
            recorder.begin({"address": bus, "folder": str(folder), "facts": recording_facts(options)})
            recorder.wait_for("ready", timeout_s=_READY_S)
            stream.publisher.wait_for_archives(1, _READY_S, lambda: recorder.alive)
            run = threading.Thread(target=stream.run, args=(stop,))
            run.start()
            while not published.t_ns:
                time.sleep(0.01)
            time.sleep(at_s)
            os.kill(recorder.pid, signal.SIGKILL)
            t_kill_ns, t_published_ns = time.monotonic_ns(), dict(published.t_ns)
            stop.set()
            run.join()
    return _look(folder, at_s, t_kill_ns, t_published_ns)


def _look(folder: Path, at_s: float, t_kill_ns: int, t_published_ns: dict[int, int]) -> Kill:
    session = open_session(folder)
    read = {line.frame_id for line, image in session.images() if image is not None}
    lost = [t_ns for frame_id, t_ns in t_published_ns.items() if frame_id not in read]
    unfinished = verify_session(folder).problems
    repaired = folder.with_name(f"{folder.name}-repaired")
    repair_session(folder, repaired)
    return Kill(
        at_s=at_s,
        published=len(t_published_ns),
        frames=len(read),
        results=len(session.results),
        lost_s=(t_kill_ns - min(lost)) / 1e9 if lost else 0.0,
        unfinished=unfinished,
        left=verify_session(repaired).problems,
    )


def main(arguments: list[str]) -> int:
    """Kill, print the table. Returns the exit code."""
    count, seed, source, backend, *_ = [*arguments, *("20", "1", "null:rate=30,size=480x640", "auto")[len(arguments) :]]
    rng = np.random.default_rng(int(seed))
    console = Console(width=120)
    with tempfile.TemporaryDirectory() as folder:
        kills = [
            kill_once(Path(folder) / f"session-{index}", float(rng.uniform(0.1, _LONGEST_S)), source, backend)
            for index in range(int(count))
        ]
    columns = ("killed after", "published", "frames read", "results read", "lost", "verify said", "after repair")
    table = Table(*columns)
    for kill in kills:
        left = "all is well" if not kill.left else "; ".join(kill.left)
        row = [f"{kill.at_s:.2f} s", str(kill.published), str(kill.frames), str(kill.results), f"{kill.lost_s:.3f} s"]
        table.add_row(*row, f"{len(kill.unfinished)} problems", left)
    console.print(table)
    lost = sorted(kill.lost_s for kill in kills)
    console.print(
        f"{len(kills)} kills: {sum(not kill.left for kill in kills)} in order after their repair; lost "
        f"{lost[len(lost) // 2]:.3f} s in the median and {lost[-1]:.3f} s at most, of {LIMIT_S} s allowed"
    )
    return 0 if all(not kill.left and kill.unfinished and kill.lost_s <= LIMIT_S for kill in kills) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
