"""Read the scale of an image from the ruler that its scanner draws beside it, or say why it cannot be read.

A vertical ruler on either side gives px per tick; what a tick is in mm comes from the figures beside it, and where they
do not tell, from a label of the depth elsewhere on the screen. Without either, a ruler whose ticks are all alike counts
centimetres, up to a depth of 60 mm: scanners whose screens were looked at draw finer ticks only together with longer or
brighter ones, but others count half centimetres, and from seven ticks on both are depths at which a neck is scanned.
A depth below 20 mm or above 300 mm is no plausible image. Groups of ticks without figures and label (five to a longer
one: 2 mm or 1 cm?) have no answer. A ruler above or below the image gives the column step.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from usassist.sources.ruler.across import RATIOS, has_two_views, horizontal_ruler
from usassist.sources.ruler.answer import PLAUSIBLE_DEPTH_MM, NoRuler, Ruler, RulerCause, RulerReading
from usassist.sources.ruler.by_label import label_contradicts, with_label
from usassist.sources.ruler.figures import figures_beside, rise_of, rise_of_one
from usassist.sources.ruler.text_reader import MISSING_READER, has_text_reader
from usassist.sources.ruler.ticks import Ticks, find_ticks

__all__ = ["read_ruler"]

UInt8Array = npt.NDArray[np.uint8]
Roi = tuple[int, int, int, int]

_WITHIN = 0.1  # rulers inside the scan area are searched up to this share of its side from its edge
_EDGE_PX = 4  # by which the scan area may be found too large
_ALIKE_DEPTH_MM = (20.0, 60.0)  # without figures; of ticks that were half centimetres the depth would be 10 to 30 mm
_TOP_SHARE = 0.15  # of a tick, within which a tick lies at the upper edge of the image
_LEAST_COVERED = 0.6  # of the scan area's depth
_SAME = 0.015  # relative difference of two rulers that agree
_ASPECT_SD = 0.01  # relative standard uncertainty of the column step where no ruler shows it
_SCREEN_SD = 0.001  # the same of a ruler as scanners draw it
_LEAST_CONFIDENCE = 0.4
_NO_RULER = "no ruler was found beside the image"
_MAY_BE_CROSSED = (RulerCause.NO_RULER, RulerCause.HIDDEN, RulerCause.STEP_UNKNOWN, RulerCause.NO_READER)


def read_ruler(grey: UInt8Array, roi_xyxy_px: Roi) -> RulerReading | NoRuler:
    """Read the scale of the image on one screen.

    Parameters
    ----------
    grey : uint8 (H, W), luma of the whole screen
    roi_xyxy_px : its scan area, px

    Returns
    -------
    reading : or, where there is no certain answer, the cause
    """
    x1, y1, x2, y2 = roi_xyxy_px
    inner = max(_EDGE_PX, round(_WITHIN * (x2 - x1)))
    sides = {"left": (0, x1 + inner), "right": (x2 - inner, grey.shape[1])}
    seen = [
        Ruler(side=side, ticks=ticks)
        for side, columns in sides.items()
        if (ticks := find_ticks(grey, columns, (y1, y2))) is not None
    ]
    answer = _by_sides(grey, roi_xyxy_px, seen)
    if isinstance(answer, NoRuler) and answer.cause in _MAY_BE_CROSSED:
        crossed = _crossed(grey, roi_xyxy_px, sides)
        if crossed is not None:
            return crossed
    return answer


def _by_sides(grey: UInt8Array, roi_xyxy_px: Roi, seen: list[Ruler]) -> RulerReading | NoRuler:
    """The scale by the rulers beside the image."""
    x1, y1, x2, y2 = roi_xyxy_px
    if not seen:
        return NoRuler(cause=RulerCause.NO_RULER, reason=_NO_RULER)
    whole = [ruler for ruler in seen if _covered(ruler.ticks, (y1, y2)) >= _LEAST_COVERED]
    if not whole and not any(_is_credible(ruler) for ruler in seen):
        return NoRuler(cause=RulerCause.NO_RULER, reason=_NO_RULER)
    if not whole:
        return NoRuler(cause=RulerCause.HIDDEN, reason="the ruler covers only part of the depth", rulers=tuple(seen))
    judged = [_with_step(grey, ruler, (y1, y2)) for ruler in whole]
    known = [ruler for ruler in judged if isinstance(ruler, Ruler)]
    if not known:
        labelled = with_label(grey, roi_xyxy_px, [item for item in judged if isinstance(item, NoRuler)])
        if isinstance(labelled, NoRuler):
            return replace(labelled, rulers=tuple(whole))
        known = labelled
    main = max(known, key=lambda ruler: (ruler.by == "figures", len(ruler.ticks.index)))
    compared = [main]
    for other in whole:
        stated = next((ruler for ruler in known if ruler.side == other.side), other)
        if other.side == main.side or not _is_credible(stated):
            continue
        compared.append(stated)
        if not _agrees(main, stated):
            reason = "the rulers on both sides of the image disagree: two views of different scale"
            return NoRuler(cause=RulerCause.DISAGREE, reason=reason, rulers=tuple(compared))
    if main.by == "alike" and label_contradicts(grey, roi_xyxy_px, main):
        reason = "the depth label contradicts a ruler whose ticks count centimetres"
        return NoRuler(cause=RulerCause.DISAGREE, reason=reason, rulers=tuple(compared))
    if len(compared) == 1 and has_two_views(grey[y1:y2, x1:x2]):
        reason = "there are two views side by side, and only one of them has a ruler"
        return NoRuler(cause=RulerCause.DISAGREE, reason=reason, rulers=(main,))
    across = horizontal_ruler(grey, roi_xyxy_px, main)
    if isinstance(across, NoRuler):
        return across
    return _result(main, across, tuple(compared))


def _covered(ticks: Ticks, rows: tuple[int, int]) -> float:
    """Share of the side of the scan area that the ruler runs along; a tick may be missing at either end."""
    first, last = ticks.first_px - ticks.step_px, ticks.last_px + ticks.step_px
    return (min(last, rows[1]) - max(first, rows[0])) / (rows[1] - rows[0])


def _with_step(grey: UInt8Array, ruler: Ruler, rows: tuple[int, int]) -> Ruler | NoRuler:
    """The ruler with its ticks in mm, or why they are not known."""
    ticks = ruler.ticks
    depth = (rows[1] - rows[0]) / ticks.step_px
    top = (rows[0] - ticks.first_px) / ticks.step_px
    figures = tuple(figures_beside(grey, ticks))
    lone = rise_of_one(figures[0], ticks, top) if len(figures) == 1 else None
    if len(figures) >= 2 or lone is not None:
        rise = lone or rise_of(figures, top)
        if rise is None:
            return NoRuler(cause=RulerCause.FIGURES, reason="the figures beside the ruler contradict its ticks")
        units = [unit for unit in (10.0, 1.0) if _plausible(depth * rise.per_tick * unit)]
        if len(units) != 1:
            return NoRuler(
                cause=RulerCause.IMPLAUSIBLE,
                reason="the figures beside the ruler may be centimetres or millimetres"
                if units
                else "the ruler states a depth that no image has",
            )
        return replace(ruler, figures=figures, tick_mm=units[0] * rise.per_tick, by="figures")
    if ticks.alike and abs(top - round(top)) <= _TOP_SHARE:
        if not _ALIKE_DEPTH_MM[0] <= 10.0 * depth <= _ALIKE_DEPTH_MM[1]:
            return NoRuler(
                cause=RulerCause.STEP_UNKNOWN,
                reason="without figures the ruler may count centimetres or half centimetres",
                rulers=(replace(ruler, figures=figures),),
            )
        return replace(ruler, figures=figures, tick_mm=10.0, by="alike")
    if not has_text_reader():
        return NoRuler(cause=RulerCause.NO_READER, reason=MISSING_READER)
    return NoRuler(
        cause=RulerCause.STEP_UNKNOWN,
        reason="no figures were read beside the ruler",
        rulers=(replace(ruler, figures=figures),),
    )


def _plausible(depth_mm: float) -> bool:
    return PLAUSIBLE_DEPTH_MM[0] <= depth_mm <= PLAUSIBLE_DEPTH_MM[1]


def _is_credible(ruler: Ruler) -> bool:
    """True when the marks are a ruler's, whatever a tick is: of one length, or longer at equal distances."""
    return ruler.tick_mm is not None or ruler.ticks.alike or ruler.ticks.major_every is not None


