"""What ``usassist rerun`` prints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from usassist.app.rerun.fields import FieldVerdict
from usassist.app.rerun.machine import describe_processor
from usassist.app.rerun.outcome import Comparison, FieldRow, describe_amount
from usassist.app.rerun.run import Rerun
from usassist.app.rerun.sheet import MAX_FRAMES, UInt8Array, write_contact_sheet
from usassist.session import RecordedSession

__all__ = ["print_rerun", "write_sheet"]

_SHOWN = 8  # of the frames that differ, by name
_COLUMNS = {
    FieldVerdict.IDENTICAL: "identical",
    FieldVerdict.WITHIN: "within",
    FieldVerdict.DIFFERS: "differ",
    FieldVerdict.NOT_BOUNDED: "no bound",
}


def write_sheet(done: Rerun, path: Path) -> Path | None:
    """Write the contact sheet where frames differ.

    Returns
    -------
    path : as given; None where nothing differs

    Raises
    ------
    SessionError
        If it cannot be written.
    """
    if done.comparison is None or not done.comparison.differences:
        return None
    differences = done.comparison.differences
    shown = {item.frame_id for item in differences[:MAX_FRAMES]}
    title = f"{len(differences)} of {done.comparison.compared} frames differ"
    write_contact_sheet(path, differences, dict(_images(done.recording.session, shown)), title)
    return path


def print_rerun(done: Rerun, sheet: Path | None) -> None:
    """Print the summary of the run, and the comparison."""
    console = Console()
    summary, comparison = done.outcome.summary, done.comparison
    console.print(
        f"{summary['frames']} frames again through {summary['engine_id']} on {summary['backend']}, "
        f"{summary['frames_per_s']} frames per second",
        highlight=False,
    )
    for line in (*done.recording.problems, *done.notes):
        console.print(f"  {line}", style="yellow", markup=False, highlight=False)
    if comparison is not None:
        _print_comparison(done, comparison, console)
    if sheet is not None:
        console.print(f"  {sheet}", highlight=False, soft_wrap=True)
    for path in done.outcome.files.values():
        console.print(f"  {path}", highlight=False, soft_wrap=True)


def _print_comparison(done: Rerun, comparison: Comparison, console: Console) -> None:
    how = []
    if comparison.exact:
        how.append(f"{comparison.exact} to the last bit")
    if comparison.tolerant:
        how.append(f"{comparison.tolerant} within the tolerances of the engine's parity")
    console.print(_table(f"{comparison.compared} frames compared: {', '.join(how) or 'none'}", comparison.fields))
    if done.same_kind:
        text = f"recorded on the same kind of processor: {describe_processor(done.recording.session.manifest)}"
        console.print(f"  {text}", markup=False, highlight=False, soft_wrap=True)
    if done.not_exact:
        console.print(f"  not to the last bit: {done.not_exact}", markup=False, highlight=False, soft_wrap=True)
    if comparison.covered_frames:
        title = (
            f"{comparison.covered_frames} frames listed apart, which do not count: the recorder covered text in them"
        )
        console.print(_table(title, comparison.covered))
    if comparison.unsettled_frames:
        console.print(
            f"  {comparison.unsettled_frames} frames listed apart, which do not count: their answers depend on frames "
            f"that are not in the recording as they were answered; {len(comparison.unsettled_differences)} differ",
            highlight=False,
            soft_wrap=True,
        )
    for line in _left_out(done, comparison):
        console.print(f"  {line}", markup=False, highlight=False)
    for fault in comparison.faults:
        console.print(f"  {fault}", style="red", markup=False, highlight=False)
    for item in comparison.differences[:_SHOWN]:
        console.print(f"  frame {item.frame_id}: {item.description}", style="red", markup=False, highlight=False)
    if len(comparison.differences) > _SHOWN:
        console.print(f"  and {len(comparison.differences) - _SHOWN} frames more", style="red")
    console.print(f"[bold]{_describe_verdict(comparison)}[/bold]", highlight=False)


def _describe_verdict(comparison: Comparison) -> str:
    if not comparison.ok:
        return f"{len(comparison.differences)} frames differ" if comparison.differences else "differs"
    return "identical" if comparison.identical else "within tolerance"


def _left_out(done: Rerun, comparison: Comparison) -> Iterator[str]:
    if comparison.not_live:
        yield f"not live in the recording: {comparison.not_live}"
    if comparison.left_out:
        causes = ", ".join(f"{cause.replace('_', ' ')} {count}" for cause, count in comparison.left_out.items())
        yield f"left out, because the recording has no answer: {causes}"
    if done.recording.gap_descriptions:
        yield f"not in the recording: {', '.join(done.recording.gap_descriptions)}"
    yield from comparison.missing


def _table(title: str, fields: Mapping[str, FieldRow]) -> Table:
    table = Table(title=escape(title), title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 0))
    table.add_column("field", no_wrap=True)
    for column in ("frames", *_COLUMNS.values()):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("largest", no_wrap=True)
    table.add_column("at", no_wrap=True)
    for name, row in fields.items():
        counts = [str(row.verdicts[verdict] or "–") for verdict in _COLUMNS]
        table.add_row(name, str(row.compared), *counts, *_largest(name, row))
    return table


def _largest(name: str, row: FieldRow) -> tuple[str, str]:
    """The largest difference, and its frame."""
    if row.worst_frame is None:
        return "", ""
    return "different" if row.worst is None else describe_amount(name, row.worst), str(row.worst_frame)


def _images(session: RecordedSession, frame_ids: set[int]) -> Iterator[tuple[int, UInt8Array]]:
    for line, image in session.images():
        if line.frame_id in frame_ids and image is not None:
            yield line.frame_id, image
            frame_ids.discard(line.frame_id)
            if not frame_ids:
                return
