"""Where Chromium is."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

__all__ = ["MISSING", "find_chromium"]

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
# Debian, Ubuntu (a snap is not always on the path), Google's own package.
FOLDERS = ("/usr/bin", "/usr/local/bin", "/snap/bin", "/usr/lib/chromium", "/opt/google/chrome")
MISSING = (
    "no Chromium: on Debian apt-get install chromium, on Ubuntu snap install chromium, elsewhere "
    "python -m playwright install --with-deps chromium"
)


def find_chromium(bundled: str = "", environment: Mapping[str, str] = os.environ) -> str | None:
    """The first Chromium or Chrome that runs.

    Parameters
    ----------
    bundled : where playwright keeps its own; it need not be there
    environment : its path is looked through first

    Returns
    -------
    path : of the program; None = there is none
    """
    for path in _candidates(bundled, environment.get("PATH", "")):
        if os.access(path, os.X_OK) and _runs(path):
            return path
    return None


def _candidates(bundled: str, path: str) -> Iterable[str]:
    for name in NAMES:
        yield shutil.which(name, path=path) or ""
    if bundled:
        yield bundled
    for folder in FOLDERS:
        for name in NAMES:
            yield str(Path(folder) / name)


def _runs(path: str) -> bool:
    """Ubuntu has a script of that name which only says that the snap is missing."""
    try:
        return subprocess.run([path, "--version"], capture_output=True, check=False, timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
