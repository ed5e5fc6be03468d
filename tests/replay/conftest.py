"""Run the command line as a user does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Usassist = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a user without display, with sockets in a folder of the test's own."""
    folder = tmp_path_factory.mktemp("run")
    folder.chmod(0o700)
    keep = {key: value for key, value in os.environ.items() if key not in ("DISPLAY", "WAYLAND_DISPLAY")}
    return keep | {"XDG_RUNTIME_DIR": str(folder), "COLUMNS": "120"}


@pytest.fixture
def usassist(environment: dict[str, str], tmp_path: Path) -> Usassist:
    """Call ``usassist`` with arguments, in an empty folder."""

    def call(*arguments: object, timeout_s: float = 120, **options: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "usassist", *map(str, arguments)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            **options,  # type: ignore[call-overload]
        )

    return call
