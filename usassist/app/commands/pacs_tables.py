"""What archives answered, as tables. They name patients: on standard output alone, because the user asked."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from usassist.dicom.network.nodes import Level, Match
    from usassist.dicom.network.queue import Entry
    from usassist.dicom.network.worklist import Ordered

__all__ = ["print_entries", "print_matches", "print_ordered"]

_WIDE = 240  # columns, where the output is no terminal

_COLUMNS: dict[str, dict[str, str]] = {
    "STUDY": {
        "patient": "patient_name",
        "ID": "patient_id",
        "date": "study_date",
        "time": "study_time",
        "accession": "accession_number",
        "modality": "modality",
        "objects": "objects",
        "description": "description",
        "study instance UID": "study_instance_uid",
    },
    "SERIES": {
        "modality": "modality",
        "objects": "objects",
        "description": "description",
        "series instance UID": "series_instance_uid",
    },
    "IMAGE": {"SOP instance UID": "sop_instance_uid", "SOP class UID": "sop_class_uid"},
}


def print_matches(level: Level, matches: Sequence[Match]) -> None:
    """A table of what a query found."""
    columns = _COLUMNS[level]
    rows = [[getattr(match, name) for name in columns.values()] for match in matches]
    _print(list(columns), [["?" if value is None else str(value) for value in row] for row in rows])


def print_ordered(found: Sequence[Ordered]) -> None:
    """A table of a worklist."""
    rows = [
        [
            item.date,
            item.time,
            item.modality,
            item.station_ae,
            item.study.patient_name,
            item.study.patient_id,
            item.study.accession_number,
            item.description,
        ]
        for item in found
    ]
    _print(["date", "time", "modality", "station", "patient", "ID", "accession", "description"], rows)


def print_entries(rows: Sequence[tuple[str, Entry]]) -> None:
    """A table of what is queued, with the archive of each."""
    _print(
        ["archive", "queued (UTC)", "state", "tries", "SOP instance UID", "last failure"],
        [
            [to, entry.queued_utc[:19], entry.state, str(entry.attempts), entry.sop_instance_uid, entry.detail]
            for to, entry in rows
        ],
    )


def _print(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table(box=box.SIMPLE_HEAD)
    for name in columns:
        table.add_column(name, overflow="fold", no_wrap=name.endswith("UID"))
    for row in rows:
        table.add_row(*(Text(_printable(value)) for value in row))
    Console(width=None if sys.stdout.isatty() else _WIDE).print(table)


def _printable(text: str) -> str:
    """Without control characters, which a terminal would obey."""
    return "".join(character if character.isprintable() else "?" for character in text)
