"""Writes a recorded session in forms that other programs read: tables, COCO, a compact video, single images.

Files and folders are written under a temporary name and renamed at the end, so that each exists whole or not at all.
Nothing is overwritten.
"""

from usassist.session.export.coco import export_coco
from usassist.session.export.pixels import export_frames, export_video
from usassist.session.export.table import (
    CSV_COLUMNS,
    TABLE_COLUMNS,
    CsvTable,
    export_csv,
    export_parquet,
    print_csv,
    table_rows,
)
from usassist.session.export.targets import ExportTargets, export_session

__all__ = [
    "CSV_COLUMNS",
    "TABLE_COLUMNS",
    "CsvTable",
    "ExportTargets",
    "export_coco",
    "export_csv",
    "export_frames",
    "export_parquet",
    "export_session",
    "export_video",
    "print_csv",
    "table_rows",
]
