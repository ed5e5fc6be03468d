"""The commands ``usassist engine …``."""

from __future__ import annotations

import typer

from usassist.app.commands.engine_bench import bench
from usassist.app.commands.engine_build import build
from usassist.app.commands.engine_cache import cache_app
from usassist.app.commands.engine_conformance import conformance
from usassist.app.commands.engine_list import engine_list
from usassist.app.commands.engine_quantize import quantize
from usassist.app.commands.engine_verify import verify

__all__ = ["engine_app"]

engine_app = typer.Typer(help="Engines and the back ends that run them.", no_args_is_help=True)
for command in (bench, build, conformance, quantize, verify):
    engine_app.command()(command)
engine_app.command("list")(engine_list)
engine_app.add_typer(cache_app, name="cache")
