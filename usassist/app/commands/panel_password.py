"""The command ``usassist panel-password``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from usassist.errors import UsageError

__all__ = ["panel_password"]


def panel_password(
    file: Annotated[Path, typer.Argument(help="File for the hash of the password; one that is there is replaced.")],
) -> None:
    """Make a password file for the page: asks for the password, or reads it from a pipe. Its scrypt hash is kept."""
    from usassist.sinks.panel.access.password import MIN_CHARACTERS, write_password

    if sys.stdin.isatty():
        password = typer.prompt(f"Password, {MIN_CHARACTERS} characters or more", hide_input=True, err=True)
        if typer.prompt("Once more", hide_input=True, err=True) != password:
            raise UsageError("the two are not the same; start again")
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    write_password(file, password)
    typer.echo(f"usassist: {file} is made; give it to the page with --password-file", err=True)
