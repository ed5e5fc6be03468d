"""A display without a screen, for tests of windows."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

__all__ = ["virtual_display"]


@contextmanager
def virtual_display(hw_px: tuple[int, int]) -> Iterator[str]:
    """Run Xvfb, without a window manager; gives the name of its display. Skips the test where it is not installed."""
    program = shutil.which("Xvfb")
    if program is None:
        pytest.skip("Xvfb is not installed")
    size = f"{hw_px[1]}x{hw_px[0]}x24"
    server = subprocess.Popen(
        [program, "-displayfd", "1", "-screen", "0", size, "-nolisten", "tcp", "-br", "-noreset"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert server.stdout is not None
        yield f":{int(server.stdout.readline())}"
    finally:
        server.terminate()
        server.communicate()
