"""The table of ``usassist session info``."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

__all__ = ["print_info"]


def print_info(document: dict[str, Any]) -> None:
    """Print it."""
    table = Table(title=f"session {document['session_id'] or '(unknown)'}", title_justify="left", show_header=False)
    for name, text in _rows(document):
        if text:
            table.add_row(name, escape(text))
    Console().print(table)


def _rows(document: dict[str, Any]) -> list[tuple[str, str]]:
    source, machine = document["source"], document["machine"]
    unsynced = document["longest_unsynced_ms"]
    return [
        ("recorded", document["created_utc"]),
        ("source", source.get("description", "")),
        ("stream", ": ".join(filter(None, (document["state"], source.get("reason", ""))))),
        ("recording", document["recording"] + (", complete" if document["complete"] else ", not complete")),
        ("length", f"{document['duration_s']:.1f} s, {document['frames']} frames, {document['results']} results"),
        ("results", _counts(document["results_by_state"])),
        ("no answer because", _counts(document["no_answer_by_cause"])),
        ("frames not live", _counts(document["pictures_not_live"])),
        ("marks", _counts(document["marks"])),
        ("gaps", "\n".join(document["gaps"][:10])),
        ("messages lost", str(document["messages_lost"] or "")),
        *(("engine", _engine(item)) for item in document["engines"]),
        *(("calibration", f"{item.get('kind')} {item['calibration_id']}") for item in document["calibrations"]),
        ("made with", ", ".join(f"{name} {text}" for name, text in document["versions"].items())),
        ("made on", ", ".join(str(value) for value in machine.values())),
        ("clock", "\n".join(_jump(item) for item in document["clock_jumps"])),
        ("longest unsynced", "" if unsynced is None else f"{unsynced:.0f} ms"),
        ("size", f"{document['bytes'] / 2**20:.1f} MiB in {len(document['files'])} files"),
        ("cut from", _cut(document["cut_from"])),
        ("repaired", "\n".join(document["repaired"])),
        ("problems", "\n".join(document["problems"])),
    ]


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in counts.items())


def _engine(item: dict[str, Any]) -> str:
    device = f" ({item['device']})" if item.get("device") else ""
    sums = item.get("artifacts", {})
    rests = "\n".join(f"  {name} {sums[name]}" for name in item.get("answered_by", ()) if name in sums)
    return f"{item['engine_id']} on {item['backend']}{device}" + (f"\n{rests}" if rests else "")


def _jump(item: dict[str, Any]) -> str:
    return f"the wall clock had gained {item['gained_s']:+.3f} s on the monotonic clock by {item['seen_utc']}"


def _cut(item: dict[str, Any] | None) -> str:
    if item is None:
        return ""
    return f"{item['session_id']}, frames {item['first_frame_id']} to {item['last_frame_id']} of {item['frames']}"
