"""What holds for every test, tried on tests that hang."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.limits import started_s

ROOT = Path(__file__).resolve().parents[2]
Pytest = Callable[..., "subprocess.CompletedProcess[str]"]

HANGING = """
import subprocess, sys, threading, time

def wait_elsewhere():
    time.sleep(600)

def test_hangs(tmp_path_factory):
    threading.Thread(target=wait_elsewhere, daemon=True).start()
    child = subprocess.Popen([sys.executable, "-c",
        "import subprocess, sys; subprocess.Popen(['sleep', '600']).wait()"], start_new_session=True)
    open("pids", "w").write(str(child.pid))
    time.sleep(600)

def test_after_it():
    pass
"""


@pytest.fixture
def run_pytest(tmp_path: Path) -> Pytest:
    """Run pytest on a text, with the conftest of this project."""

    def run(text: str, *options: str, ignored: bool = False) -> subprocess.CompletedProcess[str]:
        (tmp_path / "conftest.py").write_text("from tests.conftest import *\n")
        (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n    none\n")
        (tmp_path / "test_it.py").write_text(text)
        command = [sys.executable, "-m", "pytest", "-q", "--import-mode=importlib", *options]
        if ignored:
            command = ["sh", "-c", 'trap "" INT TERM; exec "$@"', "sh", *command]
        plain = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
        return subprocess.run(
            command,
            cwd=tmp_path,
            env=plain | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )

    return run


def test_a_test_that_hangs_fails_with_all_stacks_and_leaves_no_process(run_pytest: Pytest, tmp_path: Path) -> None:
    run = run_pytest(HANGING, "--timeout", "2")
    assert run.returncode == 1, run.stdout + run.stderr
    assert "1 failed, 1 passed" in run.stdout
    assert "in wait_elsewhere" in run.stdout + run.stderr
    assert ">       time.sleep(600)" in run.stdout or ">   time.sleep(600)" in run.stdout
    pid = int((tmp_path / "pids").read_text())
    assert started_s(pid) is None
    with pytest.raises(ProcessLookupError):
        os.killpg(pid, 0)  # nor the child of the child


def test_one_that_no_signal_reaches_ends_the_run_with_all_stacks(run_pytest: Pytest) -> None:
    text = (
        "import ctypes\n\n"
        "def test_stands_in_a_library():\n"
        "    library, lock = ctypes.CDLL(None), ctypes.create_string_buffer(64)\n"
        "    library.pthread_mutex_lock(lock)\n"
        "    library.pthread_mutex_lock(lock)\n"
    )
    run = run_pytest(text, "--timeout", "1", "--grace", "1")
    assert run.returncode == 1
    assert "in test_stands_in_a_library" in run.stderr


def test_a_run_that_was_started_with_signals_ignored_can_end_its_children(run_pytest: Pytest) -> None:
    text = (
        "import signal, subprocess\n\n"
        "def test_signals():\n"
        "    for number in (signal.SIGINT, signal.SIGTERM):\n"
        "        with subprocess.Popen(['sleep', '60']) as child:\n"
        "            child.send_signal(number)\n"
        "            assert child.wait(30) == -number\n"
        "    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler\n"
    )
    run = run_pytest(text, ignored=True)
    assert run.returncode == 0, run.stdout
