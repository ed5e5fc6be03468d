from __future__ import annotations

import re

import pytest
import typer
from typer.testing import CliRunner

from tools.python_interface_cost import main


@pytest.mark.slow
def test_the_cost_is_told_as_a_part_of_the_engines_time() -> None:
    app = typer.Typer()
    app.command()(main)
    run = CliRunner().invoke(app, ["--count", "10"])
    assert run.exit_code == 0, run.output
    assert run.output.startswith("10 frames of ")
    figures = [float(text) for text in re.findall(r" (\d+\.\d{3})(?: ms)?$", run.output, re.MULTILINE)]
    replay_ms, engine_ms, added_ms, ratio = figures
    assert min(replay_ms, engine_ms, added_ms) > 0
    assert ratio == pytest.approx(added_ms / replay_ms, abs=2e-3)
