"""The environment that the others run in: made once, next to their requirements, and made again when those change."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from usassist.errors import UsAssistError

__all__ = ["HERE", "peers_python"]

HERE = Path(__file__).resolve().parent
_REQUIREMENTS = HERE / "requirements.txt"


def peers_python(folder: Path = HERE / ".venv") -> Path:
    """The interpreter of the others' environment, which is made where it is not there yet.

    Raises
    ------
    UsAssistError
        If it cannot be made.
    """
    python, done = folder / "bin" / "python", folder / "requirements.txt"
    wanted = _REQUIREMENTS.read_text(encoding="utf-8")
    if done.is_file() and done.read_text(encoding="utf-8") == wanted:
        return python
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(_REQUIREMENTS)]
    for command in ([sys.executable, "-m", "venv", "--clear", str(folder)], install):
        run = subprocess.run(command, check=False, capture_output=True, text=True)
        if run.returncode:
            lines = [line for line in (run.stdout + run.stderr).splitlines() if line.strip()] or ["it says nothing"]
            raise UsAssistError(f"cannot make {folder}: {lines[-1].strip()}; look at {' '.join(command)}")
    done.write_text(wanted, encoding="utf-8")
    return python
