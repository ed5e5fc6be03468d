"""The table of processes.

============= ============================== ================================ =====================
name          module                         reads                            writes
============= ============================== ================================ =====================
stream        usassist.app.runtime.workers   a source                         all topics
record        usassist.sinks.record          all topics                       a session folder
results       usassist.sinks.results         result, engine, session          results.jsonl
overlay_video usassist.sinks.overlay         frame, result, engine, session   a video file
overlay       usassist.sinks.overlay         frame, result, engine, session   a window
panel         usassist.sinks.panel           all topics                       a page in the browser
openigtlink   usassist.sinks.openigtlink     frame, result, engine, session   to OpenIGTLink clients
demo_look     usassist.app.demo.workers      a file                           what it holds, to its parent
demo_answer   usassist.app.demo.workers      a file                           a session folder, and packets of it
``demo_…``    usassist.app.demo.workers      a study                          its planes, and a result folder
worklist      usassist.app.worklist.workers  a folder of studies              ``worklist.json``
study_score   usassist.app.worklist.workers  one study                        its outcome
``bench_…``   usassist.app.bench.workers     as the above do                  nothing: for benchmarks
============= ============================== ================================ =====================
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CHILDREN", "ChildSpec"]

_WORKERS = "usassist.app.runtime.workers"
_BENCH_WORKERS = "usassist.app.bench.workers"
_DEMO_WORKERS = "usassist.app.demo.workers"
_WORKLIST_WORKERS = "usassist.app.worklist.workers"


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """One row of the table.

    Attributes
    ----------
    module : its ``work(options, parent)`` is what the child runs; see ``app/runtime/worker.py``
    niceness : added to its nice value once it is ready (see nice(1)): viewers run at a lower priority than inference.
        A lower priority from the beginning would slow the start on a busy machine.
    """

    module: str
    niceness: int = 0


CHILDREN: dict[str, ChildSpec] = {
    "stream": ChildSpec(f"{_WORKERS}.stream"),
    "record": ChildSpec(f"{_WORKERS}.record"),
    "results": ChildSpec(f"{_WORKERS}.results"),
    "overlay_video": ChildSpec(f"{_WORKERS}.overlay_video", niceness=5),
    "overlay": ChildSpec(f"{_WORKERS}.overlay", niceness=10),
    "panel": ChildSpec(f"{_WORKERS}.panel", niceness=10),
    "openigtlink": ChildSpec(f"{_WORKERS}.openigtlink", niceness=5),
    "demo_look": ChildSpec(f"{_DEMO_WORKERS}.look"),
    "demo_answer": ChildSpec(f"{_DEMO_WORKERS}.answer"),
    "demo_study_look": ChildSpec(f"{_DEMO_WORKERS}.study_look"),
    "demo_study_answer": ChildSpec(f"{_DEMO_WORKERS}.study_answer"),
    "worklist": ChildSpec(f"{_WORKLIST_WORKERS}.watch"),
    "study_score": ChildSpec(f"{_WORKLIST_WORKERS}.score"),
    "bench_openigtlink": ChildSpec(f"{_BENCH_WORKERS}.openigtlink", niceness=10),
    "bench_overlay": ChildSpec(f"{_BENCH_WORKERS}.overlay", niceness=10),
    "bench_stalled": ChildSpec(f"{_BENCH_WORKERS}.stalled"),
    "bench_viewer": ChildSpec(f"{_BENCH_WORKERS}.viewer"),
    "bench_window": ChildSpec(f"{_BENCH_WORKERS}.window", niceness=10),
}
