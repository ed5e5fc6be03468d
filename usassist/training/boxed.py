"""TN5000: frames of modern scanners with one nodule box each, and no outlines.

Each frame gets the outline that a teacher drew into its box, where there is one; else the ellipse that touches its
four sides, which stands for the box: its extent is known and its outline is not.
"""

from __future__ import annotations

import csv
from collections.abc import Collection
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from usassist.errors import ConfigError
from usassist.training.datasets import Sample, crop_and_clean, nothing_marked

__all__ = ["OUTLINES_LIST", "load_boxed"]

OUTLINES_LIST = "outlines.csv"
"""In a teacher's folder: the frames that it outlined (column ``name``) and which outlines were kept (``kept``)."""

_ROUNDING_PX = 1.0  # boxes were scaled with their frames and rounded
_COLUMNS = ("id", "part", "width", "height", "original_width", "original_height", "x1", "y1", "x2", "y2")


def load_boxed(folder: Path, part: str, outlines: Path | None = None, left_out: Collection[str] = ()) -> list[Sample]:
    """TN5000 frames of a part, cropped to the scan area.

    Parameters
    ----------
    folder : the data set, with ``boxes.csv`` and ``images``
    part : ``train`` or ``val``
    outlines : folder of ``ID.png`` (0 or 255, size of the frame) and ``outlines.csv``; None = boxes alone
    left_out : ids of frames that are excluded

    Raises
    ------
    ConfigError
        When a file is missing or cannot be read, or a box is empty or lies outside its frame; all rows are checked
        before the first frame is read.
    """
    rows = _read_rows(folder / "boxes.csv", part)
    kept = set() if outlines is None else _read_kept(outlines)
    samples = []
    for row in (row for row in rows if row["id"] not in left_out):
        path = folder / "images" / f"{row['id']}.jpg"
        image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        if image is None or image.shape != (int(row["height"]), int(row["width"])):
            raise ConfigError(
                f"{path} cannot be read or has another size than boxes.csv says; fetch the data set again"
            )
        known = row["id"] in kept
        marked = _read_outline(outlines, row["id"], image.shape) if outlines and known else _ellipse(row, image.shape)
        samples.append(
            crop_and_clean(
                Sample(
                    name=row["id"],
                    image=np.asarray(image, np.uint8),
                    nodule=marked,
                    gland=nothing_marked(marked),
                    look=f"{row['original_width']}x{row['original_height']}",
                    outline_known=known,
                    all_marked=False,
                )
            )
        )
    return samples


def _read_rows(path: Path, part: str) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}; fetch the data set again") from error
    missing = [name for name in _COLUMNS if not rows or name not in rows[0]]
    if missing:
        raise ConfigError(f"{path} has no column {', '.join(missing)}; fetch the data set again")
    chosen = [row for row in rows if row["part"] == part]
    for row in chosen:
        x1, y1, x2, y2 = (float(row[name]) for name in ("x1", "y1", "x2", "y2"))
        right, bottom = float(row["width"]) + _ROUNDING_PX, float(row["height"]) + _ROUNDING_PX
        if not (-_ROUNDING_PX <= x1 < x2 <= right and -_ROUNDING_PX <= y1 < y2 <= bottom):
            raise ConfigError(f"{path}: the box of {row['id']} is empty or outside its frame; correct the row")
    return chosen


def _read_kept(outlines: Path) -> set[str]:
    path = outlines / OUTLINES_LIST
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return {row["name"] for row in csv.DictReader(file) if row["kept"] == "1"}
    except (OSError, KeyError) as error:
        raise ConfigError(f"{path} cannot be read ({error}); make the outlines with the teacher first") from error


def _read_outline(outlines: Path, name: str, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    path = outlines / f"{name}.png"
    mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if mask is None or mask.shape != shape:
        raise ConfigError(f"{path} cannot be read or has another size than its frame; make the outlines again")
    return (mask > 127).astype(np.uint8)


def _ellipse(row: dict[str, str], shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """The ellipse that touches the four sides of a row's box: uint8 (H, W), 1 inside."""
    x1, y1, x2, y2 = (float(row[name]) for name in ("x1", "y1", "x2", "y2"))
    x = (np.arange(shape[1]) + 0.5 - (x1 + x2) / 2) / max(0.5, (x2 - x1) / 2)
    y = (np.arange(shape[0]) + 0.5 - (y1 + y2) / 2) / max(0.5, (y2 - y1) / 2)
    return (x[None, :] ** 2 + y[:, None] ** 2 <= 1.0).astype(np.uint8)
