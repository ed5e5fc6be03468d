"""The table of clips on the console."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from usassist.evaluation.sweep_figures import ClipScore
from usassist.evaluation.sweep_nodules import FirstDetection

__all__ = ["print_clips", "print_nodules"]

_COLUMNS = ("clip", "frames", "Dice", "found", "first", "flicker", "changes", "FP mask", "FP none", "alarms")


def print_clips(console: Console, clips: Sequence[ClipScore], rate_hz: float | None) -> None:
    """Print one row per clip; frames on which the engine abstained have a column where there are any."""
    abstained = any(clip.abstained for clip in clips)
    table = Table(title="clips", title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1), collapse_padding=True)
    for column in (*_COLUMNS, *(("abst.",) if abstained else ())):
        _add_column(table, column)
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
    console.print(table)
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
    timed = any(clip.first_detections for clip in clips)
    if tracked or sized or timed:
        columns: tuple[str, ...] = ("clip",)
        columns += ("tracks", "switches", "passed on", "gaps", "IDF1", "HOTA") if tracked else ()
        columns += ("first 5 mm",) if timed else ()
        columns += ("sizes", "err. p50 mm", "p90 mm", "p50 %", "p90 %", "held") if sized else ()
        table = Table(title="nodules", title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1), collapse_padding=True)
        for column in columns:
            _add_column(table, column)
        for clip in clips:
            cells = _identity_cells(clip) if tracked else []
            cells += [" ".join(_frames(one) for one in clip.first_detections) or "-"] if timed else []
            table.add_row(clip.clip, *cells, *(_size_cells(clip) if sized else []))
        console.print(table)
        parts = [_TRACKED] if tracked else []
        parts += [_TIMED] if timed else []
        parts += [_SIZED] if sized else []
        console.print(f"({'; '.join(parts)})", highlight=False)
    if not tracked:
        console.print("identities: not tracked, so there are no switches to count", highlight=False)
    elif not library:
        console.print(
            "IDF1 and HOTA need the library trackers; run: pip install 'usassist[eval]'", highlight=False, markup=False
        )
    if not sized:
        console.print("sizes: the clips have no scale, so nothing is measured in mm", highlight=False)


_TRACKED = (
    "switches: a nodule has another id than before; passed on: an id is on another nodule than before; gaps: a nodule "
    "in view loses its id and gets one again"
)
_TIMED = (
    "first 5 mm: of each nodule of 5 mm or more, frames that show it from the first in full view to the first on which "
    "it is found"
)
_SIZED = "err.: of the longest diameter; held: stated 95 % intervals that hold the truth"


def _add_column(table: Table, column: str) -> None:
    """On a narrow console the names of clips are broken, and never a number."""
    is_name = column == "clip"
    table.add_column(column, justify="left" if is_name else "right", no_wrap=not is_name, overflow="fold")


def _identity_cells(clip: ClipScore) -> list[str]:
    one = clip.identity
    if one is None:
        return ["-"] * 6
    counts = [str(count) for count in (one.tracks, one.switches, one.transfers, one.fragmentations)]
    return [*counts, *("-" if value is None else _number(value) for value in (one.idf1, one.hota))]


def _size_cells(clip: ClipScore) -> list[str]:
    one = clip.sizes
    if one is None or not one.count:
        return ["-" if one is None else "0", *["-"] * 5]
    in_mm = [f"{value:.1f}" for value in (one.error_mm_p50, one.error_mm_p90)]
    relative = [f"{100.0 * value:.0f}" for value in (one.error_rel_p50, one.error_rel_p90)]
    return [str(one.count), *in_mm, *relative, f"{round(one.coverage * one.count)}/{one.count}"]


def _frames(one: FirstDetection) -> str:
    return "never" if one.frames is None else str(one.frames)


def _first(clip: ClipScore) -> str:
    if not clip.nodules:
        return "-"
    return "never" if clip.to_first_detection is None else str(clip.to_first_detection)


def _number(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else "-"
