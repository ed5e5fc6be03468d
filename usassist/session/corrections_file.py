"""Name of the file beside a session that holds corrections made elsewhere, see :mod:`usassist.session.corrections`."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

__all__ = ["CORRECTIONS_FILE", "copy_corrections"]

CORRECTIONS_FILE = "corrections.jsonl"


def copy_corrections(folder: Path, new: Path) -> None:
    """Copy the corrections of a session, where it has any, as they are into the folder of a part or a copy of it.

    Raises
    ------
    OSError
        If they cannot be copied.
    """
    if (folder / CORRECTIONS_FILE).is_file():
        shutil.copyfile(folder / CORRECTIONS_FILE, new / CORRECTIONS_FILE)
        os.chmod(new / CORRECTIONS_FILE, 0o600)
