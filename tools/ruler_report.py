"""How well the ruler of a screen is read: ``python -m tools.ruler_report IMAGES... --out DIR``.

Each image is read as a source reads it: its scan area is found, and then the ruler beside it. The table counts scales
and, by cause, screens without one; on phantom screens, whose scale is known, it has the error of the scale. The
contact sheets show the ticks that were seen, the figures that were read, and a bar of 10 mm beside the ruler, for
review by eye. The sheets show real screens: DIR must lie outside the project.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
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
from tools.scan_screens import ScreenSet, label_screens, phantom_screens
from usassist.errors import ScanAreaError, UsageError
from usassist.frames import find_scan_area
from usassist.phantom import PhantomConfig, PhantomScanner
from usassist.sources.address import IMAGE_SUFFIXES
from usassist.sources.images import read_image
from usassist.sources.pixels import luma
from usassist.sources.ruler import NoRuler, Ruler, RulerReading, read_ruler
from usassist.sources.scale_watch import ScaleWatch

__all__ = ["RulerRow", "measure_ruler", "watch_cost_ms"]

UInt8Array = npt.NDArray[np.uint8]

_CELL_WH_PX = (480, 350)
_COLUMNS, _ROWS = 4, 5
_TABLE_COLUMNS = 150
_GREEN, _YELLOW, _RED, _CYAN = (60, 255, 60), (255, 255, 0), (255, 80, 80), (80, 220, 255)


@dataclass(frozen=True, slots=True, kw_only=True)
class RulerRow:
    """Result for one screen.

    Attributes
    ----------
    group, name : of the screen
    cause : why there is no scale; ``no_scan_area`` where that was not found; empty where there is a scale
    by : what the distance of the ticks is known from; empty without a scale
    spacing_rc_mm, spacing_rel_sd, confidence : as read; None without a scale
    error : relative error of the scale, the larger of rows and columns; None without truth or without a scale
    elapsed_ms : for the reading
    """

    group: str
    name: str
    cause: str = ""
    by: str = ""
    spacing_rc_mm: tuple[float, float] | None = None
    spacing_rel_sd: float | None = None
    confidence: float | None = None
    error: float | None = None
    elapsed_ms: float = 0.0


def measure_ruler(screens: ScreenSet) -> tuple[RulerRow, RulerReading | NoRuler | None]:
    """Read the ruler on the first of a set of screens, and compare its scale with the truth.

    Returns
    -------
    row : for the report
    answer : of the reader; None where no scan area was found
    """
    screen = screens.frames[0]
    try:
        roi = find_scan_area([screen]).xyxy_px
    except ScanAreaError:
        return RulerRow(group=screens.group, name=screens.name, cause="no_scan_area"), None
    started_s = time.perf_counter()
    answer = read_ruler(luma(screen), roi)
    elapsed_ms = 1e3 * (time.perf_counter() - started_s)
    if isinstance(answer, NoRuler):
        return RulerRow(group=screens.group, name=screens.name, cause=answer.cause, elapsed_ms=elapsed_ms), answer
    truth = screens.spacing_rc_mm
    row = RulerRow(
        group=screens.group,
        name=screens.name,
        by=" and ".join(sorted({ruler.by for ruler in answer.rulers} - {"vertical", ""})),
        spacing_rc_mm=answer.spacing_rc_mm,
        spacing_rel_sd=answer.spacing_rel_sd,
        confidence=answer.confidence,
        error=None if truth is None else float(np.abs(np.divide(answer.spacing_rc_mm, truth) - 1.0).max()),
        elapsed_ms=elapsed_ms,
    )
    return row, answer


def _image_screens(paths: Iterable[Path], every: int) -> Iterator[ScreenSet]:
    for path in paths:
        files = [path]
        if path.is_dir():
            files = sorted(item for item in path.iterdir() if item.suffix.lower() in IMAGE_SUFFIXES)[::every]
        elif not path.exists():
            raise UsageError(f"there is no {path}; give images or folders of images")
        for file in files:
            group = f"{path.parent.name}/{path.name}" if path.is_dir() else file.parent.name
            yield ScreenSet(group=group, name=file.stem, frames=(read_image(file),))


def _cell(screens: ScreenSet, row: RulerRow, answer: RulerReading | NoRuler | None) -> UInt8Array:
    image = screens.frames[0]
    image = np.repeat(image[:, :, None], 3, axis=2) if image.ndim == 2 else image
    wide_px, high_px = _CELL_WH_PX
    scale = float(min((wide_px - 4) / int(image.shape[1]), (high_px - 20) / int(image.shape[0])))
    method = cv2.INTER_AREA if scale < 1.0 else cv2.INTER_LINEAR
    small = np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=method), np.uint8)
    for ruler in answer.rulers if answer is not None else ():
        _draw(small, ruler, scale, known=isinstance(answer, RulerReading))
    cell = np.full((high_px, wide_px, 3), 60, np.uint8)
    cell[18 : 18 + small.shape[0], 2 : 2 + small.shape[1]] = small
    caption, color = f"{row.name[-24:]} {row.cause}", _RED
    if row.spacing_rc_mm is not None:
        caption = f"{row.name[-24:]} {row.spacing_rc_mm[0]:.4f} {row.spacing_rc_mm[1]:.4f} mm/px {row.by}"
        color = _YELLOW
    cv2.putText(cell, caption, (3, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.42, color, 1, cv2.LINE_AA)
    return cell


def _draw(small: UInt8Array, ruler: Ruler, scale: float, *, known: bool) -> None:
    """The ticks of one ruler, its figures, and a bar of 10 mm from the first tick."""
    ticks, upright = ruler.ticks, ruler.side in ("left", "right")
    color = _GREEN if known else _RED

    def at(along: float, across: float) -> tuple[int, int]:
        point = (across, along) if upright else (along, across)
        return round(scale * point[0]), round(scale * point[1])

    for number in ticks.index:
        along = ticks.first_px + ticks.step_px * int(number)
        cv2.line(small, at(along, ticks.across_px - 7), at(along, ticks.across_px + 7), color, 1)
    for figure in ruler.figures:
        along = ticks.first_px + ticks.step_px * figure.index
        where = at(along + 4, ticks.across_px + (22 if ruler.side == "right" else -34))
        cv2.putText(small, f"{figure.value:g}", where, cv2.FONT_HERSHEY_SIMPLEX, 0.45, _CYAN, 1, cv2.LINE_AA)
    if ruler.tick_mm is not None:
        end = ticks.first_px + ticks.step_px * 10.0 / ruler.tick_mm
        cv2.line(small, at(ticks.first_px, ticks.across_px + 9), at(end, ticks.across_px + 9), _CYAN, 2)


def watch_cost_ms(seconds: float = 20.0, rate_hz: float = 25.0) -> tuple[float, float]:
    """What the watch of the scale costs a stream of 1280 x 720 px: mean and longest time of a frame, ms."""
    scanner = PhantomScanner(PhantomConfig(seed=3, screen_hw_px=(720, 1280)))
    screens = [scanner.render(0.4 * number).screen for number in range(8)]
    watch = ScaleWatch("auto", None)
    took_ms: list[float] = []
    for number in range(round(seconds * rate_hz)):
        screen = screens[number % len(screens)]
        started_s = time.perf_counter()
        watch.claim(scanner.scan_xyxy_px, round(number * 1e9 / rate_hz), lambda screen=screen: luma(screen))  # type: ignore[misc]
        took_ms.append(1e3 * (time.perf_counter() - started_s))
    return float(np.mean(took_ms)), max(took_ms)


def _table(rows: Iterable[RulerRow]) -> Table:
    table = Table(title="rulers", title_justify="left", box=box.SIMPLE_HEAD)
    for column in (
        "screens",
        "number",
        "scale found",
        "by",
        "without, by cause",
        "error p50",
        "p95",
        "max",
        "ms p50",
        "p95",
    ):
        table.add_column(column, justify="left" if column in ("screens", "by", "without, by cause") else "right")
    groups: dict[str, list[RulerRow]] = {}
    for row in rows:
        groups.setdefault(row.group, []).append(row)
    for group, items in groups.items():
        found = [item for item in items if not item.cause]
        errors = [100 * item.error for item in found if item.error is not None]
        table.add_row(
            group,
            str(len(items)),
            f"{len(found)} ({100 * len(found) / len(items):.1f} %)",
            _counts(item.by for item in found),
            _counts(item.cause for item in items if item.cause),
            *(f"{figure:.2f} %" for figure in np.percentile(errors, (50, 95, 100))) if errors else ("", "", ""),
            *(f"{figure:.0f}" for figure in np.percentile([item.elapsed_ms for item in items], (50, 95))),
        )
    return table


def _counts(names: Iterable[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in Counter(names).most_common())


def main(
    images: Annotated[list[Path] | None, typer.Argument(help="Images, or folders of images.")] = None,
    out: Annotated[Path, typer.Option(help="Where report and sheets go; not into the project.")] = Path("out"),
    every: Annotated[int, typer.Option(min=1, help="Of a folder, take every so many images.")] = 1,
    phantoms: Annotated[int, typer.Option(min=0, help="So many phantom screens, whose scale is known.")] = 0,
    labels: Annotated[int, typer.Option(min=0, help="So many phantom screens with a depth label, no figures.")] = 0,
    cost: Annotated[bool, typer.Option("--cost", help="Also measure what the watch costs a stream.")] = False,
) -> None:
    """Read the rulers on screens, count the answers and draw contact sheets."""
    check_outside_project(out)
    out.mkdir(parents=True, exist_ok=True)
    rows: list[RulerRow] = []
    sheets = Sheets(out, _CELL_WH_PX, _COLUMNS, _ROWS)
    simulated = (replace(screens, group="phantom") for screens in phantom_screens(phantoms, still=True))
    for screens in chain(_image_screens(images or [], every), simulated, label_screens(labels)):
        row, answer = measure_ruler(screens)
        rows.append(row)
        sheets.add(screens.group, _cell(screens, row, answer))
    if not rows:
        raise UsageError("there is nothing to read; give images, folders of images, --phantoms or --labels")
    sheets.close()
    (out / "report.json").write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", encoding="utf-8")
    console = Console(width=_TABLE_COLUMNS)
    console.print(_table(rows))
    if cost:
        mean_ms, longest_ms = watch_cost_ms()
        console.print(
            f"watch of the scale, 1280 x 720 px at 25 Hz: {mean_ms:.2f} ms a frame, longest {longest_ms:.0f} ms"
        )


if __name__ == "__main__":
    typer.run(main)
