"""The table of clips on the console."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from usassist.evaluation.sweep_figures import ClipScore
from usassist.evaluation.sweep_nodules import FirstDetection

__all__ = ["print_clips", "print_nodules"]

_COLUMNS = ("clip", "frames", "Dice", "found", "first", "flicker", "changes", "FP mask", "FP none", "alarms")
_MOST_COLUMNS = 500


def print_clips(console: Console, clips: Sequence[ClipScore], rate_hz: float | None) -> None:
    """Print one row per clip; frames on which the engine abstained have a column where there are any."""
    abstained = any(clip.abstained for clip in clips)
    table = _make_table("clips", (*_COLUMNS, *(("abst.",) if abstained else ())))
    for clip in clips:
        table.add_row(
            clip.clip,
            str(clip.frames),
            _number(clip.dice),
            f"{clip.found}/{clip.nodules}",
            _first(clip),
            _number(clip.flicker),
            f"{clip.changes}/{clip.pairs}",
            f"{clip.false_positives_marked}/{clip.marked}",
            f"{clip.false_positives_unmarked}/{clip.unmarked}",
            str(clip.alarms_marked + clip.alarms_unmarked),
            *((str(clip.abstained),) if abstained else ()),
        )
    _print_whole(console, table)
    rate = "the rate of the clips is not known" if rate_hz is None else f"{rate_hz:g} frames a second"
    console.print(
        "(found: of the marked nodules on all frames; first: frames from the first that shows the nodule to the first "
        "on which it is found; changes: found or lost, of the pairs of neighbours with a nodule; FP: false positives "
        "on frames with and without mask; alarms: unbroken runs of frames with false positives; "
        + ("abst.: frames on which the engine abstained, a nodule on them is missed; " if abstained else "")
        + f"{rate})",
        highlight=False,
    )


def print_nodules(console: Console, clips: Sequence[ClipScore], *, library: bool) -> None:
    """Print identities and sizes, one row per clip; where neither is known, one line that says so.

    Parameters
    ----------
    console : to print on
    clips : all
    library : whether IDF1 and HOTA could be computed
    """
    tracked = any(clip.identity is not None for clip in clips)
    sized = any(clip.sizes is not None for clip in clips)
    if tracked:
        columns: tuple[str, ...] = ("clip", "tracks", "switches", "transfers", "gaps", "IDF1", "HOTA")
        _print_table(console, "identities", columns, ((clip.clip, *_identity_cells(clip)) for clip in clips), _TRACKED)
    if sized or any(clip.first_detections for clip in clips):
        columns = ("clip", "first 5 mm", "sizes", "p50 mm", "p90 mm", "p50 %", "p90 %", "held")
        _print_table(console, "sizes", columns, ((clip.clip, *_size_cells(clip)) for clip in clips), _SIZED)
    if not tracked:
        console.print("identities: not tracked, so there are no switches to count", highlight=False)
    elif not library:
        console.print(
            "IDF1 and HOTA need the library trackers; run: pip install 'usassist[eval]'", highlight=False, markup=False
        )
    if not sized:
        console.print(
            "sizes: nothing is measured in mm, because the clips have no scale, or the engine states no uncertainty",
            highlight=False,
        )


_TRACKED = (
    "switches: a nodule has another id than before; transfers: an id is on another nodule than before; gaps: a nodule "
    "in view loses its id and gets one again"
)
_SIZED = (
    "first 5 mm: of each nodule of 5 mm or more, frames that show it from the first in full view to the first on which "
    "it is found; p50, p90: of the error of the longest diameter; held: stated 95 % intervals that hold the truth"
)


def _print_table(
    console: Console, title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], caption: str
) -> None:
    table = _make_table(title, columns)
    for row in rows:
        table.add_row(*row)
    _print_whole(console, table)
    console.print(f"({caption})", highlight=False)


def _make_table(title: str, columns: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1), collapse_padding=True)
    for column in columns:
        table.add_column(column, justify="left" if column == "clip" else "right", no_wrap=True)
    return table


def _print_whole(console: Console, table: Table) -> None:
    """Print a table as wide as it is: on a narrow console lines are broken, and no number is left out."""
    wanted = Measurement.get(console, console.options.update(max_width=_MOST_COLUMNS), table).maximum
    wide = Console(file=console.file, width=max(wanted, console.width), force_terminal=console.is_terminal)
    wide.print(table)


def _identity_cells(clip: ClipScore) -> list[str]:
    one = clip.identity
    if one is None:
        return ["-"] * 6
    counts = [str(count) for count in (one.tracks, one.switches, one.transfers, one.fragmentations)]
    return [*counts, *("-" if value is None else _number(value) for value in (one.idf1, one.hota))]


def _size_cells(clip: ClipScore) -> list[str]:
    one, first = clip.sizes, " ".join(_frames(one) for one in clip.first_detections) or "-"
    if one is None or not one.count:
        return [first, "-" if one is None else "0", *["-"] * 5]
    in_mm = [f"{value:.1f}" for value in (one.error_mm_p50, one.error_mm_p90)]
    relative = [f"{100.0 * value:.0f}" for value in (one.error_rel_p50, one.error_rel_p90)]
    return [first, str(one.count), *in_mm, *relative, f"{round(one.coverage * one.count)}/{one.count}"]


def _frames(one: FirstDetection) -> str:
    return "never" if one.frames is None else str(one.frames)


def _first(clip: ClipScore) -> str:
    if not clip.nodules:
        return "-"
    return "never" if clip.to_first_detection is None else str(clip.to_first_detection)


def _number(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else "-"
