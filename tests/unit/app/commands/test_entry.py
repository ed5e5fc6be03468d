from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]


@pytest.mark.parametrize("platform", ["win32", "darwin", "freebsd14"])
def test_other_systems_than_linux_are_refused_before_anything_is_imported(platform: str) -> None:
    code = (
        f"import sys; sys.platform = {platform!r}; sys.modules['usassist.app.commands.main'] = None;"
        "from usassist.__main__ import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 1
    assert done.stderr == (
        f"usassist: this is {platform}, and usassist runs on Linux only; use a Linux machine or container\n"
    )


def test_on_linux_it_is_the_command_line() -> None:
    code = "import sys; sys.argv = ['usassist', '--version']; from usassist.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usassist ")


def test_the_package_declares_linux_and_this_entry() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert "Operating System :: POSIX :: Linux" in project["classifiers"]
    assert project["scripts"]["usassist"] == "usassist.__main__:main"
