"""The contact sheet of an evaluation: frames side by side, with the marked and the found outlines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from usassist.evaluation.run import FrameOutcome

__all__ = ["FOUND_BGR", "TRUTH_BGR", "Tile", "WorstFrames", "draw_frame", "draw_sheet", "draw_text", "make_tile"]

UInt8Array = npt.NDArray[np.uint8]
BoolArray = npt.NDArray[np.bool_]

_COLUMNS = 4
_IMAGE_HW_PX = (270, 400)
_CAPTION_PX, _MARGIN_PX, _HEAD_PX = 28, 12, 44
TRUTH_BGR, FOUND_BGR = (255, 200, 60), (40, 150, 255)  # light blue and orange: safe for colour-blind readers
_TEXT_BGR, _GROUND_BGR = (235, 235, 235), (32, 32, 32)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tile:
    """One frame of the sheet, cropped to the scan area.

    Attributes
    ----------
    key : sort key, ascending
    image : uint8 (h, w)
    truth, found : bool (h, w)
    caption : one line
    """

    key: tuple[float, str]
    image: UInt8Array
    truth: BoolArray
    found: BoolArray
    caption: str


class WorstFrames:
    """Keeps the tiles with the smallest keys, so that the images of all others can be freed.

    Parameters
    ----------
    count : number of tiles to keep
    """

    def __init__(self, count: int = 12) -> None:
        self._count = count
        self._tiles: list[Tile] = []

    def offer(self, outcome: FrameOutcome, threshold: float, key: float, caption: str) -> None:
        """Keep this frame if it is among the worst so far."""
        place = (key, outcome.frame.name)
        if len(self._tiles) == self._count and place >= self._tiles[-1].key:
            return
        self._tiles.append(make_tile(outcome, threshold, place, caption))
        self._tiles.sort(key=lambda tile: tile.key)
        del self._tiles[self._count :]

    @property
    def tiles(self) -> list[Tile]:
        """The tiles, worst first."""
        return list(self._tiles)


def make_tile(outcome: FrameOutcome, threshold: float, key: tuple[float, str], caption: str) -> Tile:
    """Crop a frame to its scan area; copies, so that the frame can be freed."""
    x1, y1, x2, y2 = outcome.scan_xyxy_px
    area = np.s_[y1:y2, x1:x2]
    return Tile(
        key=key,
        image=outcome.scan.copy(),
        truth=outcome.frame.truth[area].copy(),
        found=outcome.found(threshold)[area].copy(),
        caption=caption,
    )


def draw_sheet(tiles: Sequence[Tile], title: str, *, with_truth: bool = True) -> UInt8Array:
    """Draw the sheet.

    Parameters
    ----------
    tiles : in this order, four in a row
    title : of the sheet
    with_truth : include the marked outline in the legend

    Returns
    -------
    sheet : uint8 (H, W, 3), BGR
    """
    rows = max(1, -(-len(tiles) // _COLUMNS))
    cell_h, cell_w = _IMAGE_HW_PX[0] + _CAPTION_PX + _MARGIN_PX, _IMAGE_HW_PX[1] + _MARGIN_PX
    sheet = np.empty((_HEAD_PX + rows * cell_h, _MARGIN_PX + _COLUMNS * cell_w, 3), np.uint8)
    sheet[:] = _GROUND_BGR
    x = draw_text(sheet, title, (_MARGIN_PX, 28), 17)
    legend = [("found", FOUND_BGR)] if not with_truth else [("marked", TRUTH_BGR), ("found", FOUND_BGR)]
    for word, color in legend if tiles else []:
        cv2.line(sheet, (x + 30, 22), (x + 60, 22), color, 3, cv2.LINE_AA)
        x = draw_text(sheet, word, (x + 68, 28), 17)
    if not tiles:
        draw_text(sheet, "no frame to show", (_MARGIN_PX, _HEAD_PX + 40), 17)
    for index, tile in enumerate(tiles):
        top = _HEAD_PX + (index // _COLUMNS) * cell_h
        left = _MARGIN_PX + (index % _COLUMNS) * cell_w
        image = draw_frame(tile, _IMAGE_HW_PX)
        height, width = image.shape[:2]
        bottom = top + _IMAGE_HW_PX[0]  # directly above the caption
        sheet[bottom - height : bottom, left : left + width] = image
        draw_text(sheet, _fit(sheet, tile.caption), (left, top + _IMAGE_HW_PX[0] + 19), 15)
    return sheet


def draw_frame(tile: Tile, size_hw_px: tuple[int, int], *, line_px: int = 1, dash_px: int = 0) -> UInt8Array:
    """The frame with both outlines, as large as fits.

    Parameters
    ----------
    tile : the frame
    size_hw_px : largest height and width of the drawing, px
    line_px : width of the outlines
    dash_px : the marked outline is dashed, with dashes of so many px; 0 = it is a line

    Returns
    -------
    image : uint8 (h, w, 3), BGR
    """
    scale = min(size_hw_px[0] / tile.image.shape[0], size_hw_px[1] / tile.image.shape[1])
    size_wh = (max(1, round(tile.image.shape[1] * scale)), max(1, round(tile.image.shape[0] * scale)))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    image = cv2.cvtColor(cv2.resize(tile.image, size_wh, interpolation=way), cv2.COLOR_GRAY2BGR)
    for mask, color, dash in ((tile.truth, TRUTH_BGR, dash_px), (tile.found, FOUND_BGR, 0)):
        shown = cv2.resize(mask.astype(np.uint8) * 255, size_wh, interpolation=cv2.INTER_LINEAR)
        outlines, _ = cv2.findContours((shown > 127).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        lines = [line for outline in outlines for line in _dashes(outline, dash)]
        for shade, width in (((0, 0, 0), line_px + 2), (color, line_px)):  # a dark rim, for bright tissue
            cv2.polylines(image, lines, not dash, shade, width, cv2.LINE_AA)
    return np.asarray(image, np.uint8)


def _dashes(outline: npt.NDArray[Any], dash_px: int) -> list[npt.NDArray[Any]]:
    """The outline itself, or its dashes with gaps as long as they are."""
    if not dash_px:
        return [outline]
    return [outline[start : start + dash_px] for start in range(0, len(outline), 2 * dash_px)]


def _fit(sheet: UInt8Array, text: str) -> str:
    """Shorten text in the middle if it is wider than a tile."""
    shown = text
    while len(shown) > 12 and _width(sheet, shown) > _IMAGE_HW_PX[1]:
        text = text[: len(text) // 2 - 1] + text[len(text) // 2 :]
        shown = f"{text[: len(text) // 2]}…{text[len(text) // 2 :]}"
    return shown


def _width(sheet: UInt8Array, text: str) -> int:
    font = cv2.FontFace("sans")
    box = cv2.getTextSize((sheet.shape[1], sheet.shape[0]), text, (0, 0), font, 15)
    return int(box[2])


def draw_text(sheet: UInt8Array, text: str, origin: tuple[int, int], size: int) -> int:
    """Write text; returns its right end, px."""
    (end_x, _), _ = cv2.putText(sheet, text, origin, _TEXT_BGR, cv2.FontFace("sans"), size, 400)
    return int(end_x)
