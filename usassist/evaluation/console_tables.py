"""Console output of the evaluation commands."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from usassist.calibrate import OperatingPoint, PointFigures, ScoreCalibration
from usassist.evaluation.images import Skipped
from usassist.evaluation.metrics import Figure
from usassist.evaluation.slices import LookSlice, Slice

__all__ = [
    "FIGURE_NAMES",
    "format_counts",
    "print_calibration",
    "print_domain",
    "print_figures",
    "print_looks",
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
    "sensitivity_iou50": "nodules found (IoU ≥ 0.5)",
    "false_positives_per_frame": "false positives per frame",
    "ap50": "AP50 (IoU of masks ≥ 0.5)",
    "ap50_boxes": "AP50 (IoU of boxes ≥ 0.5)",
    "ece": "expected calibration error",
    "diameter_rel_bias": "relative error of diameter, mean",
    "diameter_rel_sd": "relative error of diameter, sd",
    "side_rel_bias": "relative error of longer side, mean",
    "side_rel_sd": "relative error of longer side, sd",
    "false_alarms_per_frame": "false alarms per frame",
    "frames_with_false_alarm": "frames with a false alarm",
    "clips_found": "clips with the nodule found at all",
    "frames_to_first_detection": "frames to first detection, mean",
    "flicker": "flicker: 1 - IoU of neighbours, mean",
    "flicker_of_truth": "the same of the marked outlines",
    "clips_without_switch": "clips without an identity switch",
    "switches_per_clip": "identity switches per clip",
    "transfers_per_clip": "identity transfers per clip",
    "fragmentations_per_clip": "gaps in a track per clip",
    "idf1": "IDF1 (IoU ≥ 0.3)",
    "hota": "HOTA",
    "det_a": "detection accuracy of HOTA",
    "ass_a": "association accuracy of HOTA",
    "nodules_of_5mm_found": "nodules of 5 mm or more found at all",
    "frames_to_detection_of_5mm": "frames to their first detection, mean",
    "diameter_error_mm_p50": "error of diameter at p50, mm",
    "diameter_error_mm_p90": "error of diameter at p90, mm",
    "diameter_error_rel_p50": "relative error of diameter at p50",
    "diameter_error_rel_p90": "relative error of diameter at p90",
    "diameter_mm_rel_bias": "relative error of diameter in mm, mean",
    "diameter_u95_coverage": "95 % intervals of diameter that hold",
    "diameter_u95_rel": "half-width of these intervals, relative",
    "changes_per_100_pairs": "found or lost per 100 pairs",
    "false_positives_per_marked_frame": "false positives per frame with mask",
    "false_positives_per_unmarked_frame": "false positives per frame without mask",
    "false_alarms_per_minute": "false alarms per minute",
    "false_alarms_marked_per_minute": "false alarms per minute, with mask",
    "false_alarms_unmarked_per_minute": "false alarms per minute, without mask",
    "false_alarms_per_1000_frames": "false alarms per 1000 frames",
    "false_alarms_marked_per_1000_frames": "false alarms per 1000, with mask",
    "false_alarms_unmarked_per_1000_frames": "false alarms per 1000, without mask",
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


def print_looks(console: Console, looks: Mapping[str, LookSlice], *, boxed: bool) -> None:
    """Print the figures of every look of the screen; of frames with boxes there is no Dice."""
    table = Table(title="by look of the screen", title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1))
    table.add_column("look", no_wrap=True)
    figures = {
        **({} if boxed else {"Dice, mean": "dice_mean"}),
        "nodules found": "sensitivity",
        "false pos. per frame": "false_positives_per_frame",
        "ECE": "ece",
    }
    for column in ("frames", "nodules"):
        table.add_column(column, justify="right")
    for column in figures:
        table.add_column(column, justify="right", min_width=9)
    table.add_column("error of side" if boxed else "error of diam.", justify="right", min_width=6)
    for name, part in looks.items():
        cells = [_cell(getattr(part, attribute)) for attribute in figures.values()]
        error = f"{_short(part.diameter_rel_bias)} ± {_short(part.diameter_rel_sd).lstrip('+')}"
        table.add_row(name, str(part.frames), str(part.nodules), *cells, error)
    console.print(table)
    console.print(
        "(ECE: expected calibration error; error: relative to the true size, mean ± sd, with intervals in the JSON)",
        highlight=False,
        soft_wrap=True,
    )


def print_skipped(console: Console, skipped: Sequence[Skipped]) -> None:
    """Print the skipped files; of many, the first and the number of the others."""
    if skipped:
        console.print(f"skipped: {len(skipped)}", highlight=False)
    for item in skipped[:_MAX_SKIPPED]:
        console.print(f"  {item.name}: {item.reason}", markup=False, highlight=False, soft_wrap=True)
    if len(skipped) > _MAX_SKIPPED:
        console.print(f"  and {len(skipped) - _MAX_SKIPPED} more, see the JSON or CSV file", highlight=False)


def print_calibration(console: Console, calibration: ScoreCalibration) -> None:
    """Print a score calibration: its error on every set, and its operating points on all sets and on each."""
    for label in calibration.labels:
        console.print(
            f"{label.name}: slope {label.slope:.3f}, intercept {label.intercept:.3f}; expected calibration error "
            f"{label.ece:.3f}, cross-validated by case {label.ece_cross_validated:.3f}; "
            f"{label.detections} detections, {label.nodules} nodules",
            highlight=False,
            soft_wrap=True,
        )
    columns = ("set", "truth", "frames", "nodules", "detections", "ECE", "ECE, fitted on the others")
    table = Table(*columns, title="expected calibration error", title_justify="left")
    for item in calibration.sets:
        counts = (item.frames, item.nodules, item.detections)
        table.add_row(item.name, item.truth, *map(str, counts), _number(item.ece), _number(item.ece_left_out))
    console.print(table)
    if any(item.abstained for item in calibration.sets):
        counts_text = ", ".join(f"{item.abstained} frames of {item.name}" for item in calibration.sets)
        console.print(f"abstained on {counts_text}; nodules on them are missed", highlight=False, soft_wrap=True)
    several = len(calibration.sets) > 1
    table = Table("point", "score", "set", "nodules found", "false pos. per frame", "alarms per negative frame")
    for point in calibration.points.values():
        table.add_row(point.name, _number(point.score), "mean of sets" if several else "", *_figures_of(point))
        for figures in point.sets if several else ():
            table.add_row("", "", figures.name, *_figures_of(figures))
        table.add_section()
    console.print(table)


def _figures_of(item: OperatingPoint | PointFigures) -> tuple[str, str, str]:
    return (
        _number(item.sensitivity),
        _number(item.false_positives_per_frame),
        _number(item.alarms_per_negative_frame),
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


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


def _short(figure: Figure) -> str:
    return f"{figure.value:+.2f}" if math.isfinite(figure.value) else "-"
