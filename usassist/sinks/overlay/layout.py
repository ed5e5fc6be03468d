"""Where image, bars and side column lie on the canvas."""

from __future__ import annotations

from dataclasses import dataclass

from usassist.records import Frame

__all__ = ["Layout", "layout_of", "native_layout", "window_layout"]

Box = tuple[int, int, int, int]

_UPPER_PX, _LOWER_PX = 50, 34  # of the bars, times unit: the state is read from three metres, see docs/adr/0051-*.md
_MIN_WIDTH_PX = 560
_EMPTY_HW_PX = (360, 560)  # of the image before the first frame
_UNIT_HEIGHT_PX = 540  # of a window whose text has its nominal size; on 1080 lines it is twice as large
_UNIT_RANGE = (0.8, 4.0)
_GUTTER_PX = 46  # for the depth scale
_SIDE_PX = 190  # a narrower side column holds no size


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """One canvas.

    Attributes
    ----------
    canvas_hw_px : height and width of the canvas
    image_xyxy_px : the image's box on the canvas
    upper_px, lower_px : height of the bar above and of the bar below
    unit : what lengths and text sizes are multiplied with
    side_xyxy_px : box of the column beside the image; None = there is no room for one
    has_gutter : there is room for a depth scale to the left of the image
    """

    canvas_hw_px: tuple[int, int]
    image_xyxy_px: Box
    upper_px: int
    lower_px: int
    unit: float = 1.0
    side_xyxy_px: Box | None = None
    has_gutter: bool = False

    def scale_xy(self, image_hw_px: tuple[int, int]) -> tuple[float, float]:
        """Canvas px per image px, along x and y."""
        x1, y1, x2, y2 = self.image_xyxy_px
        return (x2 - x1) / image_hw_px[1], (y2 - y1) / image_hw_px[0]


def layout_of(frame: Frame | None, window_hw_px: tuple[int, int] | None = None) -> Layout:
    """Where everything lies of one frame.

    Parameters
    ----------
    frame : None = none has come yet
    window_hw_px : height and width of the drawable area; None = the frame has its own size
    """
    image_hw_px = _EMPTY_HW_PX if frame is None else frame.image_hw_px
    if window_hw_px is None:
        return native_layout(image_hw_px)
    return window_layout(window_hw_px, image_hw_px, None if frame is None else frame.spacing_rc_mm)


def native_layout(image_hw_px: tuple[int, int]) -> Layout:
    """The image at its own size between two bars, for files. A small image is enlarged by a whole number."""
    height_px, width_px = image_hw_px
    factor = max(1, -(-_MIN_WIDTH_PX // width_px))
    height_px, width_px = height_px * factor, width_px * factor
    return Layout(
        canvas_hw_px=(height_px + _UPPER_PX + _LOWER_PX, width_px),
        image_xyxy_px=(0, _UPPER_PX, width_px, _UPPER_PX + height_px),
        upper_px=_UPPER_PX,
        lower_px=_LOWER_PX,
    )


def window_layout(
    window_hw_px: tuple[int, int], image_hw_px: tuple[int, int], spacing_rc_mm: tuple[float, float] | None
) -> Layout:
    """The image as large as the window allows, with the true proportions of what was scanned.

    Parameters
    ----------
    window_hw_px : height and width of the drawable area
    image_hw_px : of the frame
    spacing_rc_mm : of the frame, mm per px; None = pixels are taken for square
    """
    height_px, width_px = (max(2, side) for side in window_hw_px)
    unit = min(max(height_px / _UNIT_HEIGHT_PX, _UNIT_RANGE[0]), _UNIT_RANGE[1])
    upper_px, lower_px = (min(round(bar_px * unit), height_px // 4) for bar_px in (_UPPER_PX, _LOWER_PX))
    gutter_px = round(_GUTTER_PX * unit) if width_px > 8 * _GUTTER_PX * unit else 0
    row_mm, column_mm = spacing_rc_mm or (1.0, 1.0)
    aspect = image_hw_px[1] * column_mm / (image_hw_px[0] * row_mm)
    room_h_px, room_w_px = height_px - upper_px - lower_px, width_px - gutter_px
    image_w_px = max(1, min(room_w_px, round(room_h_px * aspect)))
    image_h_px = max(1, min(room_h_px, round(image_w_px / aspect)))
    free_px = room_w_px - image_w_px
    has_side = free_px >= _SIDE_PX * unit
    x1 = gutter_px + (0 if has_side else free_px // 2)
    y1 = upper_px + (room_h_px - image_h_px) // 2
    return Layout(
        canvas_hw_px=(height_px, width_px),
        image_xyxy_px=(x1, y1, x1 + image_w_px, y1 + image_h_px),
        upper_px=upper_px,
        lower_px=lower_px,
        unit=unit,
        side_xyxy_px=(x1 + image_w_px, upper_px, width_px, height_px - lower_px) if has_side else None,
        has_gutter=gutter_px > 0,
    )
