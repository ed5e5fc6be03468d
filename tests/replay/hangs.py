"""What a hang costs: seconds until frames are answered again, and memory. Prints a table; not a test.

python -m tests.replay.hangs [CASE ...]
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.replay.live_session import LiveSession, rss_mb

_SOURCE = ("--source", "null:rate=30,size=720x1280", "--crop", "none")
_ENGINES = {
    "engine hangs, another back end": ("sleep,openvino,60,1", ()),
    "engine hangs, no other back end": ("sleep,openvino,60,1", ("--backend", "openvino")),
    "engine hangs, and the next one too": ("sleep,o,60,2", ()),
    "engine hangs and holds the interpreter": ("gil,openvino,60,1", ()),
}
_STOPPED = {"stream is stopped": "stream", "recorder is stopped": "record", "page is stopped": "panel"}


def main() -> int:
    """Run the cases that are asked for, or all."""
    cases = sys.argv[1:] or [*_ENGINES, *_STOPPED]
    _say("| what | noticed, s | replaced, s | first result, s | answered again, s | stream before/after, MiB |")
    _say("|---|---:|---:|---:|---:|---|")
    for case in cases:
        with tempfile.TemporaryDirectory(prefix="usassist-hangs-") as name:
            _say(_engine(case, Path(name)) if case in _ENGINES else _stopped(case, Path(name)))
    return 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _engine(case: str, folder: Path) -> str:
    engine, options = _ENGINES[case]
    with LiveSession(folder, *_SOURCE, "--no-page", *options, engine=engine) as live:
        live.until(lambda: live.answers() > 5, "no answers came")
        (pid, *_) = live.pids()["stream"]
        before = rss_mb(pid)
        began = folder / "engine" / "began"
        live.until(began.exists, "the engine does not hang")
        time.sleep(0.05)
        begin_s = float(began.read_text())
        return _row(case, live, begin_s, pid, before)


def _stopped(case: str, folder: Path) -> str:
    page = ("--port", "7999") if case == "page is stopped" else ("--no-page",)
    with LiveSession(folder, *_SOURCE, *page) as live:
        live.until(lambda: live.answers() > 30 and len(live.pids()["stream"]) > 1, "no answers came")
        if _STOPPED[case] == "panel":
            live.until(lambda: any("the page is at" in line for line in live.said), "no page")
        time.sleep(3.0)
        (pid, *_) = live.pids()["stream"]
        before, victim = rss_mb(pid), live.pids()[_STOPPED[case]][0]
        begin_s = time.monotonic()
        os.kill(victim, signal.SIGSTOP)
        return _row(case, live, begin_s, victim, before)


def _row(case: str, live: LiveSession, begin_s: float, victim: int, before_mb: float) -> str:
    said = len(live.said)
    name = next((name for name, pids in live.pids().items() if victim in pids), "stream")
    session = live.results[-1].session_id

    def later() -> list[float]:
        return [seen.t_s for seen in list(live.results) if seen.answered and seen.t_s > begin_s + 0.2]

    noticed_s = live.until(told, "it was not noticed") - begin_s
    time.sleep(0.3)
    replaced = victim not in live.pids().get(name, [])
    replaced_s = live.until(lambda: len(live.pids().get(name, [])) > 0, "it was not replaced") - begin_s
    live.until(lambda: len(later()) > 60, "it is not answered again")
    time.sleep(4.0)
    results = [seen for seen in live.results if seen.t_s > begin_s]
    silent = [seen.t_s for seen in results if seen.t_s > begin_s + 0.2]
    gap_s = max(b - a for a, b in zip([begin_s, *silent], silent, strict=False))
    (pid, *_) = live.pids()["stream"]
    after_mb = rss_mb(pid)
    same = "" if results[-1].session_id == session else ", new session"
    live.end()
    return (
        f"| {case}{same} | {noticed_s:.2f} | {f'{replaced_s:.2f}' if replaced else '-'} | {gap_s:.2f} "
        f"| {later()[0] - begin_s:.2f} | {before_mb:.0f} / {after_mb:.0f} |"
    )


if __name__ == "__main__":
    sys.exit(main())
