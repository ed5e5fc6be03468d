"""Boxes as truth: frames with a CSV file of boxes, checked against the images before a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from usassist.errors import ConfigError, SourceError
from usassist.evaluation.cases import Cases
from usassist.evaluation.csv_tables import Row, read_rows, require_good_rows
from usassist.evaluation.folders import LabelledFrame
from usassist.evaluation.images import Skipped, list_files, list_images, read_grey

__all__ = ["BoxedImage", "cases_of_rows", "fill_boxes", "list_boxed", "read_box_rows", "read_boxed"]

Float64Array = npt.NDArray[np.float64]

_SIDES = ("x1", "y1", "x2", "y2")
_EDGE_PX = 0.5  # a box that was scaled with its image may leave it by what rounding takes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BoxedImage:
    """An image on disk and its boxes.

    Attributes
    ----------
    name, image : of the frame
    boxes_xyxy_px : float64 (T, 4), inside the image; T = 0 for a frame without nodules
    """

    name: str
    image: Path
    boxes_xyxy_px: Float64Array


def read_box_rows(path: Path, part: str | None = None) -> list[Row]:
    """Read the rows of a CSV file of boxes.

    The first line names the columns: ``id``, ``file`` or ``name`` for the frame, and ``x1, y1, x2, y2``, px of the
    image with (0, 0) at its upper left corner. A frame with several nodules has several rows; a row in which all four
    are empty is a frame without nodules. Optional: ``part``; ``width, height`` of the image, which are checked;
    ``case``; ``look``, or ``original_width, original_height`` (:mod:`usassist.evaluation.looks`). Others are ignored.

    Parameters
    ----------
    path : of the file
    part : only rows with this value in the column ``part``; None = all

    Raises
    ------
    SourceError
        If the file cannot be read.
    ConfigError
        If it lacks a column, or has no row of that part.
    """
    rows = read_rows(path, (*_SIDES, *(() if part is None else ("part",))))
    chosen = [row for row in rows if part is None or row.fields["part"] == part]
    if not chosen:
        known = ", ".join(sorted({row.fields["part"] for row in rows}))
        raise ConfigError(f"{path.name} has no row of part {part}; known: {known}")
    return chosen


def cases_of_rows(path: Path, rows: Sequence[Row]) -> dict[str, str] | None:
    """Name → case from the column ``case``; None without that column.

    Raises
    ------
    ConfigError
        If a frame has no case, or two.
    """
    if "case" not in rows[0].fields:
        return None
    cases: dict[str, str] = {}
    problems = []
    for row in rows:
        case = row.fields["case"]
        if not case or cases.setdefault(row.name, case) != case:
            problems.append(f"{row.where}: {'no case' if not case else f'case {case}, before {cases[row.name]}'}")
    require_good_rows(path, problems)
    return cases


def list_boxed(
    images: Path,
    path: Path,
    rows: Sequence[Row],
    names: Sequence[str] | None,
    skipped: list[Skipped],
    *,
    name_rest: bool = False,
) -> list[BoxedImage]:
    """Join rows and images, and check every box against its image; each image is read once for this.

    Parameters
    ----------
    images : folder
    path, rows : of :func:`read_box_rows`
    names : only these, in this order; None = all of `rows`
    skipped : names without a row are added here
    name_rest : without `names`, also add images without a row, and files that are no images

    Raises
    ------
    SourceError
        If the folder is missing.
    ConfigError
        If a row has no image that can be read, or another size than it, or a box that is empty or outside of it.
    """
    strays: list[Skipped] = []
    image_by_name = list_images(list_files(images), strays)
    rows_by_name: dict[str, list[Row]] = {}
    for row in rows:
        rows_by_name.setdefault(row.name, []).append(row)
    if names is not None:
        skipped.extend(
            Skipped(name=name, reason=f"no row in {path.name}") for name in names if name not in rows_by_name
        )
    elif name_rest:
        rest = (name for name in image_by_name if name not in rows_by_name)
        skipped.extend([*(Skipped(name=name, reason=f"no row in {path.name}") for name in rest), *strays])
    problems: list[str] = []
    frames = []
    for name in rows_by_name if names is None else [name for name in names if name in rows_by_name]:
        own = rows_by_name[name]
        size_wh_px = _read_size(image_by_name.get(name), own[0], images, problems)
        boxes = [box for row in own if size_wh_px and (box := _read_box(row, size_wh_px, len(own), problems))]
        if size_wh_px is not None:
            image = image_by_name[name]
            frames.append(BoxedImage(name=name, image=image, boxes_xyxy_px=np.array(boxes, np.float64).reshape(-1, 4)))
    require_good_rows(path, problems)
    return frames


def read_boxed(frames: Iterable[BoxedImage], cases: Cases, skipped: list[Skipped]) -> Iterator[LabelledFrame]:
    """Read the frames of :func:`list_boxed`; an image that can no longer be read is added to `skipped`."""
    for frame in frames:
        try:
            image, converted = read_grey(frame.image)
        except SourceError as error:
            skipped.append(Skipped(name=frame.name, reason=str(error)))
            continue
        yield LabelledFrame(
            name=frame.name,
            case=cases.of(frame.name, image),
            image=image,
            truth=fill_boxes(frame.boxes_xyxy_px, (image.shape[0], image.shape[1])),
            boxes_xyxy_px=frame.boxes_xyxy_px,
            converted=converted,
        )


def fill_boxes(boxes_xyxy_px: Float64Array, size_hw_px: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Pixels that lie in a box by at least half: bool, `size_hw_px`."""
    filled = np.zeros(size_hw_px, np.bool_)
    for x1, y1, x2, y2 in np.rint(boxes_xyxy_px).astype(int):
        filled[max(0, y1) : y2, max(0, x1) : x2] = True
    return filled


