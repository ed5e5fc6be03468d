"""The commands ``usassist keys …``."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from usassist.app.commands.options import JsonOption

if TYPE_CHECKING:
    from usassist.bus.keys import Role

__all__ = ["keys_app"]

keys_app = typer.Typer(help="Keys for watching a stream from another machine; see docs/bus.md.", no_args_is_help=True)

RoleArgument = Annotated[
    str, typer.Argument(metavar="stream|viewer", help="Whose: of streams on this machine, or of viewers.")
]


@keys_app.command("make")
def make(whose: RoleArgument) -> None:
    """Make a key pair and print its public key. The secret key stays in a file that only you can read."""
    from usassist.bus.keys import Keyring

    typer.echo(Keyring().make(_role(whose)))


@keys_app.command("show")
def show(whose: RoleArgument) -> None:
    """Print a public key, to be allowed on the other machine."""
    from usassist.bus.keys import Keyring

    typer.echo(Keyring().public_key(_role(whose)))


@keys_app.command("allow")
def allow(
    key: Annotated[str, typer.Argument(metavar="KEY", help="What `usassist keys show` prints on the other machine.")],
    name: Annotated[str, typer.Option(help="A name for it here: small letters, digits, - and _.")],
) -> None:
    """Accept a key: of a viewer, who may watch from now on, or of a stream that is to be watched."""
    from usassist.bus.keys import Keyring

    role = Keyring().allow(key, name)
    done = "may watch the streams of this user" if role == "viewer" else "is a stream that viewers here accept"
    typer.echo(f"{name} {done}")


@keys_app.command("forget")
def forget(name: Annotated[str, typer.Argument(help="As `usassist keys list` shows it.")]) -> None:
    """Accept a key no longer. A viewer who is connected stays until the viewer or the stream stops."""
    from usassist.bus.keys import Keyring

    Keyring().forget(name)
    typer.echo(f"{name} is accepted no longer")


@keys_app.command("list")
def list_keys(as_json: JsonOption = False) -> None:
    """List the public keys that are known here; secret keys are never shown."""
    from rich.console import Console
    from rich.table import Table

    from usassist.bus.keys import OWN, ROLES, Keyring

    keyring = Keyring()
    rows = [{"whose": role, "name": OWN, "key": keyring.public_key(role)} for role in ROLES if keyring.has_key(role)]
    for role in ROLES:
        rows += [{"whose": role, "name": n, "key": f"{role}-{key.hex()}"} for n, key in keyring.allowed(role).items()]
    if as_json:
        typer.echo(json.dumps({"folder": str(keyring.folder), "keys": rows}, indent=2))
        return
    if not rows:
        typer.echo(
            f"nothing in {keyring.folder}; make a key with: usassist keys make stream, or: usassist keys make viewer"
        )
        return
    table = Table("whose", "name", "public key")
    for row in rows:
        table.add_row(row["whose"], row["name"], row["key"])
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    typer.echo(f"in {keyring.folder}")


def _role(text: str) -> Role:
    from usassist.bus.keys import ROLES
    from usassist.errors import UsageError

    for role in ROLES:
        if role == text:
            return role
    raise UsageError(f"there are no keys of a {text}; choose stream or viewer")
