"""The commands ``usassist ct …``: studies of computed tomography."""

from __future__ import annotations

import typer

from usassist.app.commands.ct_bodycomp import bodycomp
from usassist.app.commands.ct_ich import ich
from usassist.app.commands.ct_info import info
from usassist.app.commands.ct_levels import levels
from usassist.app.commands.ct_worklist import worklist

__all__ = ["ct_app"]

ct_app = typer.Typer(help="Studies of computed tomography; see docs/ct-reading.md.", no_args_is_help=True)

ct_app.command("info")(info)
ct_app.command("ich")(ich)
ct_app.command("levels")(levels)
ct_app.command("bodycomp")(bodycomp)
ct_app.command("worklist")(worklist)


@ct_app.callback()
def _group() -> None:
    """Keep each a command of its own."""
