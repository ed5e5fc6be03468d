from __future__ import annotations

import numpy as np
import pytest

from usassist.sinks.overlay.depth_scale import DepthScale
from usassist.sinks.overlay.layout import native_layout, window_layout
from usassist.sinks.overlay.text import DIM, PAPER

WINDOWS = [(1080, 1920), (720, 1280), (2160, 3840), (1920, 1080), (600, 600), (240, 320), (50, 80)]
IMAGES = [((400, 600), None), ((600, 400), (0.1, 0.1)), ((480, 640), (0.05, 0.1)), ((768, 1024), (0.2, 0.1))]


@pytest.mark.parametrize("window_hw_px", WINDOWS)
@pytest.mark.parametrize(("image_hw_px", "spacing_rc_mm"), IMAGES)
def test_the_image_keeps_its_proportions_and_nothing_lies_over_it(
    window_hw_px: tuple[int, int], image_hw_px: tuple[int, int], spacing_rc_mm: tuple[float, float] | None
) -> None:
    layout = window_layout(window_hw_px, image_hw_px, spacing_rc_mm)
    height, width = window_hw_px
    x1, y1, x2, y2 = layout.image_xyxy_px
    assert layout.canvas_hw_px == window_hw_px
    assert 0 <= x1 < x2 <= width
    assert layout.upper_px <= y1 < y2 <= height - layout.lower_px
    scale_x, scale_y = layout.scale_xy(image_hw_px)
    row_mm, column_mm = spacing_rc_mm or (1.0, 1.0)
    one_px = 1.5 / min(x2 - x1, y2 - y1)
    assert scale_x / column_mm == pytest.approx(scale_y / row_mm, rel=one_px), "a round vessel stays round"
    gutter_px = round(46 * layout.unit) if layout.has_gutter else 0
    room_px = height - layout.upper_px - layout.lower_px
    fills_width, fills_height = x2 - x1 == width - gutter_px, y2 - y1 >= room_px - 1
    assert fills_width or fills_height, "it is as large as it can be"
    if layout.side_xyxy_px is not None:
        assert layout.side_xyxy_px[0] >= x2


def test_text_grows_with_the_window() -> None:
    small, large = (window_layout(size, (480, 640), None) for size in ((540, 960), (1080, 1920)))
    assert large.unit == 2 * small.unit
    assert (large.upper_px, large.lower_px) == (2 * small.upper_px, 2 * small.lower_px)


def test_a_file_has_the_frame_at_its_own_size() -> None:
    assert native_layout((400, 600)).image_xyxy_px == (0, 50, 600, 450)
    assert native_layout((100, 200)).image_xyxy_px == (0, 50, 600, 350), "a small one three times as large"


def _ticks(mm_per_px: float | None, image_h_px: int = 400) -> np.ndarray:
    """Rows of the canvas on which a tick ends beside the image."""
    layout = window_layout((1080, 1920), (image_h_px, 600), None)
    canvas = np.full((1080, 1920, 3), PAPER, np.uint8)
    scale = DepthScale()
    for _ in range(2):  # the second time from what is kept
        scale.draw(canvas, layout, mm_per_px, image_h_px)
    x1, y1, _, y2 = layout.image_xyxy_px
    column = (canvas[y1:y2, x1 - 11] == DIM).all(axis=1)
    starts = np.nonzero(column & ~np.r_[False, column[:-1]])[0]
    return starts * image_h_px / (y2 - y1)


def test_ticks_are_five_millimetres_apart() -> None:
    rows = _ticks(0.1)
    assert len(rows) == 9, "0 to 40 mm"
    np.testing.assert_allclose(rows * 0.1, np.arange(9) * 5.0, atol=0.15)


def test_without_a_scale_there_are_no_ticks() -> None:
    assert len(_ticks(None)) == 0
