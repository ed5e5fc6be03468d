"""Private sockets for one run."""

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
    """Address of a bus for this run alone. Folders that killed runs have left behind are removed."""
    base = runtime_dir()
    for folder in base.glob("run-*-*"):
        if not _is_alive(folder):
            shutil.rmtree(folder, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"run-{os.getpid()}-", dir=base))
    try:
        yield f"ipc://{folder}"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _is_alive(folder: Path) -> bool:
    """True while the process runs whose id is in the name of the folder."""
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
