"""The commands ``usassist bench …``."""

from __future__ import annotations

import typer

from usassist.app.commands.bench_codecs import codecs
from usassist.app.commands.bench_faults import faults
from usassist.app.commands.bench_isolation import isolation
from usassist.app.commands.bench_live import live
from usassist.app.commands.bench_openigtlink import openigtlink
from usassist.app.commands.bench_replay import replay
from usassist.app.commands.bench_soak import soak
from usassist.app.commands.bench_start import start
from usassist.app.commands.bench_view import view
from usassist.app.commands.bench_worklist import worklist

__all__ = ["bench_app"]

bench_app = typer.Typer(help="Measure the program itself on this machine.", no_args_is_help=True)
for command in (faults, live, start, replay, isolation, view, openigtlink, soak, codecs, worklist):
    bench_app.command()(command)
