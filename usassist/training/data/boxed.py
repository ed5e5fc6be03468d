"""TN5000: frames of modern scanners with one nodule box each, and no outlines.

Each frame gets the outline that a teacher drew into its box, where there is one; else the ellipse that touches its
four sides, which stands for the box: its extent is known and its outline is not.
"""

from __future__ import annotations

import csv
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from usassist.errors import ConfigError
from usassist.training.data.boxes import ellipse_mask
from usassist.training.data.sample import Sample, crop_and_clean, nothing_marked

__all__ = ["OUTLINES_LIST", "BoxRow", "load_boxed", "read_boxed_frame", "read_boxes"]

UInt8Array = npt.NDArray[np.uint8]
Float64Array = npt.NDArray[np.float64]

OUTLINES_LIST = "outlines.csv"
"""In a teacher's folder: the frames that it outlined (column ``name``) and which outlines were kept (``kept``)."""

_ROUNDING_PX = 1.0  # boxes were scaled with their frames and rounded
_MIN_INSIDE_PX = 2.0  # of a box, inside its frame
_SIDES = ("x1", "y1", "x2", "y2")
_SIZES = ("width", "height", "original_width", "original_height")
_COLUMNS = ("id", "part", *_SIZES, *_SIDES)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BoxRow:
    """One row of ``boxes.csv``.

    Attributes
    ----------
    name : of the frame
    size_hw_px : of the frame
    look : its size before it was reduced, which tells the scanners apart
    box_xyxy_px : float64 (4,); may stand up to 1 px outside the frame, because it was rounded
    """

    name: str
    size_hw_px: tuple[int, int]
    look: str
    box_xyxy_px: Float64Array


def read_boxes(folder: Path, part: str) -> list[BoxRow]:
    """Read the boxes of a part, and check all of them; no frame is read.

    Parameters
    ----------
    folder : the data set, with ``boxes.csv``
    part : ``train`` or ``val``

    Raises
    ------
    ConfigError
        When ``boxes.csv`` cannot be read, lacks a column or the part, or a box is no number, empty, or outside its
        frame.
    """
    path = folder / "boxes.csv"
    try:
        with path.open(encoding="utf-8", newline="") as file:
            lines = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path} cannot be read: {error}; fetch the data set again") from error
    missing = [name for name in _COLUMNS if not lines or name not in lines[0]]
    if missing:
        raise ConfigError(f"{path} has no column {', '.join(missing)}; fetch the data set again")
    rows = [_parse(line, path) for line in lines if line["part"] == part]
    if not rows:
        raise ConfigError(f"{path} has no frame of part {part!r}; choose train or val")
    return rows


def read_boxed_frame(folder: Path, row: BoxRow) -> UInt8Array:
    """Read the frame of a row: uint8 (H, W), grey.

    Raises
    ------
    ConfigError
        When it cannot be read or has another size.
    """
    path = folder / "images" / f"{row.name}.jpg"
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if image is None or image.shape != row.size_hw_px:
        height_px, width_px = row.size_hw_px
        raise ConfigError(f"{path} cannot be read or is not {width_px}x{height_px} px; fetch the data set again")
    return np.asarray(image, np.uint8)


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
        When a file is missing or cannot be read, or a box is not usable; all rows are checked before the first frame
        is read.
    """
    rows = read_boxes(folder, part)
    kept = set() if outlines is None else _read_kept(outlines)
    samples = []
    for row in (row for row in rows if row.name not in left_out):
        known = row.name in kept
        marked = _read_outline(outlines, row) if outlines and known else ellipse_mask(row.box_xyxy_px, row.size_hw_px)
        samples.append(
            crop_and_clean(
                Sample(
                    name=row.name,
                    image=read_boxed_frame(folder, row),
                    nodule=marked,
                    gland=nothing_marked(marked),
                    look=row.look,
                    outline_known=known,
                    all_marked=False,
                )
            )
        )
    return samples


def _parse(line: dict[str, str], path: Path) -> BoxRow:
    name = line["id"]
    try:
        width_px, height_px, original_width_px, original_height_px = (int(line[column]) for column in _SIZES)
        box = np.array([float(line[column]) for column in _SIDES])
        if not np.isfinite(box).all():
            raise ValueError
    except (TypeError, ValueError):
        raise ConfigError(f"{path}: the box or size of {name} is no number; correct the row") from None
    ends = np.array([width_px, height_px, width_px, height_px], np.float64)
    near = bool((box >= -_ROUNDING_PX).all() and (box <= ends + _ROUNDING_PX).all())
    inside = np.clip(box, 0.0, ends)
    if not near or not bool((inside[2:] - inside[:2] >= _MIN_INSIDE_PX).all()):
        raise ConfigError(f"{path}: the box of {name} is empty or outside its frame; correct the row")
    return BoxRow(
        name=name,
        size_hw_px=(height_px, width_px),
        look=f"{original_width_px}x{original_height_px}",
        box_xyxy_px=box,
    )


def _read_kept(outlines: Path) -> set[str]:
    path = outlines / OUTLINES_LIST
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return {row["name"] for row in csv.DictReader(file) if row["kept"] == "1"}
    except (OSError, KeyError) as error:
        raise ConfigError(f"{path} cannot be read ({error}); make the outlines with the teacher first") from error


def _read_outline(outlines: Path, row: BoxRow) -> UInt8Array:
    path = outlines / f"{row.name}.png"
    mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if mask is None or mask.shape != row.size_hw_px:
        raise ConfigError(f"{path} cannot be read or has another size than its frame; make the outlines again")
    return (mask > 127).astype(np.uint8)
