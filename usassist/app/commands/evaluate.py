"""The commands ``usassist eval …``: measure an engine on folders of labelled frames, and calibrate its scores."""

from __future__ import annotations

import typer

from usassist.app.commands.evaluate_calibrate import calibrate
from usassist.app.commands.evaluate_domain import domain
from usassist.app.commands.evaluate_negatives import negatives
from usassist.app.commands.evaluate_nodule import nodule
from usassist.app.commands.evaluate_sweep import sweep
from usassist.app.commands.evaluate_text import text

__all__ = ["evaluate_app"]

evaluate_app = typer.Typer(help="Measure an engine on labelled frames.", no_args_is_help=True)
for command in (nodule, sweep, negatives, domain, calibrate, text):
    evaluate_app.command()(command)
