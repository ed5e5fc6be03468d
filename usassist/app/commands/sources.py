"""The commands ``usassist sources …``."""

from __future__ import annotations

import typer

from usassist.app.commands.sources_list import sources_list
from usassist.app.commands.sources_profile import profile

__all__ = ["sources_app"]

sources_app = typer.Typer(help="Where frames can come from.", no_args_is_help=True)
sources_app.command()(profile)
sources_app.command("list")(sources_list)
