"""One plane of a body composition: grey beside colours, with the numbers. Names nothing of the patient."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from usassist.app.studies.answer import StudyOutcome
from usassist.app.studies.pictures import side_marks, to_grey
from usassist.modalities.ct.body.measures import MEASURED
from usassist.modalities.ct.body.tissues import Tissue

__all__ = ["draw_level"]

UInt8Array = npt.NDArray[np.uint8]

_CELL_PX, _GAP_PX, _TOP_PX, _LINE_PX = 512, 8, 34, 22
_ALPHA = 0.55
_MARGIN_PX = 6
_PAPER, _TEXT, _DIM, _WARN = (16, 16, 16), (235, 235, 235), (165, 165, 165), (255, 190, 90)
_WORDS = {
    Tissue.SKELETAL_MUSCLE: "skeletal muscle",
    Tissue.SUBCUTANEOUS_FAT: "subcutaneous fat",
    Tissue.VISCERAL_FAT: "visceral fat",
    Tissue.INTERMUSCULAR_FAT: "intermuscular fat",
}


def draw_level(outcome: StudyOutcome, level: dict[str, Any]) -> UInt8Array:
    """The plane of one level, uint8 (H, W, 3) RGB.

    Parameters
    ----------
    outcome : of the study
    level : its entry in ``bodycomp.json``
    """
    answer, volume, view = outcome.result.answer, outcome.input.volume, outcome.view
    assert answer is not None
    assert answer.labelmap is not None
    assert view is not None
    z = level["plane"]
    labels, plane = answer.labelmap[z], volume.voxels[z]
    box = _box(labels > 0)
    spacing = volume.spacing_zyx_mm[1:]
    rows, columns = box[0].stop - box[0].start, box[1].stop - box[1].start
    scale = _CELL_PX / max(rows * spacing[0] / spacing[1], columns)
    grey = to_grey(plane[box], view.window_centre, view.window_width, spacing, scale)
    plain = np.repeat(grey[..., None], 3, axis=2)
    painted = plain.copy()
    large = cv2.resize(labels[box], (grey.shape[1], grey.shape[0]), interpolation=cv2.INTER_NEAREST)
    colours = {label.id: label.color_rgb for label in outcome.spec.labels}
    for tissue in MEASURED:
        mask = large == tissue + 1
        painted[mask] = ((1 - _ALPHA) * painted[mask] + _ALPHA * np.array(colours[tissue])).astype(np.uint8)
    lines = _lines(level)
    height = _TOP_PX + grey.shape[0] + _GAP_PX + _LINE_PX * len(lines) + _GAP_PX
    width = max(2 * grey.shape[1] + 3 * _GAP_PX, 900)
    canvas = np.full((height, width, 3), _PAPER, np.uint8)
    found = "" if level["confidence"] is None else f", found with confidence {level['confidence']:.2f}"
    _write(
        canvas, f"{view.title}, {level['level']}{found}: slice {level['slice']} of {level['slices']} from the feet", 22
    )
    marks = side_marks(volume.affine_ijk_to_lps_mm)
    for number, cell in enumerate((plain, painted)):
        left = _GAP_PX + number * (grey.shape[1] + _GAP_PX)
        canvas[_TOP_PX : _TOP_PX + cell.shape[0], left : left + cell.shape[1]] = cell
        middle = _TOP_PX + cell.shape[0] // 2
        _write(canvas, marks.left, middle, left + 3, _DIM)
        _write(canvas, marks.right, middle, left + cell.shape[1] - 14, _DIM)
    y = _TOP_PX + grey.shape[0] + _GAP_PX + 16
    for shown, text, colour in lines:
        if shown is not None:
            canvas[y - 11 : y + 1, _GAP_PX : _GAP_PX + 12] = colours[shown]
        _write(canvas, text, y, _GAP_PX + 20, colour)
        y += _LINE_PX
    return canvas


def _box(body: npt.NDArray[np.bool_]) -> tuple[slice, slice]:
    if not body.any():
        return slice(0, body.shape[0]), slice(0, body.shape[1])
    sides = []
    for axis in (1, 0):
        found = np.flatnonzero(body.any(axis=axis))
        sides.append(
            slice(max(int(found[0]) - _MARGIN_PX, 0), min(int(found[-1]) + 1 + _MARGIN_PX, body.shape[1 - axis]))
        )
    return sides[0], sides[1]


def _lines(level: dict[str, Any]) -> list[tuple[Tissue | None, str, tuple[int, int, int]]]:
    lines: list[tuple[Tissue | None, str, tuple[int, int, int]]] = []
    sign = "at least " if level["is_cut_off"] else ""
    for tissue in MEASURED:
        area, mean = level["areas"][tissue.name.lower()], level["mean_hu"][tissue.name.lower()]
        u95 = "" if area["u95"] is None else f" +- {area['u95']:.1f}"
        hu = "" if mean["value"] is None else f", mean {mean['value']:.0f} HU"
        lines.append((tissue, f"{_WORDS[tissue]}: {sign}{area['value']:.1f}{u95} cm2{hu}", _TEXT))
    index = level["skeletal_muscle_index"]
    if index is not None:
        lines.append((None, f"skeletal muscle index: {sign}{index['value']:.1f} cm2/m2", _TEXT))
    for item in level["cutoffs"]:
        said = item["reason"] or f"{'low' if item['is_low'] else 'not low'} (cut-off {item['cutoff']:g} cm2/m2)"
        lines.append((None, f"{item['name']}: {said}", _TEXT))
    reason = level["areas"]["skeletal_muscle"]["reason"]
    if reason:
        lines.append((None, f"areas without uncertainty: {reason}", _DIM))
    lines += [(None, f"look at it: {doubt}", _WARN) for doubt in level["doubts"]]
    lines.append((None, "Research use only; not a medical device.", _DIM))
    return lines


def _write(canvas: UInt8Array, text: str, y: int, x: int = _GAP_PX, colour: tuple[int, int, int] = _TEXT) -> None:
    cv2.putText(canvas, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, 1, cv2.LINE_AA)
