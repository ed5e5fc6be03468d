"""The reference of all commands in ``docs/commands.md``: ``python -m tools.commands_page``.

Every command with its arguments and options, from the command line itself. A test compares the page with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
import typer.main

from usassist.app.commands.main import app

__all__ = ["renew_commands"]

PAGE = Path(__file__).resolve().parent.parent / "docs" / "commands.md"
_BEGIN = "<!-- all commands, renewed by: python -m tools.commands_page -->\n"
_END = "<!-- end of all commands -->\n"
_VALUES = {"int": "N", "float": "NUMBER", "str": "TEXT", "path": "PATH"}
_HIDDEN = {"install_completion", "show_completion"}


def renew_commands(page: str) -> str:
    """The page with its list of commands renewed.

    Raises
    ------
    ValueError
        If the marks around the list are not in the page.
    """
    before, begin, rest = page.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"the page has no list of commands; put these two lines in it: {_BEGIN}{_END}")
    root = typer.main.get_command(app)
    parts = [_describe(path, command) for path, command in _commands(root, ("usassist",))]
    return before + begin + "\n" + "\n".join(parts) + "\n" + end + after


def _commands(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The command, and those below it, each group by name; a group without options of its own is left out."""
    below = getattr(command, "commands", {})
    if not below or len(path) == 1:
        yield path, command
    for name in sorted(below):
        yield from _commands(below[name], (*path, name))


def _describe(path: tuple[str, ...], command: Any) -> str:
    shown = [item for item in command.params if not item.hidden and item.name not in _HIDDEN]
    arguments = [item for item in shown if item.param_type_name == "argument"]
    usage = [*path, *(_argument(item) for item in arguments)]
    lines = [f"### {' '.join(path)}", "", *(part for part in _paragraphs(command.help)), f"    {' '.join(usage)}", ""]
    rows = [f"| {_names(item)} | {_meaning(item)} |" for item in shown]
    if rows:
        lines += ["| | |", "|---|---|", *rows, ""]
    return "\n".join(lines)


def _paragraphs(text: str | None) -> Iterator[str]:
    for paragraph in (text or "").strip().split("\n\n"):
        yield " ".join(paragraph.split())
        yield ""


def _argument(item: Any) -> str:
    name = item.metavar or item.name.upper()
    return name if item.required else f"[{name}]"


def _names(item: Any) -> str:
    if item.param_type_name == "argument":
        return f"`{_argument(item)}`".replace("|", "\\|")
    value = "" if item.is_flag else f" {item.metavar or _VALUES.get(item.bare_type(), item.bare_type())}"
    return ", ".join([*(f"`{name}{value}`" for name in item.opts), *(f"`{name}`" for name in item.secondary_opts)])


def _meaning(item: Any) -> str:
    text = (item.help or "").replace("|", "\\|")
    if item.multiple:
        text += " May be given more than once."
    if item.required and item.param_type_name == "option":
        text += " Required."
    if item.default not in (None, "", False, True) and "[default" not in text:
        text += f" [default: {item.default}]"
    if item.secondary_opts and isinstance(item.default, bool):
        text += f" [default: {(item.opts if item.default else item.secondary_opts)[0]}]"
    return text.strip()


def main(page: Annotated[Path, typer.Option(help="The page to renew.")] = PAGE) -> None:
    """Renew the list of commands in the page."""
    page.write_text(renew_commands(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
