"""One picture of a study: the planes with the highest scores, with outlines, and with their scores in colour."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from usassist.app.studies.pictures import HEAT_STEPS_RGB, blend_heat, draw_outlines, side_marks, to_grey
from usassist.app.studies.planes import plane_centre_lps_mm, top_planes
from usassist.records import LabelSpec
from usassist.volumes import StudyAnswer, Volume

if TYPE_CHECKING:
    from usassist.app.studies.answer import StudyOutcome

__all__ = ["draw_montage"]

UInt8Array = npt.NDArray[np.uint8]
Rgb = tuple[int, int, int]
Box = tuple[slice, slice]

_CELL_PX = 380
_GAP_PX = 10
_TOP_PX, _CAPTION_PX, _BOTTOM_PX, _BAR_PX = 66, 46, 44, 62
_MARGIN = 0.18  # of what is scored, around it
_PAPER, _TEXT, _DIM, _MARK, _FOUND = (16, 16, 16), (235, 235, 235), (165, 165, 165), (255, 235, 120), (255, 150, 90)


def draw_montage(outcome: StudyOutcome, count: int = 3) -> UInt8Array | None:
    """The planes of highest score, uint8 (H, W, 3) RGB; None where planes are not scored.

    Above each plane in grey with outlines, below it with the scores of its voxels. The text names the engine and the
    study's pseudonym, and nothing of the patient.
    """
    answer, volume = outcome.result.answer, outcome.input.volume
    planes = top_planes(outcome, count)
    if answer is None or not planes:
        return None
    scores = next(item.scores for item in answer.plane_scores if item.label_id == 0)
    box = _box(answer, volume)
    pixel_yx_mm = volume.spacing_zyx_mm[1:]
    rows_mm = (box[0].stop - box[0].start) * pixel_yx_mm[0]
    columns = box[1].stop - box[1].start
    scale = _CELL_PX / max(rows_mm / pixel_yx_mm[1], columns)
    rows = 1 if answer.heat is None else 2
    width = len(planes) * (_CELL_PX + _GAP_PX) + _GAP_PX + (_BAR_PX if rows == 2 else 0)
    width = max(width, 3 * (_CELL_PX + _GAP_PX))
    height = _TOP_PX + rows * (_CELL_PX + _GAP_PX) + _CAPTION_PX + _BOTTOM_PX
    canvas = np.full((height, width, 3), _PAPER, np.uint8)
    for index, z in enumerate(planes):
        left = _GAP_PX + index * (_CELL_PX + _GAP_PX)
        cells = _cells(outcome, z, box, pixel_yx_mm, scale)
        for row, cell in enumerate(cells):
            _place(canvas, cell, left, _TOP_PX + row * (_CELL_PX + _GAP_PX), volume)
        below = _TOP_PX + rows * (_CELL_PX + _GAP_PX)
        _write(canvas, f"slice {z + 1} of {volume.shape_zyx[0]}   score {scores[z]:.2f}", left, below + 14, 16, _TEXT)
        _write(canvas, _position(volume, z), left, below + 34, 14, _DIM)
    if rows == 2:
        _colour_bar(canvas, _GAP_PX + len(planes) * (_CELL_PX + _GAP_PX) + 4, _TOP_PX + _CELL_PX + _GAP_PX)
    _head(canvas, outcome, answer)
    foot = f"Research use only, not a medical device.   {outcome.result.engine_id}   series {volume.series_id}"
    _write(canvas, foot, _GAP_PX, height - 16, 14, _DIM)
    return canvas


def _cells(outcome: StudyOutcome, z: int, box: Box, pixel_yx_mm: tuple[float, float], scale: float) -> list[UInt8Array]:
    answer, volume = outcome.result.answer, outcome.input.volume
    assert answer is not None
    plane = volume.voxels[z][box]
    centre, width = _window(outcome, plane)
    grey = to_grey(plane, centre, width, pixel_yx_mm, scale)
    outlined = np.repeat(grey[..., None], 3, axis=2)
    if answer.labelmap is not None:
        draw_outlines(outlined, answer.labelmap[z][box], _colours(outcome.spec.labels), pixel_yx_mm, scale, 2)
    cells = [outlined]
    if answer.heat is not None:
        cells.append(blend_heat(grey, np.ascontiguousarray(answer.heat[z][box]), pixel_yx_mm, scale))
    return cells


def _window(outcome: StudyOutcome, plane: npt.NDArray[Any]) -> tuple[float, float]:
    if outcome.view is not None:
        return outcome.view.window_centre, outcome.view.window_width
    low, high = (float(value) for value in np.percentile(plane, (2.0, 98.0)))
    return (low + high) / 2.0, max(high - low, 1.0)


def _colours(labels: tuple[LabelSpec, ...]) -> Mapping[int, Rgb]:
    return {label.id: label.color_rgb for label in labels}


def _box(answer: StudyAnswer, volume: Volume) -> Box:
    """The part of a plane that is shown: what is scored in any plane, with a margin; all of it without scores."""
    _, height, width = volume.shape_zyx
    whole = slice(0, height), slice(0, width)
    if answer.heat is None:
        return whole
    used = np.zeros((height, width), np.bool_)
    for plane in answer.heat:
        used |= plane > 0
    if not used.any():
        return whole

    def span(along: npt.NDArray[np.bool_]) -> slice:
        first, last = (int(value) for value in np.flatnonzero(along)[[0, -1]])
        margin = round(_MARGIN * (last + 1 - first))
        return slice(max(first - margin, 0), min(last + 1 + margin, len(along)))

    return span(np.asarray(used.any(axis=1))), span(np.asarray(used.any(axis=0)))


def _place(canvas: UInt8Array, cell: UInt8Array, left: int, top: int, volume: Volume) -> None:
    """Put a plane in the middle of its cell, with the marks of its sides."""
    height, width = (min(side, _CELL_PX) for side in cell.shape[:2])
    canvas[top : top + _CELL_PX, left : left + _CELL_PX] = 0
    y, x = top + (_CELL_PX - height) // 2, left + (_CELL_PX - width) // 2
    canvas[y : y + height, x : x + width] = cell[:height, :width]
    if not volume.spacing_is_known:  # made-up geometry says nothing about sides
        return
    marks = side_marks(volume.affine_ijk_to_lps_mm)
    middle_x, middle_y = left + _CELL_PX // 2, top + _CELL_PX // 2
    for letter, x, y in (
        (marks.left, left + 6, middle_y + 6),
        (marks.right, left + _CELL_PX - 20, middle_y + 6),
        (marks.top, middle_x - 6, top + 20),
        (marks.bottom, middle_x - 6, top + _CELL_PX - 6),
    ):
        canvas[y - 18 : y + 4, x - 4 : x + 18] //= 4  # bone behind it is white
        _write(canvas, letter, x, y, 20, _MARK)


def _position(volume: Volume, z: int) -> str:
    if not volume.spacing_is_known:
        return "position and sides not known: no spacing"
    x, y, up = plane_centre_lps_mm(volume, z)
    axis = int(np.abs(volume.affine_ijk_to_lps_mm[:3, 2]).argmax())
    plus, minus = (("L", "R"), ("P", "A"), ("H", "F"))[axis]
    value = (x, y, up)[axis]
    return f"position {plus if value >= 0 else minus} {abs(value):.1f} mm"


def _colour_bar(canvas: UInt8Array, left: int, top: int) -> None:
    height = _CELL_PX - 30
    steps = HEAT_STEPS_RGB[np.linspace(255, 0, height).round().astype(int)]
    canvas[top + 15 : top + 15 + height, left : left + 16] = steps[:, None]
    for value in (1.0, 0.5, 0.0):
        _write(canvas, f"{value:.1f}", left + 22, top + 20 + round((1.0 - value) * height), 13, _DIM)


def _head(canvas: UInt8Array, outcome: StudyOutcome, answer: StudyAnswer) -> None:
    title = outcome.view.title if outcome.view is not None else outcome.spec.name
    colour = _FOUND if answer.found else _TEXT
    _write(canvas, f"{title}: {outcome.words}", _GAP_PX, 28, 22, colour)
    parts = []
    for item in answer.measurements:
        if item.name == "study_score" and item.label_id == 0 and item.value is not None:
            parts.append(f"score of the study {item.value:.2f}, threshold {outcome.spec.labels[0].score_threshold:.2f}")
        elif item.name != "study_score" and item.value is not None:
            value = f"{item.value:.1f}" if item.u95 is None else f"{item.value:.1f} ± {item.u95:.1f}"
            note = " (its uncertainty was not measured)" if item.u95 is None else ""
            parts.append(f"{item.name.replace('_', ' ')} {value} {item.unit}{note}")
        elif item.name != "study_score" and answer.found:
            parts.append(f"no {item.name.replace('_', ' ')}: {item.reason}")
    _write(canvas, ",   ".join(parts), _GAP_PX, 52, 15, _DIM)


def _write(canvas: UInt8Array, text: str, x: int, y: int, size: int, colour: Rgb) -> None:
    cv2.putText(canvas, text, (x, y), colour, cv2.FontFace("sans"), size, 400)
