"""The table of back ends and precisions that did not run, of ``usassist engine bench`` and ``verify``."""

from __future__ import annotations

from collections.abc import Iterable

from rich import box
from rich.console import Console
from rich.table import Table

__all__ = ["group_reasons", "print_left_out"]


def print_left_out(items: list[tuple[str, str, str]], title: str, console: Console) -> None:
    """Print back ends and precisions that did not run, each reason once; nothing when there are none."""
    if not items:
        return
    table = Table(title, "why", box=box.SIMPLE_HEAD)
    table.columns[0].max_width = 34
    for names, reason in group_reasons(items):
        table.add_row(names, reason)
    console.print(table)


def group_reasons(items: Iterable[tuple[str, str, str]]) -> list[tuple[str, str]]:
    """Join what was left out for the same reason.

    Parameters
    ----------
    items : (back end, precision, reason) in the order in which they are to be shown

    Returns
    -------
    groups : (who, why); a back end without precisions was left out in all of them
    """
    items = [(backend, precision, _plain(backend, reason)) for backend, precision, reason in items]
    why = {backend: {reason for name, _, reason in items if name == backend} for backend, _, _ in items}
    groups: dict[str, dict[str, list[str]]] = {}
    for backend, precision, reason in items:
        groups.setdefault(reason, {}).setdefault(backend, []).append(precision)
    return [
        (
            ", ".join(
                backend if len(why[backend]) == 1 and len(names) > 1 else f"{backend} {' '.join(names)}"
                for backend, names in who.items()
            ),
            reason,
        )
        for reason, who in groups.items()
    ]


def _plain(backend: str, reason: str) -> str:
    """A reason without the name of the back end in front of it, where it holds for others too."""
    return reason.removeprefix(f"back end {backend} cannot run here: ")
