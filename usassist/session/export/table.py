"""Results as a table: one row per nodule, and one for each frame without any; as CSV or as Parquet."""

from __future__ import annotations

import csv
import importlib
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

import msgspec

from usassist.errors import SessionError, UsageError
from usassist.session.export.new_file import new_file
from usassist.session.opening import RecordedSession
from usassist.sinks.sizes import size_in_words

__all__ = [
    "CSV_COLUMNS",
    "TABLE_COLUMNS",
    "CsvTable",
    "check_parquet",
    "export_csv",
    "export_parquet",
    "print_csv",
    "table_rows",
    "write_csv",
    "write_parquet",
]

TABLE_COLUMNS = {
    "frame_id": "int",
    "t_s": "float",
    "state": "text",
    "cause": "text",
    "reason": "text",
    "engine_id": "text",
    "backend": "text",
    "calibration_id": "text",
    "nodule": "int",
    "label": "text",
    "track_id": "int",
    "score": "float",
    "x1_px": "float",
    "y1_px": "float",
    "x2_px": "float",
    "y2_px": "float",
    "major_px": "float",
    "minor_px": "float",
    "area_px2": "float",
    "major_mm": "float",
    "minor_mm": "float",
    "area_mm2": "float",
    "major_u95_mm": "float",
    "minor_u95_mm": "float",
    "area_u95_mm2": "float",
    "descriptors": "text",
    "size": "text",
    "cut": "int",
    "ap_px": "float",
    "transverse_px": "float",
    "perimeter_px": "float",
    "equivalent_px": "float",
    "ap_mm": "float",
    "transverse_mm": "float",
    "perimeter_mm": "float",
    "equivalent_mm": "float",
    "ap_u95_mm": "float",
    "transverse_u95_mm": "float",
    "perimeter_u95_mm": "float",
    "equivalent_u95_mm": "float",
    "ap_t": "float",
    "ap_t_low": "float",
    "ap_t_high": "float",
    "ap_t_state": "text",
    "solidity": "float",
    "total_curvature": "float",
}
"""Column → ``int``, ``float`` or ``text``; all can be missing but the first."""

CSV_COLUMNS = tuple(TABLE_COLUMNS)

_BOX = ("x1_px", "y1_px", "x2_px", "y2_px")
_MISSING = {"state": "missing", "reason": "the result is not in the recording"}
_ROWS_PER_GROUP = 16384


def table_rows(result: dict[str, Any], t_s: float | None) -> Iterator[dict[str, Any]]:
    """The rows of one frame; a column without a value is None or left out.

    Parameters
    ----------
    result : a line of ``results.jsonl``
    t_s : since the first frame, s
    """
    frame = {name: result.get(name) for name in CSV_COLUMNS[: CSV_COLUMNS.index("nodule")]} | {"t_s": t_s}
    nodules = result.get("nodules")
    if not nodules:
        yield frame
        return
    for number, nodule in enumerate(nodules):
        row = frame | {name: nodule[name] for name in CSV_COLUMNS if name in nodule}
        row |= {"nodule": number, **dict(zip(_BOX, nodule["xyxy_px"], strict=True))}
        if "cut" in nodule:
            row["cut"] = int(nodule["cut"])
        yield row | {"descriptors": _in_words(nodule.get("descriptors") or ()), "size": size_in_words(nodule)}


def export_csv(session: RecordedSession, path: Path) -> int:
    """Write the table as CSV; returns the number of rows.

    Raises
    ------
    SessionError
        If the file exists, or cannot be written.
    """
    with new_file(path) as temporary:
        return write_csv(session, temporary)


def write_csv(session: RecordedSession, path: Path) -> int:
    """As :func:`export_csv`, into an existing file."""
    with path.open("w", encoding="utf-8", newline="") as file:
        return print_csv(session, file)


def print_csv(session: RecordedSession, file: TextIO) -> int:
    """As :func:`export_csv`, into an open file, such as standard output."""
    table = CsvTable(file)
    table.begin()
    for row in _rows(session):
        table.write(row)
    return table.rows


