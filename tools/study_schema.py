"""Writes the JSON Schema of a study's ``result.json`` from the classes of the document; a test holds the file to them.

::

    python -m tools.study_schema
"""

from __future__ import annotations

import json
from pathlib import Path

from usassist.app.studies.document import json_schema

__all__ = ["SCHEMA_FILE", "write_schema"]

SCHEMA_FILE = Path(__file__).resolve().parent.parent / "usassist" / "app" / "studies" / "result.schema.json"


def write_schema() -> str:
    """The text of the file."""
    return json.dumps(json_schema(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    SCHEMA_FILE.write_text(write_schema(), encoding="utf-8")
