"""Writes the table in ``docs/modalities.md`` from the table of modalities: ``python -m tools.modality_table``."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from usassist.modalities import MODALITIES

__all__ = ["DOCUMENT", "main", "render", "stale"]

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "modalities.md"

_BEGIN, _END = "<!-- modalities: begin -->", "<!-- modalities: end -->"
_SECTION = re.compile(f"{_BEGIN}.*{_END}", re.DOTALL)


def render() -> str:
    """The section between its two markers, with what ships with usassist."""
    lines = [
        _BEGIN,
        "<!-- written by `python -m tools.modality_table` from usassist/modalities/table.py -->",
        "",
        "| code | modality | run as | runs engines that | room | here |",
        "|---|---|---|---|---|---|",
    ]
    for row in MODALITIES.values():
        tasks = ", ".join(f"`{task}`" for task in row.engine_tasks) or "–"
        room = f"`{row.room.replace('.', '/')}/`"
        lines.append(f"| {row.code} | {row.title} | {row.kind} | {tasks} | {room} | {row.missing or 'yes'} |")
    return "\n".join([*lines, "", _END])


def stale(path: Path = DOCUMENT) -> bool:
    """True when the document does not show the table as it is now."""
    return _SECTION.findall(path.read_text(encoding="utf-8")) != [render()]


def main() -> None:
    """Write the section again."""
    text = DOCUMENT.read_text(encoding="utf-8")
    if len(_SECTION.findall(text)) != 1:
        sys.exit(f"{DOCUMENT} needs the markers {_BEGIN} and {_END}, once each")
    DOCUMENT.write_text(_SECTION.sub(lambda _: render(), text), encoding="utf-8")


if __name__ == "__main__":
    main()