class CsvTable:
    """The table of one or several clips, row by row.

    Parameters
    ----------
    file : open for writing, without translation of line ends
    with_clip : the first column is ``clip``

    Attributes
    ----------
    with_clip : as given
    rows : written, without the header
    """

    def __init__(self, file: TextIO, *, with_clip: bool = False) -> None:
        self.with_clip = with_clip
        self._table = csv.DictWriter(file, ("clip", *CSV_COLUMNS) if with_clip else CSV_COLUMNS)
        self._begun = False
        self.rows = 0

    def begin(self) -> None:
        """Write the header, once; rows do it too, so that a table without any clip stays empty."""
        if not self._begun:
            self._begun = True
            self._table.writeheader()

    def write(self, row: dict[str, Any]) -> None:
        """Add a row of :func:`table_rows`, with its ``clip`` where there is that column."""
        self.begin()
        t_s = row["t_s"]
        self._table.writerow(row | {"t_s": "" if t_s is None else f"{t_s:.6f}"})
        self.rows += 1

    def write_results(self, results: Path, shown_s: Mapping[int, float] | None, clip: str = "") -> None:
        """Add the rows of a ``results.jsonl``.

        Parameters
        ----------
        results : the file
        shown_s : frame → when it is shown in its clip, s; None = frames were captured when they were due
        clip : for the column of that name; empty = there is none

        Raises
        ------
        OSError
            If it cannot be read.
        """
        begin_s: float | None = None
        more = {"clip": clip} if clip else {}
        with results.open("rb") as file:
            for line in file:
                result: dict[str, Any] = msgspec.json.decode(line)
                t_s = result["t_capture_ns"] / 1e9 if shown_s is None else shown_s.get(result["frame_id"])
                begin_s = t_s if begin_s is None else begin_s
                for row in table_rows(result, None if t_s is None or begin_s is None else t_s - begin_s):
                    self.write(row | more)


def export_parquet(session: RecordedSession, path: Path) -> int:
    """Write the table as Parquet, with the columns of the CSV in their types; returns the number of rows.

    Raises
    ------
    UsageError
        If pyarrow is not installed.
    SessionError
        If the file exists, or cannot be written.
    """
    check_parquet()
    with new_file(path) as temporary:
        return write_parquet(session, temporary)


def write_parquet(session: RecordedSession, path: Path) -> int:
    """As :func:`export_parquet`, into an existing file."""
    arrow, parquet = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    types = {"int": arrow.int64(), "float": arrow.float64(), "text": arrow.string()}
    fields = [arrow.field(name, types[kind], name != "frame_id") for name, kind in TABLE_COLUMNS.items()]
    about = {
        "usassist.session_id": session.manifest.session_id,
        "usassist.row": "a nodule, or a frame without any",
    }
    schema = arrow.schema(fields, metadata=about)
    rows, count = _rows(session), 0
    try:
        with path.open("wb") as file, parquet.ParquetWriter(file, schema) as writer:
            while group := list(islice(rows, _ROWS_PER_GROUP)):
                writer.write_table(arrow.Table.from_pylist(group, schema))
                count += len(group)
    except arrow.ArrowException as error:
        raise SessionError(f"{path.name} cannot be written as Parquet: {error}; use --csv") from error
    return count


def check_parquet() -> None:
    """See that Parquet can be written.

    Raises
    ------
    UsageError
        If pyarrow is not installed.
    """
    try:
        importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise UsageError(f"Parquet needs pyarrow ({error}); pip install 'usassist[parquet]', or use --csv") from error


def _rows(session: RecordedSession) -> Iterator[dict[str, Any]]:
    for line in session.lines():
        t_s = (line.frame.t_capture_ns - session.frames[0].t_capture_ns) / 1e9
        yield from table_rows((line.result or _MISSING) | {"frame_id": line.frame_id}, t_s)


def _in_words(descriptors: Any) -> str:
    return "; ".join(f"{item['name']}={item['value']} ({item['probability']:.2f})" for item in descriptors)
