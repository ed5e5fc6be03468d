"""Whether the ruler of an earlier screen is still the one that is shown: its ticks, its figures and the depth label."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from usassist.sources.ruler.answer import Ruler, RulerReading
from usassist.sources.ruler.figures import BESIDE
from usassist.sources.ruler.ticks import find_ticks

__all__ = ["figure_patches", "ruler_columns", "ruler_is_same", "rulers_are_same"]

UInt8Array = npt.NDArray[np.uint8]
Roi = tuple[int, int, int, int]

_NARROW_PX = 3  # columns on either side of a ruler in which it is looked for again
_MOVED_PX = 2.5  # by which a ruler is where it was
_PATCH_SHARE = 0.025  # of the screen's height, above and below a tick: its figure lies there


def ruler_columns(grey: UInt8Array, reading: RulerReading) -> UInt8Array:
    """The columns of a screen in which :func:`ruler_is_same` looks: uint8 (H, N), a copy.

    Parameters
    ----------
    grey : uint8 (H, W), luma of the whole screen
    reading : of an earlier screen
    """
    places = [ruler.ticks.across_px for ruler in reading.rulers if ruler.side in ("left", "right")]
    columns = [grey[:, max(0, place - _NARROW_PX) : place + _NARROW_PX + 1] for place in places]
    return np.hstack(columns) if columns else np.empty((grey.shape[0], 0), np.uint8)


def figure_patches(grey: UInt8Array, roi_xyxy_px: Roi, reading: RulerReading) -> list[UInt8Array]:
    """Copies of the screen where the figures of its vertical rulers stand, or its depth label, each uint8 (h, w).

    Ticks may stay where they are while their unit changes, and then these alone tell. Figures are looked at beside the
    image only.

    Parameters
    ----------
    grey : uint8 (H, W), luma of the whole screen
    roi_xyxy_px : its scan area, px
    reading : of an earlier screen
    """
    x1, _, x2, _ = roi_xyxy_px
    reach, half = round(BESIDE * max(grey.shape)), max(4, round(_PATCH_SHARE * grey.shape[0]))
    patches: list[UInt8Array] = []
    for ruler in reading.rulers:
        if ruler.side not in ("left", "right"):
            continue
        place = ruler.ticks.across_px
        columns = (max(0, place - reach), min(x1, place + reach))
        if ruler.side == "right":
            columns = (max(x2, place - reach), min(grey.shape[1], place + reach))
        for figure in ruler.figures:
            row = round(ruler.ticks.first_px + figure.index * ruler.ticks.step_px)
            patch = grey[max(0, row - half) : max(0, row + half), columns[0] : max(columns)]
            if patch.size:
                patches.append(patch.copy())
        if ruler.label_xyxy_px is not None:
            left, top, right, bottom = ruler.label_xyxy_px
            more = bottom - top  # the number may become longer
            patches.append(grey[max(0, top - 2) : bottom + 2, max(0, left - more) : right + more].copy())
    return patches


def ruler_is_same(grey: UInt8Array, roi_xyxy_px: Roi, reading: RulerReading) -> bool:
    """True when the ticks beside the image are still those of a reading; looks at a few columns of the screen.

    Parameters
    ----------
    grey : uint8 (H, W), luma of the whole screen
    roi_xyxy_px : its scan area, px
    reading : of an earlier screen
    """
    return rulers_are_same(grey, roi_xyxy_px, reading.rulers)


def rulers_are_same(grey: UInt8Array, roi_xyxy_px: Roi, rulers: Sequence[Ruler]) -> bool:
    """True when the ticks beside the image are still where they were, also of rulers that state no scale.

    Parameters
    ----------
    grey : uint8 (H, W), luma of the whole screen
    roi_xyxy_px : its scan area, px
    rulers : of an earlier screen
    """
    for ruler in rulers:
        before = ruler.ticks
        if ruler.side not in ("left", "right") or before.across_px >= grey.shape[1]:
            continue
        columns = (before.across_px - _NARROW_PX, before.across_px + _NARROW_PX + 1)
        ticks = find_ticks(grey, columns, (roi_xyxy_px[1], roi_xyxy_px[3]), before.step_px if before.short else None)
        if ticks is None:
            return False
        moved = abs(ticks.step_px - before.step_px) * before.count
        phase = (ticks.first_px - before.first_px) / before.step_px
        if moved > _MOVED_PX or abs(phase - round(phase)) * before.step_px > _MOVED_PX:
            return False
    return True
