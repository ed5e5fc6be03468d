"""What contradicts the ruler beside an image: another across it, and a second view without one."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from usassist.sources.ruler.answer import NoRuler, Ruler, RulerCause
from usassist.sources.ruler.ticks import find_ticks

__all__ = ["RATIOS", "has_two_views", "horizontal_ruler"]

UInt8Array = npt.NDArray[np.uint8]
Roi = tuple[int, int, int, int]

RATIOS = (0.1, 0.2, 0.25, 0.5, 1.0, 2.0, 4.0, 5.0, 10.0)
"""Of the ticks of two rulers of one image."""

_NEAR_SHARE = 0.06  # of the screen's height, within which a horizontal ruler belongs to the image
_EDGE_PX = 4  # by which the scan area may be found too large
_ASPECT = 0.03  # relative difference of row and column step of one screen
_RULER_CLEAN, _RULER_COVERS = 0.95, 0.6  # of marks that do not fit and are a ruler all the same
_LIT = 20  # levels above the darkest hundredth of the image; a bare screen is not quite black
_MIDDLE = (0.3, 0.7)  # where two views meet, share of the width
_GAP_SHARE = 0.008  # least width of the gap, the same
_DARK_COLUMN, _LIT_COLUMN = 0.004, 0.1  # share of a column that is lit in the gap, and in an image


def horizontal_ruler(grey: UInt8Array, roi: Roi, main: Ruler) -> Ruler | NoRuler | None:
    """The ruler above or below the image.

    Parameters
    ----------
    grey : uint8 (H, W), luma of the whole screen
    roi : its scan area, px
    main : the vertical ruler; ``tick_mm`` is known

    Returns
    -------
    ruler : whose ticks fit the vertical one's; None where there is none, and the cause where there is one that does
        not fit: the screen is stretched then, or shows two views of different scale
    """
    x1, y1, x2, y2 = roi
    turned = np.ascontiguousarray(grey.T)
    near = round(_NEAR_SHARE * grey.shape[0])
    assert main.tick_mm is not None
    unfit: Ruler | None = None
    for side, rows in (("top", (y1 - near, y1 + _EDGE_PX)), ("bottom", (y2 - _EDGE_PX, y2 + near))):
        ticks = find_ticks(turned, rows, (x1, x2))
        if ticks is None:
            continue
        for ratio in RATIOS:
            if abs(ticks.step_px / (main.ticks.step_px * ratio) - 1.0) <= _ASPECT:
                return Ruler(side=side, ticks=ticks, tick_mm=main.tick_mm * ratio, by="vertical")
        covered = (ticks.last_px - ticks.first_px + 2 * ticks.step_px) / (x2 - x1)
        if ticks.clean >= _RULER_CLEAN and covered >= _RULER_COVERS:
            unfit = Ruler(side=side, ticks=ticks)
    if unfit is None:
        return None
    reason = "the rulers beside and across the image do not fit each other: a stretched screen, or two views"
    return NoRuler(cause=RulerCause.DISAGREE, reason=reason, rulers=(main, unfit))


def has_two_views(image: UInt8Array) -> bool:
    """True where dark columns near the middle separate two images.

    Parameters
    ----------
    image : uint8 (H, W), luma of the scan area
    """
    level = int(np.percentile(image[::4, ::4], 1)) + _LIT
    lit = np.asarray((image > level).mean(axis=0), np.float64)
    width = len(lit)
    first, last = (round(share * width) for share in _MIDDLE)
    dark = lit <= _DARK_COLUMN
    edges = np.diff(np.concatenate([[0], dark[first:last].astype(np.int8), [0]]))
    starts, ends = np.flatnonzero(edges == 1) + first, np.flatnonzero(edges == -1) + first
    for start, end in zip(starts, ends, strict=True):
        inside = first < start and end < last
        if inside and end - start >= _GAP_SHARE * width:
            return float(lit[:start].mean()) >= _LIT_COLUMN and float(lit[end:].mean()) >= _LIT_COLUMN
    return False
