"""Writes the JSON Schema of ``report.json`` from the classes of the document; a test holds the file to them.

::

    python -m tools.report_schema
"""

from __future__ import annotations

import json
from pathlib import Path

from usassist.session.summary import json_schema

__all__ = ["SCHEMA_FILE", "write_schema"]

SCHEMA_FILE = Path(__file__).resolve().parent.parent / "usassist" / "session" / "report" / "report.schema.json"


def write_schema() -> str:
    """The text of the file."""
    return json.dumps(json_schema(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    SCHEMA_FILE.write_text(write_schema(), encoding="utf-8")
