"""The contact sheet of an evaluation: frames side by side, with the marked and the found outlines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from usassist.evaluation.run import FrameOutcome

__all__ = ["Tile", "WorstFrames", "draw_sheet", "make_tile"]

UInt8Array = npt.NDArray[np.uint8]
BoolArray = npt.NDArray[np.bool_]

_COLUMNS = 4
_IMAGE_HW_PX = (270, 400)
_CAPTION_PX, _MARGIN_PX, _HEAD_PX = 28, 12, 44
_TRUTH_BGR, _FOUND_BGR = (255, 200, 60), (40, 150, 255)  # light blue and orange: safe for colour-blind readers
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
    x = _write(sheet, title, (_MARGIN_PX, 28), 17)
    legend = [("found", _FOUND_BGR)] if not with_truth else [("marked", _TRUTH_BGR), ("found", _FOUND_BGR)]
    for word, color in legend if tiles else []:
        cv2.line(sheet, (x + 30, 22), (x + 60, 22), color, 3, cv2.LINE_AA)
        x = _write(sheet, word, (x + 68, 28), 17)
    if not tiles:
        _write(sheet, "no frame to show", (_MARGIN_PX, _HEAD_PX + 40), 17)
    for index, tile in enumerate(tiles):
        top = _HEAD_PX + (index // _COLUMNS) * cell_h
        left = _MARGIN_PX + (index % _COLUMNS) * cell_w
        image = _draw_frame(tile)
        height, width = image.shape[:2]
        bottom = top + _IMAGE_HW_PX[0]  # directly above the caption
        sheet[bottom - height : bottom, left : left + width] = image
        _write(sheet, _fit(sheet, tile.caption), (left, top + _IMAGE_HW_PX[0] + 19), 15)
    return sheet


def _draw_frame(tile: Tile) -> UInt8Array:
    """The frame at the size of a tile, with both outlines."""
    scale = min(_IMAGE_HW_PX[0] / tile.image.shape[0], _IMAGE_HW_PX[1] / tile.image.shape[1])
    size_wh = (max(1, round(tile.image.shape[1] * scale)), max(1, round(tile.image.shape[0] * scale)))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    image = cv2.cvtColor(cv2.resize(tile.image, size_wh, interpolation=way), cv2.COLOR_GRAY2BGR)
    for mask, color in ((tile.truth, _TRUTH_BGR), (tile.found, _FOUND_BGR)):
        shown = cv2.resize(mask.astype(np.uint8) * 255, size_wh, interpolation=cv2.INTER_LINEAR)
        outlines, _ = cv2.findContours((shown > 127).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(image, outlines, -1, (0, 0, 0), 3, cv2.LINE_AA)  # a dark rim, for bright tissue
        cv2.drawContours(image, outlines, -1, color, 1, cv2.LINE_AA)
    return np.asarray(image, np.uint8)


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


def _write(sheet: UInt8Array, text: str, origin: tuple[int, int], size: int) -> int:
    """Write text; returns its right end, px."""
    (end_x, _), _ = cv2.putText(sheet, text, origin, _TEXT_BGR, cv2.FontFace("sans"), size, 400)
    return int(end_x)
