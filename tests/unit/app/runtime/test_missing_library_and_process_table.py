from __future__ import annotations

import re
import subprocess
import sys

import pytest

from usassist.app.runtime.child_process import ChildProcess
from usassist.app.runtime.open_stream import new_session_id
from usassist.common.missing_library import explain_import_error
from usassist.errors import UsAssistError


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("libGL.so.1: cannot open shared object file: No such file or directory", "apt-get install libgl1 "),
        ("libglib-2.0.so.0: cannot open shared object file: No such file", "apt-get install libglib2.0-0 "),
        ("libstrange.so.7: cannot open shared object file: No such file", "libstrange.so.7 is missing"),
        ("No module named 'cv2'", "pip install --force-reinstall usassist"),
    ],
)
def test_a_missing_library_of_the_system_is_named_with_its_package(text: str, says: str) -> None:
    line = explain_import_error(ImportError(text, name="cv2"))
    assert says in line
    assert "\n" not in line


def test_a_command_without_a_system_library_ends_with_that_line() -> None:
    program = (
        "import sys, importlib.abc\n"
        "class Broken(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name == 'cv2':\n"
        "            raise ImportError('libGL.so.1: cannot open shared object file: No such file or directory')\n"
        "sys.meta_path.insert(0, Broken())\n"
        "sys.argv = ['usassist', 'replay', 'demo']\n"
        "from usassist.app.commands.main import main\n"
        "main()\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert run.stderr.strip().splitlines()[-1].startswith("usassist: the system library libGL.so.1 is missing")
    assert "Traceback" not in run.stderr


def test_a_child_reports_in_one_line_why_it_cannot_work() -> None:
    with ChildProcess("record") as child:
        child.start({"address": "ipc:///tmp", "folder": "/proc/nowhere"})
        with pytest.raises(UsAssistError, match="/proc/nowhere cannot be written"):
            child.wait_for("ready", timeout_s=30)
    assert not child.alive


def test_a_child_that_gets_no_options_exits() -> None:
    child = ChildProcess("overlay_video")
    child.stop()
    assert not child.alive


def test_a_child_that_dies_is_noticed() -> None:
    with ChildProcess("record") as child:
        child._process.kill()
        with pytest.raises(UsAssistError, match="the process record exited with code -9"):
            child.wait_for("ready", timeout_s=30)


def test_sessions_have_sortable_names() -> None:
    names = {new_session_id() for _ in range(20)}
    assert len(names) == 20
    assert all(re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{6}", name) for name in names)
