"""Looks: frames of one kind of screen (a scanner with its software and layout) are evaluated together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from usassist.errors import ConfigError
from usassist.evaluation.csv_tables import Row, read_rows, require_good_rows

__all__ = ["UNKNOWN_LOOK", "looks_of_rows", "read_looks", "require_look"]

UNKNOWN_LOOK = "unknown"
_ORIGINAL_SIZE = ("original_width", "original_height")


def read_looks(path: Path) -> dict[str, str]:
    """Name → look, from a CSV file.

    The file has a column with the name of the frame and either a column ``look``, or ``original_width`` and
    ``original_height``: the size that the frame had when it left the scanner, from which looks such as ``718x500`` are
    made.

    Raises
    ------
    SourceError
        If the file cannot be read.
    ConfigError
        If it has no such columns, a row has no look, or a frame has two.
    """
    rows = read_rows(path)
    looks = looks_of_rows(path, rows)
    if looks is None:
        raise ConfigError(
            f"{path.name}: no column look, and not both of original_width and original_height; add a column look"
        )
    return looks


def looks_of_rows(path: Path, rows: Sequence[Row]) -> dict[str, str] | None:
    """Name → look of the rows of a file, see :func:`read_looks`; None when no column tells it."""
    columns = rows[0].fields
    if "look" not in columns and not all(column in columns for column in _ORIGINAL_SIZE):
        return None
    looks: dict[str, str] = {}
    problems = []
    for row in rows:
        size = [row.fields.get(column, "") for column in _ORIGINAL_SIZE]
        look = row.fields["look"] if "look" in columns else "x".join(size) if all(size) else ""
        if not look:
            problems.append(f"{row.where}: no look")
        elif looks.setdefault(row.name, look) != look:
            problems.append(f"{row.where}: look {look}, before {looks[row.name]}")
    require_good_rows(path, problems)
    return looks


def require_look(looks: dict[str, str], names: Iterable[str], path: Path) -> None:
    """Refuse a file of looks that has none for any frame: its names are of other frames.

    Raises
    ------
    ConfigError
        If there is none.
    """
    if not any(name in looks for name in names):
        raise ConfigError(f"{path.name} has no row for any of the frames; write their file names in it")
