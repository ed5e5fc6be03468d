"""The label of the depth on a screen (``4.5 cm``), which tells what a tick is where no figures stand beside the ticks.

Lines of text are looked for beside the image and in its corners. One of them may be the depth; a distance that was
measured looks much the same, so that a label without a word for depth must have nothing to its left. The label only
decides between steps that differ by a factor of two or more: the scale is that of the ticks.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from usassist.sources.ruler.text_reader import DepthText, read_depths
from usassist.sources.ruler.ticks import Ticks

__all__ = ["DepthLabel", "find_labels", "step_by_label"]

UInt8Array = npt.NDArray[np.uint8]
Box = tuple[int, int, int, int]

_STEPS_MM = (1.0, 2.0, 5.0, 10.0)
_MAJOR_MM = (5.0, 10.0, 50.0, 100.0)  # from one longer tick to the next
_OFF_SHARE, _OFF_MM = 0.03, 0.5  # by which the depth of the image may differ from its label
_FIRST_ABOVE, _FIRST_BELOW = 1.3, 0.3  # of a tick and of the depth: where the tick of a curved probe's surface lies
_CORNER_WH = (0.25, 0.12)  # of the scan area, in which a label may stand inside it
_LEVELS = (110, 55)  # grey levels of letters above their ground
_LOWEST, _HIGHEST = 0.009, 0.045  # of letters, as a share of the screen's height
_LETTER_GAP = 0.8  # of the height of the letters: within a line,
_LEFT_GAP = 10.0  # and to another line that belongs to it
_LONGEST, _SHORTEST = 14.0, 1.3  # of a label, in heights
_MOST_LINES = 96
_SAME_PX = 1  # by which the edges of one line differ at two levels


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthLabel:
    """A depth that stands on the screen.

    Attributes
    ----------
    depth_mm : as it says
    xyxy_px : where it stands on the screen
    """

    depth_mm: float
    xyxy_px: Box


def step_by_label(ticks: Ticks, rows: tuple[int, int], depth_mm: float) -> float | None:
    """Distance of the ticks by which the image has the depth of its label, mm; None where none fits, or several.

    Parameters
    ----------
    ticks : of the ruler
    rows : first and last (exclusive) row of the scan area, px
    depth_mm : as the label says
    """
    spans = [float(rows[1] - rows[0])]
    if -_FIRST_ABOVE * ticks.step_px <= ticks.first_px - rows[0] <= _FIRST_BELOW * spans[0]:
        spans.append(rows[1] - ticks.first_px)
    every = ticks.major_every
    fit = [
        step_mm
        for step_mm in _STEPS_MM
        if (every is None or every * step_mm in _MAJOR_MM)
        and any(abs(span / ticks.step_px * step_mm - depth_mm) <= _OFF_SHARE * depth_mm + _OFF_MM for span in spans)
    ]
    return fit[0] if len(fit) == 1 else None


def find_labels(grey: UInt8Array, roi_xyxy_px: Box) -> list[DepthLabel]:
    """Read the depth labels of a screen; more than one where it has several, also of the same depth.

    Parameters
    ----------
    grey : uint8 (H, W), luma of the whole screen
    roi_xyxy_px : its scan area, px
    """
    found: list[DepthLabel] = []
    read: list[Box] = []
    for level in _LEVELS:
        for label in _at_level(grey, roi_xyxy_px, level, read):
            if not any(_overlap(label.xyxy_px, other.xyxy_px) and label.depth_mm == other.depth_mm for other in found):
                found.append(label)
    return found


def _at_level(grey: UInt8Array, roi: Box, level: int, read: list[Box]) -> list[DepthLabel]:
    """The labels among the lines at one level, without the lines of `read`, to which it adds its own."""
    marks = _marks(grey, roi, level)
    letters = [box for box in marks if _is_letter(box, grey.shape[0]) and not _is_frame(box, marks)]
    lines = [line for line in _lines(letters) if _SHORTEST <= (line[2] - line[0]) / (line[3] - line[1]) <= _LONGEST]
    lines = [line for line in lines if not any(_is_same(line, other) for other in read)]
    if len(lines) > _MOST_LINES:
        return []
    read += lines
    labels: list[DepthLabel] = []
    for line, text in zip(lines, _read(grey, lines), strict=True):
        if text is None or text.depth_mm is None:
            continue
        if text.named or _stands_alone(grey, line, marks, letters):
            labels.append(DepthLabel(depth_mm=text.depth_mm, xyxy_px=line))
    return labels


def _marks(grey: UInt8Array, roi: Box, level: int) -> list[Box]:
    """Boxes of what is brighter than its ground, outside the scan area and in its corners."""
    x1, y1, x2, y2 = roi
    reach = 2 * round(_HIGHEST * grey.shape[0]) + 1
    ground = cv2.morphologyEx(grey, cv2.MORPH_OPEN, np.ones((reach, 1), np.uint8))
    lit = np.asarray(cv2.subtract(grey, np.asarray(ground, np.uint8)) > level, np.uint8)
    wide, high = round(_CORNER_WH[0] * (x2 - x1)), round(_CORNER_WH[1] * (y2 - y1))
    lit[y1 + high : y2 - high, x1:x2] = 0
    lit[y1:y2, x1 + wide : x2 - wide] = 0
    _, _, stats, _ = cv2.connectedComponentsWithStats(lit, connectivity=8)
    return [(int(x), int(y), int(x + w), int(y + h)) for x, y, w, h, _ in stats[1:]]


def _is_letter(box: Box, height_px: int) -> bool:
    wide, high = box[2] - box[0], box[3] - box[1]
    return high <= max(12.0, _HIGHEST * height_px) and wide <= 6 * high and max(wide, high) >= 2


def _is_frame(box: Box, marks: list[Box]) -> bool:
    """True for a line around a text, which is wider than letters are."""
    if box[2] - box[0] <= 1.5 * (box[3] - box[1]):
        return False
    return any(box[0] < other[0] and box[1] < other[1] and other[2] < box[2] and other[3] < box[3] for other in marks)


def _lines(letters: list[Box]) -> list[Box]:
    """Neighbouring letters joined; a point belongs to the letters that it stands between."""
    lines: list[Box] = []
    for box in sorted(letters):
        for at in range(len(lines) - 1, -1, -1):
            line = lines[at]
            high = max(box[3] - box[1], line[3] - line[1])
            shared = min(box[3], line[3]) - max(box[1], line[1])
            least = min(box[3] - box[1], line[3] - line[1])
            if box[0] - line[2] <= _LETTER_GAP * high and shared >= 0.6 * least and high <= 3 * least + 12:
                lines[at] = line[0], min(line[1], box[1]), max(line[2], box[2]), max(line[3], box[3])
                break
        else:
            lines.append(box)
    return [line for line in lines if line[3] - line[1] > 4]


def _read(grey: UInt8Array, lines: list[Box]) -> list[DepthText | None]:
    crops: list[UInt8Array] = []
    for x1, y1, x2, y2 in lines:
        crop = grey[max(0, y1 - 1) : y2 + 1, max(0, x1 - 1) : x2 + 1]
        darkest, brightest = float(crop.min()), float(crop.max())
        crops.append(np.asarray(np.rint((crop - darkest) * (255.0 / max(1.0, brightest - darkest))), np.uint8))
    return read_depths(crops)


def _stands_alone(grey: UInt8Array, line: Box, marks: list[Box], letters: list[Box]) -> bool:
    """True where nothing, or the word for depth, stands to the left of a number: it is no name of a measurement."""
    high = line[3] - line[1]
    left = [
        box
        for box in marks
        if line[0] - _LEFT_GAP * high <= box[2] <= line[0]
        and min(box[3], line[3]) - max(box[1], line[1]) > 0
        and max(box[2] - box[0], box[3] - box[1]) >= 2
    ]
    if not left:
        return True
    near = [box for box in _lines([box for box in left if box in letters]) if box[2] <= line[0]]
    if not near:
        return False
    (word,) = _read(grey, [max(near, key=lambda box: box[2])])
    return word is not None and word.named and word.depth_mm is None


def _is_same(one: Box, other: Box) -> bool:
    return all(abs(a - b) <= _SAME_PX for a, b in zip(one, other, strict=True))


def _overlap(one: Box, other: Box) -> bool:
    return min(one[2], other[2]) > max(one[0], other[0]) and min(one[3], other[3]) > max(one[1], other[1])
