from __future__ import annotations

import cv2
import numpy as np

from tests.samples import ellipse_contour
from tools.outline_report import look_at

IMAGE = np.full((300, 400), 90, np.uint8)


def _outline(mask: np.ndarray) -> np.ndarray:
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return contours[0][:, 0].astype(np.float32) + 0.5


def test_a_round_outline_inside_the_scan_has_nothing_odd() -> None:
    assert look_at(ellipse_contour((200, 150), (60, 40), 20.0), IMAGE) == dict.fromkeys(
        ("outside", "straight", "sharp"), False
    )


def test_a_straight_cut_counts_inside_the_image_and_not_at_its_border() -> None:
    for left, is_cut in ((180, True), (0, False)):
        mask = np.zeros(IMAGE.shape, np.uint8)
        cv2.ellipse(mask, (left, 150), (60, 40), 0, 0, 360, 1, -1)
        mask[:, :left] = 0
        assert look_at(_outline(mask), IMAGE)["straight"] is is_cut


def test_a_spike_turns_sharply() -> None:
    mask = np.zeros(IMAGE.shape, np.uint8)
    cv2.ellipse(mask, (200, 150), (60, 40), 0, 0, 360, 1, -1)
    mask[149:151, 255:275] = 1
    assert look_at(_outline(mask), IMAGE)["sharp"]


def test_what_lies_in_the_black_corner_of_a_trapezoid_is_outside() -> None:
    image = IMAGE.copy()
    cv2.fillPoly(image, [np.array([[0, 0], [150, 0], [0, 299]])], 0)
    assert look_at(ellipse_contour((60, 120), (50, 30)), image)["outside"]
    assert not look_at(ellipse_contour((250, 150), (50, 30)), image)["outside"]
