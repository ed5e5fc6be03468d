"""Tables that several commands print."""

from __future__ import annotations

from rich import box
from rich.table import Table

__all__ = ["number_table"]


def number_table(title: str, *columns: str) -> Table:
    """A table whose first column is text and whose others are numbers."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left", no_wrap=True)
    return table
