"""What a tick is where figures do not tell: by the label of the depth, if ticks and label fit each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from usassist.sources.ruler.answer import PLAUSIBLE_DEPTH_MM, NoRuler, Ruler, RulerCause
from usassist.sources.ruler.figures import Figure
from usassist.sources.ruler.label import DepthLabel, find_labels, step_by_label
from usassist.sources.ruler.ticks import Ticks

__all__ = ["label_contradicts", "with_label"]

UInt8Array = npt.NDArray[np.uint8]
Roi = tuple[int, int, int, int]

_LEAST_ALIKE_MM = 2 * PLAUSIBLE_DEPTH_MM[0]  # depth of centimetres from which on half centimetres are plausible too
_FIGURE_MM = 0.5  # by which a figure may differ from what its tick is by the label


def with_label(grey: UInt8Array, roi_xyxy_px: Roi, unknown: Sequence[NoRuler]) -> list[Ruler] | NoRuler:
    """The rulers with their ticks in mm by the label of the depth.

    Parameters
    ----------
    grey : uint8 (H, W), luma of the whole screen
    roi_xyxy_px : its scan area, px
    unknown : one or more, why the ticks of each ruler are not known from its figures; with the ruler where that leaves
        room for a label

    Returns
    -------
    rulers : one or more; or why there is none: the first of `unknown` where there is no label
    """
    rulers = [
        ruler
        for item in unknown
        if item.cause is RulerCause.STEP_UNKNOWN
        for ruler in item.rulers
        if ruler.ticks.alike or ruler.ticks.major_every is not None
    ]
    if len(rulers) != len(unknown):
        return unknown[0]
    labels = find_labels(grey, roi_xyxy_px)
    if not labels:
        return unknown[0]
    if len({label.depth_mm for label in labels}) > 1:
        return replace(unknown[0], reason="the screen has several depth labels, and no figures beside the ruler")
    known: list[Ruler] = []
    for ruler in rulers:
        step_mm = _step(ruler.ticks, roi_xyxy_px, labels[0])
        if step_mm is None:
            return replace(unknown[0], reason="the depth label does not fit the ticks of the ruler")
        if any(_contradicts(figure, step_mm) for figure in ruler.figures):
            return NoRuler(cause=RulerCause.FIGURES, reason="the figures beside the ruler contradict the depth label")
        known.append(replace(ruler, figures=(), tick_mm=step_mm, by="label", label_xyxy_px=labels[0].xyxy_px))
    return known


def label_contradicts(grey: UInt8Array, roi_xyxy_px: Roi, ruler: Ruler) -> bool:
    """True where ticks that are taken for centimetres, because they are alike, are something else by the label.

    A label that fits no step of the ticks says nothing. Where half centimetres are not plausible it is not looked for.

    Parameters
    ----------
    grey : uint8 (H, W), luma of the whole screen
    roi_xyxy_px : its scan area, px
    ruler : ``tick_mm`` is known
    """
    assert ruler.px_mm is not None
    if ruler.px_mm * (roi_xyxy_px[3] - roi_xyxy_px[1]) < _LEAST_ALIKE_MM:
        return False
    steps = [_step(ruler.ticks, roi_xyxy_px, label) for label in find_labels(grey, roi_xyxy_px)]
    return any(step is not None and step != ruler.tick_mm for step in steps)


def _step(ticks: Ticks, roi: Roi, label: DepthLabel) -> float | None:
    if not PLAUSIBLE_DEPTH_MM[0] <= label.depth_mm <= PLAUSIBLE_DEPTH_MM[1]:
        return None
    return step_by_label(ticks, (roi[1], roi[3]), label.depth_mm)


def _contradicts(figure: Figure, step_mm: float) -> bool:
    """True where a figure is neither centimetres nor millimetres from the first tick."""
    at_mm = figure.index * step_mm
    return not any(abs(unit * figure.value - at_mm) <= _FIGURE_MM for unit in (1.0, 10.0))