def _agrees(main: Ruler, other: Ruler) -> bool:
    """True when a second ruler has the same scale, or, where its own is not known, may have it."""
    assert main.px_mm is not None
    if other.px_mm is not None:
        return abs(other.px_mm / main.px_mm - 1.0) <= _SAME
    ratio = other.ticks.step_px / main.ticks.step_px
    return any(abs(ratio / simple - 1.0) <= _SAME for simple in RATIOS)


def _result(main: Ruler, across: Ruler | None, known: tuple[Ruler, ...]) -> RulerReading | NoRuler:
    assert main.px_mm is not None
    row_mm = main.px_mm
    column_mm = row_mm if across is None or across.px_mm is None else across.px_mm
    seen = len(main.ticks.index) / main.ticks.count
    confidence = main.ticks.clean * seen * (1.0 if main.by == "figures" else 0.9)
    rulers = known if across is None else (*known, across)
    if confidence < _LEAST_CONFIDENCE:
        reason = "the marks beside the image are too unclear to be its ruler"
        return NoRuler(cause=RulerCause.HIDDEN, reason=reason, rulers=rulers)
    own_sd = max(ruler.ticks.step_sd_px / ruler.ticks.step_px for ruler in (main, across) if ruler is not None)
    return RulerReading(
        spacing_rc_mm=(row_mm, column_mm),
        spacing_rel_sd=float(np.hypot(np.hypot(own_sd, _SCREEN_SD), _ASPECT_SD if across is None else 0.0)),
        confidence=confidence,
        rulers=rulers,
    )


def _crossed(grey: UInt8Array, roi: Roi, sides: dict[str, tuple[int, int]]) -> RulerReading | None:
    """The scale by a short vertical ruler and a horizontal one whose ticks are alike: each confirms the other.

    A zoomed image shows only two or three centimetres, and its upper edge is not at a tick.
    """
    x1, y1, x2, y2 = roi
    across = find_ticks(np.ascontiguousarray(grey.T), (0, y1 + _EDGE_PX), (x1, x2))
    if across is None or not across.alike:
        return None
    if not _ALIKE_DEPTH_MM[0] <= 10.0 * (y2 - y1) / across.step_px <= _ALIKE_DEPTH_MM[1]:
        return None
    for side, columns in sides.items():
        down = find_ticks(grey, columns, (y1, y2), across.step_px)
        if down is None or not down.alike or abs(down.step_px / across.step_px - 1.0) > _SAME:
            continue
        main = Ruler(side=side, ticks=down, tick_mm=10.0, by="alike")
        top = Ruler(side="top", ticks=across, tick_mm=10.0, by="vertical")
        found = _result(main, top, (main,))
        return found if isinstance(found, RulerReading) else None
    return None
