"""Fixtures that every part of the tests may use."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def bus_address() -> Iterator[str]:
    """A bus of the test's own, in a folder whose path is short enough for a socket."""
    folder = tempfile.mkdtemp(prefix="usa")
    yield f"ipc://{folder}"
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def repository() -> Path:
    """The root of the checkout."""
    return Path(__file__).resolve().parent.parent
