"""What a hang costs: seconds until frames are answered again, and memory. Prints a table; not a test.

python -m tests.replay.hangs [CASE ...]
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

from tests.replay.live_session import LiveSession, rss_mb

_PORT = 7999
_SOURCE = ("--source", "null:rate=30,size=720x1280", "--crop", "none")
_TWICE = "engine hangs, and the next one too"
_ENGINES = {
    "engine hangs, another back end": ("sleep,openvino,60,1", ()),
    "engine hangs, no other back end": ("sleep,openvino,60,1", ("--backend", "openvino")),
    _TWICE: ("sleep,o,60,2", ()),
    "engine hangs and holds the interpreter": ("gil,openvino,60,1", ()),
}
_STOPPED = {"stream is stopped": "stream", "recorder is stopped": "record", "page is stopped": "panel"}


def main() -> int:
    """Run the cases that are asked for, or all."""
    cases = sys.argv[1:] or [*_ENGINES, *_STOPPED]
    _say(
        "| what | noticed, s | works again, s | longest without an answer, s | longest without a result, s "
        "| stream before / after, MiB |"
    )
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
        session, replaced = live.results[-1].session_id, case == _TWICE

        def works_again() -> bool:
            return _answers_after(live, begin_s + 0.2) and (not replaced or live.results[-1].session_id != session)

        return _row(case, live, begin_s, works_again, before)


def _stopped(case: str, folder: Path) -> str:
    page = ("--port", str(_PORT)) if case == "page is stopped" else ("--no-page",)
    with LiveSession(folder, *_SOURCE, *page) as live:
        live.until(lambda: live.answers() > 30 and len(live.pids()["stream"]) > 1, "no answers came")
        if _STOPPED[case] == "panel":
            live.until(lambda: any("the page is at" in line for line in live.stderr), "no page")
        time.sleep(3.0)
        (pid, *_) = live.pids()["stream"]
        before, victim = rss_mb(pid), live.pids()[_STOPPED[case]][0]
        begin_s = time.monotonic()
        os.kill(victim, signal.SIGSTOP)
        works_again = {
            "stream": lambda: _answers_after(live, begin_s + 0.2),
            "record": lambda: len(_recorded(folder)) > 1,
            "panel": lambda: _page_answers() and any("was killed" in line for line in live.stderr),
        }
        return _row(case, live, begin_s, works_again[_STOPPED[case]], before)


def _answers_after(live: LiveSession, t_s: float) -> bool:
    return any(seen.answered and seen.t_s > t_s for seen in live.results[-100:])


def _recorded(folder: Path) -> list[Path]:
    return [path for path in (folder / "out").glob("*/frames.jsonl") if path.stat().st_size]


def _page_answers() -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{_PORT}/metrics", timeout=0.5):
            return True
    except OSError:
        return False


def _row(case: str, live: LiveSession, begin_s: float, works_again: Callable[[], bool], before_mb: float) -> str:
    session, came = live.results[-1].session_id, len(live.stderr)

    def noticed() -> bool:
        return any(
            word in line for line in live.stderr[came - 1 :] for word in ("was killed", "hangs", "did not answer")
        )

    noticed_s = live.until(noticed, "it was not noticed") - begin_s
    again_s = live.until(works_again, "it does not work again") - begin_s
    time.sleep(8.0)
    results = [seen for seen in list(live.results) if seen.t_s > begin_s]
    (pid, *_) = live.pids()["stream"]
    after_mb = rss_mb(pid)
    same = "" if results[-1].session_id == session else ", new session"
    unanswered_s, silent_s = (
        max(b - a for a, b in pairwise([begin_s, *times]))
        for times in ([seen.t_s for seen in results if seen.answered], [seen.t_s for seen in results])
    )
    live.end()
    return (
        f"| {case}{same} | {noticed_s:.2f} | {again_s:.2f} | {unanswered_s:.2f} | {silent_s:.2f} "
        f"| {before_mb:.0f} / {after_mb:.0f} |"
    )


if __name__ == "__main__":
    sys.exit(main())
