"""What was measured, in words and figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from rich import box
from rich.console import Console
from rich.table import Table

__all__ = ["MIN_DICE", "TARGETS", "Row", "Spread", "dice", "print_report", "ratios"]

MIN_DICE = 0.9
"""Masks of the same file that agree less than this are not the same work, and nothing can be compared."""

TARGETS = (
    ("pyfast", 8.0, ("ours", "ours_lanes", "ours_shipped")),
    ("plain", 2.0, ("ours", "ours_lanes")),
    ("plain_full", 2.0, ("ours_shipped",)),
)
"""How many times as fast as each other usassist is meant to be, and which of its ways are asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Median over the rounds, with the quarter of them below and above."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: npt.NDArray[np.float64]) -> Spread:
        """Of one value per round."""
        low, median, high = (float(value) for value in np.percentile(values, [25, 50, 75]))
        return cls(median=median, low=low, high=high)

    def text(self, digits: int) -> str:
        """Median, and the quartiles in brackets."""
        return f"{self.median:.{digits}f} ({self.low:.{digits}f} to {self.high:.{digits}f})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One way.

    Attributes
    ----------
    key : short name
    title : in the table
    versions : what it ran on
    rates : frames per second of every round
    dice : with the plain loop that ran the same file, over the pixels of all frames together
    frame_dice : the same for the median frame, of those in which either has a mask; None where no frame has
    """

    key: str
    title: str
    versions: str
    rates: npt.NDArray[np.float64]
    dice: float
    frame_dice: float | None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        spread = Spread.of(self.rates)
        return {
            "title": self.title,
            "versions": self.versions,
            "frames_per_s": {"median": spread.median, "q25": spread.low, "q75": spread.high},
            "rounds": [round(float(rate), 2) for rate in self.rates],
            "dice": self.dice,
            "frame_dice": self.frame_dice,
        }


def dice(one: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> tuple[float, float | None]:
    """Agreement of masks, bool (N, H, W): of all pixels together, and of the median frame that has any; 1 is equal."""
    shared = (one & other).sum(axis=(1, 2), dtype=np.int64)
    both = one.sum(axis=(1, 2), dtype=np.int64) + other.sum(axis=(1, 2), dtype=np.int64)
    there = both > 0
    if not there.any():
        return 1.0, None
    return float(2 * shared.sum() / both.sum()), float(np.median(2 * shared[there] / both[there]))


def ratios(rows: Mapping[str, Row]) -> dict[tuple[str, str], Spread]:
    """How many times as fast each way of ours is as each other, in the same rounds."""
    return {
        (ours, other): Spread.of(rows[ours].rates / rows[other].rates)
        for ours in rows
        if ours.startswith("ours")
        for other in rows
        if not other.startswith("ours")
    }


def print_report(rows: Mapping[str, Row], tables: Mapping[str, Sequence[str]], console: Console) -> bool:
    """Show the tables and say which targets are reached.

    Parameters
    ----------
    rows : by key
    tables : title → keys of its rows; those of ours have a column of ratios each

    Returns
    -------
    comparable : False when the masks of the same file do not agree
    """
    times = ratios(rows)
    for title, keys in tables.items():
        shown = [rows[key] for key in keys if key in rows]
        ours = [row for row in shown if row.key.startswith("ours")]
        table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
        for column in ("", "runs on"):
            table.add_column(column, no_wrap=True)
        for column in ("frames/s", *(f"× as fast is\n{row.title}" for row in ours), "Dice,\nall", "of a\nframe"):
            table.add_column(column, justify="right", no_wrap=True)
        for row in shown:
            table.add_row(
                row.title,
                row.versions,
                Spread.of(row.rates).text(1),
                *(times[own.key, row.key].text(2) if (own.key, row.key) in times else "" for own in ours),
                f"{row.dice:.3f}",
                "" if row.frame_dice is None else f"{row.frame_dice:.3f}",
            )
        console.print(table)
    console.print(
        "median of the rounds (quartiles); Dice with the plain loop: all pixels together, and the median frame"
    )
    for other, wanted, asked in TARGETS:
        for own in asked:
            if (own, other) in times:
                reached = times[own, other].median
                console.print(
                    f"{wanted:g} x {rows[other].title}: {'reached' if reached >= wanted else 'NOT reached'} by "
                    f"{rows[own].title}, {reached:.2f} x"
                )
    # As shipped, ours crops and tells nodules from what only looks like one: it need not agree.
    apart = [row.title for key, row in rows.items() if key != "ours_shipped" and row.dice < MIN_DICE]
    for name in apart:
        console.print(f"the masks of {name} do not agree with those of the plain loop: its figures mean nothing")
    return not apart