def _read_size(image: Path | None, row: Row, folder: Path, problems: list[str]) -> tuple[int, int] | None:
    """Width and height of the image of a row; None after adding why there is none."""
    if image is None:
        problems.append(f"{row.where}: no image of this name in {folder.name}")
        return None
    try:
        height_px, width_px = read_grey(image)[0].shape
    except SourceError as error:
        problems.append(f"{row.where}: {error}")
        return None
    return width_px, height_px


def _read_box(
    row: Row, size_wh_px: tuple[int, int], row_count: int, problems: list[str]
) -> tuple[float, float, float, float] | None:
    """The box of a row; None for a frame without nodules, or after adding what is wrong."""
    texts = [row.fields[side] for side in _SIDES]
    if stated := [row.fields.get(key, "") for key in ("width", "height")]:
        wrong = [text for text, px in zip(stated, size_wh_px, strict=True) if text and _number(text) != px]
        if wrong:
            problems.append(
                f"{row.where}: size {stated[0]} x {stated[1]}, the image has {size_wh_px[0]} x {size_wh_px[1]}"
            )
            return None
    if not any(texts):
        if row_count > 1:
            problems.append(f"{row.where}: no box, and another row of the same frame")
        return None
    x1, y1, x2, y2 = (_number(text) for text in texts)
    shown = f"box {', '.join(texts)}"
    if not np.isfinite([x1, y1, x2, y2]).all():
        problems.append(f"{row.where}: {shown} is not four numbers")
    elif x2 <= x1 or y2 <= y1:
        problems.append(f"{row.where}: {shown} is empty, x2 must be above x1 and y2 above y1")
    elif min(x1, y1) < -_EDGE_PX or x2 > size_wh_px[0] + _EDGE_PX or y2 > size_wh_px[1] + _EDGE_PX:
        problems.append(f"{row.where}: {shown} is outside of the image, {size_wh_px[0]} x {size_wh_px[1]} px")
    else:
        return max(0.0, x1), max(0.0, y1), min(float(size_wh_px[0]), x2), min(float(size_wh_px[1]), y2)
    return None


def _number(text: Any) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")
