"""CSV files about frames: one row each, found by the name of the frame."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from usassist.errors import ConfigError, SourceError
from usassist.sources.address import IMAGE_SUFFIXES

__all__ = ["NAME_COLUMNS", "Row", "read_rows", "require_good_rows"]

NAME_COLUMNS = ("id", "file", "name")
"""Columns that may hold the name of the frame; the first that is there is used."""
_MAX_PROBLEMS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of a CSV file.

    Attributes
    ----------
    line : number of its line in the file, 1 = the header
    name : of the frame: file name without folder and without the suffix of an image
    fields : column → text, without white space around it; every column of the header is there
    """

    line: int
    name: str
    fields: dict[str, str]

    @property
    def where(self) -> str:
        """The row in words, for messages."""
        return f"line {self.line} ({self.name or 'no name'})"


def read_rows(path: Path, required: Sequence[str] = ()) -> list[Row]:
    """Read a CSV file with a header, separated by commas.

    Parameters
    ----------
    path : UTF-8 text; a byte order mark is ignored
    required : columns that must be there besides one of :data:`NAME_COLUMNS`

    Raises
    ------
    SourceError
        If the file cannot be read.
    ConfigError
        If a column is missing, there is no row, or a row has more or fewer fields than the header.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            lines = [(reader.line_num, [field.strip() for field in fields]) for fields in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"{path} cannot be read: {error}; give a CSV file") from error
    header, *rest = lines or [(1, [])]
    columns = [column.lower() for column in header[1]]
    name_column = next((column for column in NAME_COLUMNS if column in columns), None)
    missing = [column for column in required if column not in columns]
    if name_column is None:
        missing.insert(0, " or ".join(NAME_COLUMNS))
    if name_column is None or missing or len(set(columns)) < len(columns):
        problem = f"no column {', '.join(missing)}" if missing else "two columns of one name"
        raise ConfigError(f"{path.name}: {problem} in its first line, got {', '.join(columns)}; correct the first line")
    rows, problems = [], []
    for line, fields in rest:
        if not any(fields):
            continue
        if len(fields) != len(columns):
            problems.append(f"line {line}: {len(fields)} fields, {len(columns)} in the first line")
            continue
        row = dict(zip(columns, fields, strict=True))
        rows.append(Row(line=line, name=_name(row[name_column]), fields=row))
    problems += [f"line {row.line}: no name of a frame" for row in rows if not row.name]
    require_good_rows(path, problems)
    if not rows:
        raise ConfigError(f"{path.name} has no rows; write one for each frame")
    return rows


def require_good_rows(path: Path, problems: Sequence[str]) -> None:
    """Refuse a file that has problems.

    Raises
    ------
    ConfigError
        If there is any; the first five are named.
    """
    if problems:
        more = f"; and {len(problems) - _MAX_PROBLEMS} more" if len(problems) > _MAX_PROBLEMS else ""
        raise ConfigError(f"{path.name}: {'; '.join(problems[:_MAX_PROBLEMS])}{more}; correct these rows")


def _name(text: str) -> str:
    path = Path(text)
    return path.stem if path.suffix.lower() in IMAGE_SUFFIXES else path.name
