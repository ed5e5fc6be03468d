from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.samples import ellipse_contour
from usassist.frames import fill_labelmap, letterbox, letterbox_affine, to_grey
from usassist.records import Segmentation


@pytest.mark.parametrize("image_hw", [(360, 560), (480, 640), (100, 2000), (2000, 100), (253, 187), (1, 1)])
def test_corners_of_the_image_map_to_the_corners_of_the_inner_image(image_hw: tuple[int, int]) -> None:
    image = np.full(image_hw, 200, np.uint8)
    padded, image_to_input = letterbox(image, (256, 384))
    x1, y1 = image_to_input @ [0, 0, 1]
    x2, y2 = image_to_input @ [image_hw[1], image_hw[0], 1]
    inside = np.zeros((256, 384), bool)
    inside[round(y1) : round(y2), round(x1) : round(x2)] = True
    assert (padded[inside] == 200).all()
    assert (padded[~inside] == 0).all()
    assert max(x2 - x1 - 384, y2 - y1 - 256) <= 1e-9


def test_aspect_is_kept_to_half_a_pixel() -> None:
    affine = letterbox_affine((360, 560), (256, 384))
    assert abs(affine[0, 0] * 560 - affine[1, 1] * 560) <= 0.5


def test_a_point_of_the_image_is_where_the_affine_maps_it() -> None:
    image = np.zeros((400, 300), np.uint8)
    cv2.circle(image, (200, 100), 12, 255, -1)
    padded, image_to_input = letterbox(image, (256, 384))
    row, column = np.nonzero(padded > 127)
    expected = image_to_input @ [200.5, 100.5, 1]
    assert abs(column.mean() + 0.5 - expected[0]) < 0.3
    assert abs(row.mean() + 0.5 - expected[1]) < 0.3


def test_a_reused_buffer_keeps_nothing_of_the_previous_frame() -> None:
    out = np.full((256, 384), 99, np.uint8)
    first, _ = letterbox(np.full((10, 100), 50, np.uint8), (256, 384), out)
    assert first is out
    fresh, _ = letterbox(np.full((100, 10), 50, np.uint8), (256, 384))
    again, _ = letterbox(np.full((100, 10), 50, np.uint8), (256, 384), out)
    np.testing.assert_array_equal(fresh, again)


def test_a_size_that_is_not_positive_is_refused() -> None:
    with pytest.raises(ValueError, match="positive"):
        letterbox_affine((10, 10), (0, 5))
    with pytest.raises(ValueError, match="out must be"):
        letterbox(np.zeros((4, 4), np.uint8), (8, 8), np.zeros((8, 9), np.uint8))


def test_grey_frames_are_returned_and_equal_channels_keep_their_value() -> None:
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert to_grey(grey) is grey
    np.testing.assert_array_equal(to_grey(np.repeat(grey[..., None], 3, axis=2)), grey)


def test_filling_an_outline_restores_the_region() -> None:
    mask = np.zeros((90, 120), np.uint8)
    cv2.ellipse(mask, (60, 40), (31, 17), 33, 0, 360, 1, -1)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    outline = contours[0][:, 0].astype(np.float32) + 0.5
    np.testing.assert_array_equal(fill_labelmap(Segmentation.of([outline]), (90, 120)), mask)


def test_regions_are_numbered_in_the_order_of_the_outlines() -> None:
    outlines = [ellipse_contour((20, 20), (6, 6)), ellipse_contour((60, 60), (8, 4))]
    labelmap = fill_labelmap(Segmentation.of(outlines), (80, 80))
    assert labelmap[20, 20] == 1
    assert labelmap[60, 60] == 2


def test_more_than_255_outlines_are_refused() -> None:
    with pytest.raises(ValueError, match="255"):
        fill_labelmap(Segmentation.of([np.full((1, 2), 1.5, np.float32)] * 256), (4, 4))
