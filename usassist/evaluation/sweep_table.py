"""The table of clips on the console."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from usassist.evaluation.sweep_figures import ClipScore

__all__ = ["print_clips"]

_COLUMNS = ("clip", "frames", "Dice", "found", "first", "flicker", "changes", "FP mask", "FP none", "alarms")


def print_clips(console: Console, clips: Sequence[ClipScore], rate_hz: float | None) -> None:
    """Print one row per clip; frames on which the engine abstained have a column where there are any."""
    abstained = any(clip.abstained for clip in clips)
    table = Table(title="clips", title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1), collapse_padding=True)
    for column in (*_COLUMNS, *(("abst.",) if abstained else ())):
        table.add_column(column, justify="left" if column == "clip" else "right", no_wrap=True)
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


def _first(clip: ClipScore) -> str:
    if not clip.nodules:
        return "-"
    return "never" if clip.to_first_detection is None else str(clip.to_first_detection)


def _number(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else "-"
