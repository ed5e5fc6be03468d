"""Tests that are marked ``alone`` run while no other test does, however many workers of pytest-xdist there are.

All tests of a run share one lock; one that is marked takes it for itself. Whoever waits for it keeps the next ones at
the gate, so a test that wants to be alone has to wait for no more than those that run already.
"""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest


class Turns:
    """Hooks of pytest: the controller makes the folder of the locks, and the workers take them."""

    def __init__(self, config: pytest.Config) -> None:
        given = getattr(config, "workerinput", {}).get("turns")
        self._mine: str | None = None
        self._gate = self._turn = None
        if given is not None:
            self._gate, self._turn = ((Path(given) / name).open("w") for name in ("gate", "turn"))

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """In the controller, for each worker that starts."""
        self._mine = self._mine or tempfile.mkdtemp(prefix="usassist-turns")
        node.workerinput["turns"] = self._mine

    def pytest_unconfigure(self) -> None:
        if self._mine is not None:
            shutil.rmtree(self._mine, ignore_errors=True)

    @pytest.hookimpl(wrapper=True, tryfirst=True)  # the limit of a test begins when it runs
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        if self._gate is None or self._turn is None:
            return (yield)
        fcntl.flock(self._gate, fcntl.LOCK_EX)
        fcntl.flock(self._turn, fcntl.LOCK_EX if item.get_closest_marker("alone") else fcntl.LOCK_SH)
        fcntl.flock(self._gate, fcntl.LOCK_UN)
        try:
            return (yield)
        finally:
            fcntl.flock(self._turn, fcntl.LOCK_UN)
