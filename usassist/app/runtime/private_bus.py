"""A folder for the sockets of one run."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from usassist.config import runtime_dir

__all__ = ["private_bus"]


@contextlib.contextmanager
def private_bus() -> Iterator[str]:
    """The address of a bus that nobody else uses; what runs that were killed have left behind is cleared away."""
    base = runtime_dir()
    for folder in base.glob("run-*-*"):
        if not _lives(folder):
            shutil.rmtree(folder, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"run-{os.getpid()}-", dir=base))
    try:
        yield f"ipc://{folder}"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _lives(folder: Path) -> bool:
    """True while the process that a folder is named after runs."""
    number = folder.name.split("-")[1]
    if not number.isdecimal():
        return True
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
