"""A contact sheet of the frames that differ: the recorded result on the left, that of the rerun on the right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from usassist.app.rerun.outcome import FrameDifference
from usassist.errors import SessionError
from usassist.records import Result

__all__ = ["MAX_FRAMES", "UInt8Array", "draw_contact_sheet", "write_contact_sheet"]

UInt8Array = npt.NDArray[np.uint8]

MAX_FRAMES = 12
_COLUMNS = 2
_CELL_HW_PX = (240, 320)
_CAPTION_PX, _MARGIN_PX, _GAP_PX, _HEAD_PX = 28, 16, 4, 44
_RECORDED_BGR, _AGAIN_BGR = (
    (255, 200, 60),
    (40, 150, 255),
)  # light blue and orange, which colour-blind readers can distinguish
_TEXT_BGR, _GROUND_BGR = (235, 235, 235), (32, 32, 32)
_SHIFT = 4  # outlines are drawn to a sixteenth of a pixel


def write_contact_sheet(
    path: Path, differences: Sequence[FrameDifference], images: Mapping[int, UInt8Array], title: str
) -> None:
    """Write the sheet as a PNG file; see :func:`draw_contact_sheet`.

    Raises
    ------
    SessionError
        If it cannot be written.
    """
    sheet = draw_contact_sheet(differences, images, title)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cv2.imencode(".png", sheet)[1].tobytes())
    except OSError as error:
        raise SessionError(f"{path} cannot be written: {error.strerror}; name another --sheet") from error


def draw_contact_sheet(
    differences: Sequence[FrameDifference], images: Mapping[int, UInt8Array], title: str
) -> UInt8Array:
    """Draw the sheet.

    Parameters
    ----------
    differences : worst first; of more than 12 the rest is left out
    images : frame_id → uint8 (H, W) or (H, W, 3) RGB; a frame without one is shown black
    title : of the whole

    Returns
    -------
    sheet : uint8 (H, W, 3), BGR
    """
    shown = differences[:MAX_FRAMES]
    pair_px = 2 * _CELL_HW_PX[1] + _GAP_PX
    cell_h, cell_w = _CELL_HW_PX[0] + _CAPTION_PX + _MARGIN_PX, pair_px + _MARGIN_PX
    rows = max(1, -(-len(shown) // _COLUMNS))
    sheet = np.empty((_HEAD_PX + rows * cell_h, _MARGIN_PX + _COLUMNS * cell_w, 3), np.uint8)
    sheet[:] = _GROUND_BGR
    left_out = f", the worst {len(shown)} of {len(differences)}" if len(differences) > len(shown) else ""
    x = _write(sheet, f"{title}{left_out}", (_MARGIN_PX, 28), 17)
    for name, color in (("recorded", _RECORDED_BGR), ("again", _AGAIN_BGR)):
        cv2.line(sheet, (x + 30, 22), (x + 60, 22), color, 3, cv2.LINE_AA)
        x = _write(sheet, name, (x + 68, 28), 17)
    for index, item in enumerate(shown):
        top = _HEAD_PX + (index // _COLUMNS) * cell_h
        left = _MARGIN_PX + (index % _COLUMNS) * cell_w
        image = images.get(item.frame_id, np.zeros(item.recorded.image_hw_px, np.uint8))
        for side, (result, color) in enumerate(((item.recorded, _RECORDED_BGR), (item.again, _AGAIN_BGR))):
            drawn = _draw_outlines(image, result, color)
            height, width = drawn.shape[:2]
            at = left + side * (_CELL_HW_PX[1] + _GAP_PX)
            bottom = top + _CELL_HW_PX[0]  # captions stand right below
            sheet[bottom - height : bottom, at : at + width] = drawn
        _write(sheet, _fit(sheet, f"frame {item.frame_id}: {item.description}", pair_px), (left, top + cell_h - 25), 15)
    return sheet


def _draw_outlines(image: UInt8Array, result: Result, color: tuple[int, int, int]) -> UInt8Array:
    """The frame at the size of the sheet, with the outlines of one result."""
    scale = min(_CELL_HW_PX[0] / image.shape[0], _CELL_HW_PX[1] / image.shape[1])
    size_wh = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    resized = cv2.resize(image, size_wh, interpolation=interpolation)
    drawn = cv2.cvtColor(resized, cv2.COLOR_GRAY2BGR if image.ndim == 2 else cv2.COLOR_RGB2BGR)
    for outline in result.segmentation:
        # OpenCV counts from the centre of a pixel, image coordinates from its corner.
        points = np.round((outline * scale - 0.5) * (1 << _SHIFT)).astype(np.int32)
        for line_color, thickness in (((0, 0, 0), 3), (color, 1)):  # with a dark rim, for bright tissue
            cv2.polylines(drawn, [points], True, line_color, thickness, cv2.LINE_AA, _SHIFT)
    return np.asarray(drawn, np.uint8)


def _fit(sheet: UInt8Array, text: str, max_px: int) -> str:
    """Truncate a text that is wider than a pair of images."""
    shown = text
    while len(text) > 8 and _width(sheet, shown) > max_px:
        text = text[:-1]
        shown = f"{text}…"
    return shown


def _width(sheet: UInt8Array, text: str) -> int:
    box = cv2.getTextSize((sheet.shape[1], sheet.shape[0]), text, (0, 0), cv2.FontFace("sans"), 15)
    return int(box[2])


def _write(sheet: UInt8Array, text: str, origin: tuple[int, int], size: int) -> int:
    """Write text; returns its right edge, px."""
    (end_x, _), _ = cv2.putText(sheet, text, origin, _TEXT_BGR, cv2.FontFace("sans"), size, 400)
    return int(end_x)
