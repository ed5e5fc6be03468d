"""What ``usassist session info``, ``list`` and ``verify`` print."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from usassist.app.commands.tables import number_table
from usassist.session.listing import ListedSession
from usassist.session.verify import VerifyReport
from usassist.sinks.disk_sync import mebibytes

__all__ = ["format_duration", "print_info", "print_list", "print_verdict"]


def print_info(document: dict[str, Any]) -> None:
    """Print it."""
    table = Table(title=f"session {document['session_id'] or '(unknown)'}", title_justify="left", show_header=False)
    for name, text in _rows(document):
        if text:
            table.add_row(name, escape(text))
    Console().print(table)


def print_verdict(session: Path, verdict: VerifyReport) -> None:
    """Print what was checked, what was found, and what could not be shown."""
    for problem in verdict.problems:
        typer.echo(problem)
    wrong = len(verdict.problems)
    typer.echo(
        f"{verdict.frames} frames, {verdict.pictures} of them with pixels, {verdict.results} results, "
        f"{verdict.marks} marks, {verdict.messages} messages: "
        + (f"{wrong} problems; run usassist session repair {session}" if wrong else "no problems")
    )
    suspected = verdict.text_suspected
    which = f", among them {_numbers(suspected)}; look at them" if suspected else ""
    typer.echo(f"text: {len(suspected)} of {verdict.text_looked_at} frames looked at may hold text or marks{which}")
    if verdict.text_read is not None:
        read = verdict.text_read
        where = f": {_numbers(read)}" if read else ""
        typer.echo(f"text: read on {len(read)} of {verdict.text_looked_at} frames{where}")
    identity = verdict.identity
    if identity is None:
        return
    found = f"{len(identity.findings)} findings" if identity.findings else "nothing was found"
    looked = f"{identity.texts} texts and keys of {identity.files} files, metadata of {identity.videos} videos"
    typer.echo(f"identity: {looked}: {found}")
    for line in identity.findings:
        typer.echo(f"  {line}")
    not_shown = list(identity.not_shown)
    if verdict.text_looked_at < verdict.pictures:
        not_shown.append(f"{verdict.pictures - verdict.text_looked_at} frames were not searched for text; --text all")
    if verdict.text_read is None:
        not_shown.append("no frame was read by a text reader; --text read")
    if (session / "overlay.mkv").is_file():
        not_shown.append("overlay.mkv was not searched for text, because our own words stand in it")
    not_shown.append("a face, handwriting, or an anatomy that is rare; look at the frames")
    typer.echo("not shown: " + "; ".join(not_shown))


def _numbers(numbers: list[int]) -> str:
    """The first few."""
    return ", ".join(str(number) for number in numbers[:5]) + (", …" if len(numbers) > 5 else "")


def print_list(folder: Path, found: list[ListedSession]) -> None:
    """Print a table of recordings; what is wrong with one stands below it."""
    if not found:
        typer.echo(f"{folder} holds no recording")
        return
    table = number_table(f"{len(found)} recordings in {folder}", "recording", "begun (UTC)", "length", "frames", "size")
    table.padding = (0, 1, 0, 0)
    for name in ("state", "engine"):
        table.add_column(name, no_wrap=True, overflow="ellipsis")
    for item in found:
        table.add_row(
            escape(Path(item.folder).name or item.folder),
            item.created_utc[:16].replace("T", " ") or "–",
            "–" if item.duration_s is None else format_duration(item.duration_s),
            "–" if item.frames is None else str(item.frames),
            mebibytes(item.size_bytes),
            escape(item.state),
            item.engine or "–",
        )
    console = Console()
    if not console.is_terminal:  # a file or a pipe gets every column whole
        console = Console(width=200)
    console.print(table)
    for item in found:
        if item.problem:
            typer.echo(item.problem)


def format_duration(duration_s: float) -> str:
    """``12.3 s``, ``4:05`` or ``1:02:03``."""
    if duration_s < 60:
        return f"{duration_s:.1f} s"
    seconds = round(duration_s)
    hours, minutes = seconds // 3600, seconds // 60 % 60
    return f"{hours}:{minutes:02d}:{seconds % 60:02d}" if hours else f"{minutes}:{seconds % 60:02d}"


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
