"""Readers whose process stands still: what they cost the publisher. Memory is measured, never time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_LIMIT_BYTES = 64 * 2**20


@pytest.mark.alone  # other readers that get no time of the processor have queues too
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc (Linux)")
@pytest.mark.parametrize("service", ["view", "archive"])
def test_ten_readers_that_stand_still_cost_the_publisher_less_than_64_mib(service: str, bus_address: str) -> None:
    command = [sys.executable, "-m", "tests.unit.bus.stalled", bus_address, service]
    root = Path(__file__).parents[3]
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root, timeout=300)
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) < _LIMIT_BYTES
