"""Body composition on the demo page: its options, its own files, and what is said of levels and cut-offs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from usassist.app.demo.studies.prepared import Prepared
from usassist.app.studies.bodycomp import BodyWriter
from usassist.clinical.sarcopenia import find_cutoffs

__all__ = ["prepare"]


def prepare(options: Mapping[str, str | float]) -> Prepared:
    """Of the options ``level``, ``height`` and ``cutoffs``."""
    height = options.get("height")
    height_m = None if height is None else float(height)
    cutoffs = () if "cutoffs" not in options else (find_cutoffs(str(options["cutoffs"])),)
    writer = BodyWriter(height_m=height_m, cutoffs=cutoffs)
    given: dict[str, Any] = {"height_m": height_m, "on_choice": writer.take}
    if "level" in options:
        given["level"] = str(options["level"])
    return Prepared(options=given, writers=(writer,), notes=lambda: notes_of(writer.document))


def notes_of(document: Mapping[str, Any]) -> list[str]:
    """Of ``bodycomp.json``: where each level lies, which cut-offs were applied, and what raises doubts."""
    lines = []
    for level in document["levels"]:
        how = level["found_by"]
        if level["confidence"] is not None:
            how = f"confidence {level['confidence']:.2f}: {how}"
        lines.append(f"{level['level']}: slice {level['slice']} of {level['slices']} ({how})")
        for item in level["cutoffs"]:
            said = f"not applied: {item['reason']}"
            if item["is_low"] is not None:
                said = f"{'low' if item['is_low'] else 'not low'}, cut-off {item['cutoff']:g} cm²/m²"
            lines.append(f"{level['level']}, {item['name']}: {said} ({item['source']})")
        if level["is_cut_off"]:
            lines.append(f"{level['level']}: the body reaches the edge of the picture, so areas are lower bounds")
        lines += [f"{level['level']}, look at it: {doubt}" for doubt in level["doubts"]]
    return lines
