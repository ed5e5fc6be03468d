"""Console output of the evaluation commands."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from usassist.calibrate import LabelScale, OperatingPoint
from usassist.evaluation.images import Skipped
from usassist.evaluation.metrics import Figure
from usassist.evaluation.slices import Slice

__all__ = [
    "FIGURE_NAMES",
    "format_counts",
    "print_calibration",
    "print_domain",
    "print_figures",
    "print_skipped",
    "print_slices",
]

FIGURE_NAMES = {
    "dice_mean": "Dice per frame, mean",
    "dice_median": "Dice per frame, median",
    "iou_mean": "IoU per frame, mean",
    "nsd_2px": "NSD at 2 px, mean",
    "hd95_px": "HD95, mean, px",
    "sensitivity": "nodules found (IoU ≥ 0.3)",
    "false_positives_per_frame": "false positives per frame",
    "ap50": "AP50 (IoU of masks ≥ 0.5)",
    "ece": "expected calibration error",
    "diameter_rel_bias": "relative error of diameter, mean",
    "diameter_rel_sd": "relative error of diameter, sd",
    "false_alarms_per_frame": "false alarms per frame",
    "frames_with_false_alarm": "frames with a false alarm",
}
_MAX_SKIPPED = 20
_SLICES = {"size": "size", "tirads": "TI-RADS", "view": "view"}


def print_figures(console: Console, title: str, sets: Mapping[str, Mapping[str, Figure]]) -> None:
    """Print figures with their intervals; with several sets, one group of rows per set."""
    table = Table(title=title, title_justify="left")
    named = len(sets) > 1
    for column in (*(("set",) if named else ()), "figure", "value", "95 % interval", "n"):
        table.add_column(column, justify="left" if column in ("set", "figure") else "right")
    for name, figures in sets.items():
        for key, figure in figures.items():
            value = f"{figure.value:.3f}" if math.isfinite(figure.value) else "-"
            cells = (FIGURE_NAMES.get(key, key), value, _interval(figure), str(figure.count))
            table.add_row(*((name, *cells) if named else cells))
    console.print(table)


def print_slices(console: Console, slices: Mapping[str, Mapping[str, Slice]]) -> None:
    """Print the figures of subsets, one row each; empty subsets are omitted."""
    table = Table(title="parts of the frames", title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1))
    table.add_column("part", no_wrap=True)
    for column in ("frames", "nodules", "Dice, mean", "nodules found", "false pos. per frame"):
        table.add_column(column, justify="right")
    for key, parts in slices.items():
        for name, part in parts.items():
            if part.frames or part.nodules:
                cells = [_cell(figure) for figure in (part.dice_mean, part.sensitivity, part.false_positives_per_frame)]
                table.add_row(f"{_SLICES[key]} {name}", str(part.frames), str(part.nodules), *cells)
        table.add_section()
    console.print(table)
    console.print("(size: share of the scan area that the nodule covers)", highlight=False)


def print_skipped(console: Console, skipped: Sequence[Skipped]) -> None:
    """Print the skipped files; of many, the first and the number of the others."""
    if skipped:
        console.print(f"skipped: {len(skipped)}", highlight=False)
    for item in skipped[:_MAX_SKIPPED]:
        console.print(f"  {item.name}: {item.reason}", markup=False, highlight=False, soft_wrap=True)
    if len(skipped) > _MAX_SKIPPED:
        console.print(f"  and {len(skipped) - _MAX_SKIPPED} more, see the JSON or CSV file", highlight=False)


def print_calibration(console: Console, label: LabelScale, points: Sequence[OperatingPoint]) -> None:
    """Print a score calibration and its operating points."""
    console.print(
        f"{label.name}: slope {label.slope:.3f}, intercept {label.intercept:.3f}; expected calibration error "
        f"{label.ece:.3f}, cross-validated by case {label.ece_cross_validated:.3f}; "
        f"{label.detections} detections, {label.nodules} nodules",
        highlight=False,
        soft_wrap=True,
    )
    table = Table("point", "score", "nodules found", "false pos. per frame", "alarms per negative frame")
    for point in points:
        alarms = point.alarms_per_negative_frame
        figures = (point.score, point.sensitivity, point.false_positives_per_frame)
        table.add_row(point.name, *(f"{value:.3f}" for value in figures), "" if alarms is None else f"{alarms:.3f}")
    console.print(table)


def print_domain(console: Console, title: str, report: Mapping[str, Any], name: str) -> None:
    """Print how often an engine abstains, one row per set.

    Parameters
    ----------
    title : of the table
    report : from :func:`usassist.evaluation.domain.domain_report`
    name : of what the engine was made for
    """
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1))
    table.add_column("set", no_wrap=True)
    for column in ("shows", "frames", "cases", "abstained", "95 % interval", "prob p5", "p50", "p95"):
        table.add_column(column, justify="right")
    pooled = {f"all {'with' if key == 'inside' else 'without'} {name}": row for key, row in report["pooled"].items()}
    for rows in (report["sets"], pooled):
        for key, row in rows.items():
            figure, prob = row["abstained"], row["prob"]
            table.add_row(
                key,
                name if row["inside"] else "other",
                str(row["frames"]),
                str(row["cases"]),
                f"{figure.value:.3f}",
                _interval(figure),
                *(f"{prob[level]:.3f}" for level in ("p5", "p50", "p95")),
            )
        table.add_section()
    console.print(table)


def format_counts(counts: Mapping[str, Any]) -> str:
    """The counts of a report in one line; zeros are omitted, except for frames and cases."""
    shown = {key: value for key, value in counts.items() if value or key in ("frames", "cases")}
    return "; ".join(f"{key.replace('_', ' ')} {value}" for key, value in shown.items())


def _interval(figure: Figure) -> str:
    return f"{figure.low:.3f} to {figure.high:.3f}" if math.isfinite(figure.low) else "-"


def _cell(figure: Figure) -> str:
    return f"{figure.value:.2f} {figure.low:.2f}-{figure.high:.2f}" if figure.count else "-"
