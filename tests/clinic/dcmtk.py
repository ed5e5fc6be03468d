"""The programs of dcmtk."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

__all__ = ["find_dcmtk"]


def find_dcmtk(name: str) -> str | None:
    """Path of a program of dcmtk; None where it is not installed.

    pynetdicom has programs of the same names, which come first where the virtual environment is active.
    """
    own = Path(sys.prefix, "bin").resolve()
    folders = [folder for folder in os.get_exec_path() if Path(folder).resolve() != own]
    return shutil.which(name, path=os.pathsep.join(folders))
