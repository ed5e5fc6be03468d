"""The worklist process is killed at random moments: every study is scored once, and none is lost."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.worklist_studies import SCORER, make_study
from usassist.app.worklist.journal import Ended, Journal
from usassist.sinks.worklist import STATE_FOLDER, read_worklist

PROGRAM = """
import sys, threading
from pathlib import Path
from usassist.app.worklist.scoring import ScoringOptions
from usassist.app.worklist.state_folder import open_state
from usassist.app.worklist.watch import WatchOptions, WorklistProcess
folder = Path(sys.argv[1])
scoring = ScoringOptions(scorer={scorer!r}, options={{"takes_s": {takes_s}}}, deadline_s=60.0, memory_mb=700)
watch = WatchOptions(scoring=scoring, engine="test@1", look_s=0.02, quiet_s=0.0, once=True)
with open_state(folder, None) as opened:
    complete = WorklistProcess(folder, opened, watch).run(threading.Event())
sys.exit(0 if complete else 1)
"""


def results(folder: Path) -> set[str]:
    return {path.name for path in (folder / STATE_FOLDER / "results").glob("[0-9a-f]*")}


def kill_until_done(folder: Path, kills: int, seed: int, takes_s: float) -> dict[str, int]:
    """Start it, wait until it has scored some more, kill it after a random moment, and in the end let it finish.

    Returns
    -------
    written : name of a result → its inode; a result that is replaced has another
    """
    chance = random.Random(seed)
    program = PROGRAM.format(scorer=SCORER, takes_s=takes_s)
    written: dict[str, int] = {}
    for _ in range(kills):
        process = subprocess.Popen([sys.executable, "-c", program, str(folder)])
        target = len(results(folder)) + chance.randint(1, 2)
        while process.poll() is None and len(results(folder)) < target:
            time.sleep(0.005)
        time.sleep(chance.uniform(0.0, 0.15))
        process.send_signal(signal.SIGKILL)
        process.wait()
        for name in results(folder):
            inode = (folder / STATE_FOLDER / "results" / name).stat().st_ino
            assert written.setdefault(name, inode) == inode, "a result was replaced"
    done = subprocess.run([sys.executable, "-c", program, str(folder)], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return written


def check(folder: Path, count: int, written: dict[str, int]) -> None:
    found = read_worklist(folder / STATE_FOLDER / "worklist.json")
    assert len(found.studies) == count
    assert sorted(row.arrival for row in found.studies) == list(range(1, count + 1))
    assert all(len(row.versions) == 1 and not row.versions[0].same_as for row in found.studies)
    scores = [row.score for row in found.studies if row.group == "suspicious" and row.score is not None]
    assert scores == sorted(scores, reverse=True)
    with Journal(folder / STATE_FOLDER / "journal.jsonl") as journal:
        scored = [event.study for event in journal.events if isinstance(event, Ended)]
        assert journal.damaged == 0
    assert len(scored) == len(set(scored)) == count
    assert len(results(folder)) == count
    for name, inode in written.items():
        assert (folder / STATE_FOLDER / "results" / name).stat().st_ino == inode
    left = [path for path in (folder / STATE_FOLDER).rglob(".*") if path.name != STATE_FOLDER]
    assert not [path for path in left if path.name.startswith(".unfinished")]


@pytest.mark.slow
def test_killed_again_and_again_it_scores_each_of_twenty_studies_once(tmp_path: Path) -> None:
    for number in range(20):
        make_study(tmp_path / f"study{number}", f"{number / 20:.2f}", seed=number)
    check(tmp_path, 20, kill_until_done(tmp_path, kills=2, seed=3, takes_s=0.01))


@pytest.mark.long
@pytest.mark.parametrize("seed", range(5))
def test_killed_at_many_moments(tmp_path: Path, seed: int) -> None:
    for number in range(20):
        make_study(tmp_path / f"study{number}", f"{number / 20:.2f}", seed=number)
    check(tmp_path, 20, kill_until_done(tmp_path, kills=14, seed=100 + seed, takes_s=0.1))


def test_a_child_without_its_parent_ends_and_keeps_nothing(tmp_path: Path) -> None:
    make_study(tmp_path / "study", "hang")
    process = subprocess.Popen([sys.executable, "-c", PROGRAM.format(scorer=SCORER, takes_s=0.0), str(tmp_path)])
    results_folder = tmp_path / STATE_FOLDER / "results"
    while not list(results_folder.glob(".unfinished-*")):
        time.sleep(0.005)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert children
    for child in map(int, children):
        while Path(f"/proc/{child}").exists() and " Z " not in Path(f"/proc/{child}/stat").read_text():
            time.sleep(0.005)
    assert not results(tmp_path)
    assert os.path.exists(tmp_path / STATE_FOLDER / "worklist.json")
