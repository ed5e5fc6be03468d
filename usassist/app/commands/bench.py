"""The commands ``usassist bench …``."""

from __future__ import annotations

import typer

from usassist.app.commands.bench_commands import codecs, isolation, live, replay, soak, start
from usassist.app.commands.bench_faults import faults

__all__ = ["bench_app"]

bench_app = typer.Typer(help="Measure the program itself on this machine.", no_args_is_help=True)
for command in (faults, live, start, replay, isolation, soak, codecs):
    bench_app.command()(command)
