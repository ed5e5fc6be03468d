"""What ``dciodvfy`` of dicom3tools says of a DICOM file."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

__all__ = ["needs_dciodvfy", "problems_of", "warnings_of"]

needs_dciodvfy = pytest.mark.skipif(
    shutil.which("dciodvfy") is None, reason="dciodvfy is missing: apt-get install dicom3tools"
)


def problems_of(path: Path) -> list[str]:
    """Its lines about errors; empty = it found none.

    Raises
    ------
    AssertionError
        If it did not recognise the object's class, so that it checked nothing.
    """
    return _lines(path, "Error")


def warnings_of(path: Path) -> list[str]:
    """Its lines about what may be wrong."""
    return _lines(path, "Warning")


def _lines(path: Path, kind: str) -> list[str]:
    done = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, timeout=60, check=False)
    lines = [line.strip() for line in (done.stderr + done.stdout).splitlines() if line.strip()]
    recognised = [line for line in lines if " " not in line and not line.startswith(("Error", "Warning"))]
    assert recognised, f"dciodvfy did not recognise {path.name}: {lines[:5]}"
    return [line for line in lines if line.startswith(kind)]
