"""How well the scan area is found: ``python -m tools.scan_area_report OUT_DIR``.

On phantom screens the truth is known: overlap, the share of the image that is lost, pixels of banner, text and ruler
that remain. On real screens it was judged by eye, for the sets and names in ``bench/scan_truth.csv``; the nodules that
a set outlines have to lie inside. An area is right when its overlap with the truth is at least 0.9 of their union. For
the rest the report counts what can be counted (no answer, whole frame, bright texture left outside). It draws the
rectangles on contact sheets for visual review. The sheets show real screens: OUT_DIR must lie outside the
project.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import numpy.typing as npt
import typer
from rich import box
from rich.console import Console
from rich.table import Table

from tools.contact_sheets import Sheets, check_outside_project
from tools.scan_screens import ScreenSet, data_screens, phantom_screens
from usassist.config import data_dir
from usassist.errors import ScanAreaError
from usassist.frames import find_scan_area

__all__ = ["AreaRow", "measure_area"]

UInt8Array = npt.NDArray[np.uint8]
Rectangle = tuple[int, int, int, int]

_CELL_WH_PX = (300, 215)
_COLUMNS, _ROWS = 6, 6
_TABLE_COLUMNS = 150
_RIGHT_IOU = 0.9
_NODULE_HELD = 0.95  # boxes are loose by a few pixels
_LIT_LEVELS = 24  # brighter than this outside the rectangle, and thick, is image that was lost


@dataclass(frozen=True, slots=True, kw_only=True)
class AreaRow:
    """Result for one set of screens.

    Attributes
    ----------
    group, name : of the screens
    xyxy_px : the rectangle; None where none was found
    whole : it is the whole screen
    iou : overlap with the true rectangle; None without truth
    right : the overlap is large enough; None without truth
    nodules_cut : how many outlined nodules lie outside, wholly or in part
    lost : share of the lit pixels of the true rectangle that lie outside; None without truth
    banner_px : marks of the screen inside the rectangle, px; None without truth
    lit_outside : thick lit structures outside the rectangle, share of the screen
    elapsed_ms : for the search
    """

    group: str
    name: str
    xyxy_px: Rectangle | None
    whole: bool
    iou: float | None
    right: bool | None
    nodules_cut: int
    lost: float | None
    banner_px: int | None
    lit_outside: float
    elapsed_ms: float


def measure_area(screens: ScreenSet) -> AreaRow:
    """Find the scan area on one set of screens, and compare it with the truth."""
    started_s = time.perf_counter()
    found: Rectangle | None
    try:
        area = find_scan_area(screens.frames)
        found, whole = area.xyxy_px, area.is_whole
    except ScanAreaError:
        found, whole = None, False
    elapsed_ms = 1e3 * (time.perf_counter() - started_s)
    iou = lost = banner_px = None
    truth = screens.truth_xyxy_px
    if truth is not None and found is not None:
        shared = _shared(truth, found)
        iou = shared / (_area(truth) + _area(found) - shared)
        lost = _lost(screens.frames[0], truth, found)
    if screens.banner is not None and found is not None:
        x1, y1, x2, y2 = found
        banner_px = int(np.count_nonzero(screens.banner[y1:y2, x1:x2]))
    return AreaRow(
        group=screens.group,
        name=screens.name,
        xyxy_px=found,
        whole=whole,
        iou=iou,
        right=None if truth is None else iou is not None and iou >= _RIGHT_IOU,
        nodules_cut=sum(found is None or _held(box, found) < _NODULE_HELD for box in screens.nodules_xyxy_px),
        lost=lost,
        banner_px=banner_px,
        lit_outside=_lit_outside(screens.frames[0], found),
        elapsed_ms=elapsed_ms,
    )


def _area(rectangle: Rectangle) -> int:
    x1, y1, x2, y2 = rectangle
    return max(0, x2 - x1) * max(0, y2 - y1)


def _shared(one: Rectangle, other: Rectangle) -> int:
    return _area((max(one[0], other[0]), max(one[1], other[1]), min(one[2], other[2]), min(one[3], other[3])))


def _held(box: Rectangle, found: Rectangle) -> float:
    return _shared(box, found) / max(1, _area(box))


def _lost(image: UInt8Array, truth: Rectangle, found: Rectangle) -> float:
    lit = np.zeros(image.shape[:2], np.bool_)
    x1, y1, x2, y2 = truth
    lit[y1:y2, x1:x2] = image[y1:y2, x1:x2, 0] >= _LIT_LEVELS
    in_truth = np.count_nonzero(lit)
    lit[found[1] : found[3], found[0] : found[2]] = False
    return float(np.count_nonzero(lit)) / max(1, int(in_truth))


def _lit_outside(image: UInt8Array, found: Rectangle | None) -> float:
    if found is None:
        return 0.0
    grey = image if image.ndim == 2 else np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
    lit = np.asarray(cv2.blur(grey, (9, 9)) > _LIT_LEVELS, np.uint8)
    side_px = max(9, round(0.05 * max(grey.shape)))
    lit = np.asarray(cv2.morphologyEx(lit, cv2.MORPH_OPEN, np.ones((side_px, side_px), np.uint8)), np.uint8)
    lit[found[1] : found[3], found[0] : found[2]] = 0
    return float(lit.mean())


def _cell(screens: ScreenSet, row: AreaRow) -> UInt8Array:
    """One screen, brightened so that faint depth shows, with the rectangle on it."""
    image = screens.frames[0]
    image = np.repeat(image[:, :, None], 3, axis=2) if image.ndim == 2 else image
    wide_px, high_px = _CELL_WH_PX
    scale = float(min((wide_px - 4) / int(image.shape[1]), (high_px - 18) / int(image.shape[0])))
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    small = np.asarray(255 * (small / 255.0) ** 0.6, np.uint8)
    if row.xyxy_px is not None:
        x1, y1, x2, y2 = (round(scale * edge) for edge in row.xyxy_px)
        cv2.rectangle(small, (x1, y1), (x2 - 1, y2 - 1), (255, 60, 60) if row.whole else (60, 255, 60), 1)
    cell = np.full((high_px, wide_px, 3), 60, np.uint8)
    cell[16 : 16 + small.shape[0], 2 : 2 + small.shape[1]] = small
    caption = f"{row.name[-30:]}{' NONE' if row.xyxy_px is None else ' WHOLE' if row.whole else ''}"
    cv2.putText(cell, caption, (3, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 0), 1, cv2.LINE_AA)
    return cell


def _table(rows: Iterable[AreaRow]) -> Table:
    table = Table(title="scan area", title_justify="left", box=box.SIMPLE_HEAD)
    for column in (
        "screens",
        "sets",
        "no answer",
        "whole",
        "right",
        "nodules cut",
        "IoU p5",
        "IoU p50",
        "lost > 1 %",
        "banner passes",
        "ms p95",
    ):
        table.add_column(column, justify="left" if column == "screens" else "right")
    groups: dict[str, list[AreaRow]] = {}
    for row in rows:
        groups.setdefault(row.group, []).append(row)
    for group, items in groups.items():
        ious = [item.iou for item in items if item.iou is not None]
        true = bool(ious)
        table.add_row(
            group,
            str(len(items)),
            str(sum(item.xyxy_px is None for item in items)),
            str(sum(item.whole for item in items)),
            _share(sum(item.right is True for item in items), sum(item.right is not None for item in items)),
            str(sum(item.nodules_cut for item in items)),
            f"{np.percentile(ious, 5):.3f}" if true else "",
            f"{np.median(ious):.3f}" if true else "",
            str(sum((item.lost or 0) > 0.01 for item in items)) if true else "",
            str(sum((item.banner_px or 0) > 0 for item in items)) if true else "",
            f"{np.percentile([item.elapsed_ms for item in items], 95):.1f}",
        )
    return table


def _share(count: int, total: int) -> str:
    return f"{count} of {total} ({100 * count / total:.1f} %)" if total else ""


def _all_screens(phantoms: int) -> Iterator[ScreenSet]:
    return chain(
        phantom_screens(phantoms, still=True), phantom_screens(phantoms // 2, still=False), data_screens(data_dir())
    )


def main(
    out_dir: Annotated[Path, typer.Argument(help="where report and contact sheets go; not into the project")],
    phantoms: Annotated[int, typer.Option(help="phantom stills; half as many sets of eight")] = 120,
) -> None:
    """Measure the search for the scan area and draw contact sheets."""
    check_outside_project(out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    rows: list[AreaRow] = []
    sheets = Sheets(out_dir, _CELL_WH_PX, _COLUMNS, _ROWS)
    for screens in _all_screens(phantoms):
        rows.append(measure_area(screens))
        sheets.add(screens.group, _cell(screens, rows[-1]))
    sheets.close()
    (out_dir / "report.json").write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", encoding="utf-8")
    Console(width=_TABLE_COLUMNS).print(_table(rows))


if __name__ == "__main__":
    typer.run(main)
