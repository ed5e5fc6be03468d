from __future__ import annotations

import cv2
import numpy as np
import pytest

from usassist.errors import EngineOutputError
from usassist.frames import fill_labelmap, find_scan_border, letterbox_affine
from usassist.modalities.ultrasound import decode
from usassist.records import LabelSpec

INPUT_HW_PX = (256, 384)
LABELS = (
    LabelSpec(
        id=0,
        name="nodule",
        scheme="SCT",
        value="27925004",
        meaning="Nodule",
        color_rgb=(255, 196, 0),
        score_threshold=0.5,
    ),
)
IDENTITY = np.array([[1.0, 0, 0], [0, 1.0, 0]])


def empty_outputs():
    return {
        "mask_prob": np.zeros((1, 1, 128, 192), np.float32),
        "center_score": np.zeros((1, 1, 32, 48), np.float32),
        "box_ltrb_px": np.ones((1, 4, 32, 48), np.float32),
    }


def add_nodule(outputs, xyxy_px, score, *, in_mask=True):
    """An ellipse that fills a box, all in input px."""
    x1, y1, x2, y2 = xyxy_px
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    row, column = int(y // 8), int(x // 8)
    cell_x, cell_y = (column + 0.5) * 8, (row + 0.5) * 8
    outputs["center_score"][0, 0, row, column] = score
    outputs["box_ltrb_px"][0, :, row, column] = (cell_x - x1, cell_y - y1, x2 - cell_x, y2 - cell_y)
    if in_mask:
        v, u = np.mgrid[0:128, 0:192] * 2 + 1.0
        inside = ((u - x) / ((x2 - x1) / 2)) ** 2 + ((v - y) / ((y2 - y1) / 2)) ** 2 <= 1
        outputs["mask_prob"][0, 0][inside] = 0.9
    return outputs


def area_of(xyxy_px):
    return np.pi / 4 * (xyxy_px[2] - xyxy_px[0]) * (xyxy_px[3] - xyxy_px[1])


def test_nothing_is_found_in_empty_outputs():
    detections, segmentation = decode(empty_outputs(), IDENTITY, INPUT_HW_PX, LABELS)
    assert len(detections) == len(segmentation) == 0


def test_one_nodule_is_found_where_it_is():
    box = (100, 60, 180, 120)
    detections, segmentation = decode(add_nodule(empty_outputs(), box, 0.8), IDENTITY, INPUT_HW_PX, LABELS)
    assert detections.score.tolist() == pytest.approx([0.8])
    assert detections.label_id.tolist() == [0]
    assert detections.track_id.tolist() == [-1]
    np.testing.assert_allclose(detections.xyxy_px[0], box, atol=2.0)
    assert (fill_labelmap(segmentation, INPUT_HW_PX) == 1).sum() == pytest.approx(area_of(box), rel=0.04)


def test_the_box_is_that_of_the_outline():
    detections, segmentation = decode(
        add_nodule(empty_outputs(), (100, 60, 180, 120), 0.8), IDENTITY, INPUT_HW_PX, LABELS
    )
    outline = next(iter(segmentation))
    low, high = outline.min(0) - 0.5, outline.max(0) + 0.5
    np.testing.assert_allclose(detections.xyxy_px[0], [*low, *high], atol=1e-5)


def test_results_are_in_pixels_of_the_image():
    image_hw_px = (720, 900)
    image_to_input = letterbox_affine(image_hw_px, INPUT_HW_PX)
    in_image = np.array([200.0, 300.0, 420.0, 440.0])
    scale, offset = image_to_input[[0, 1], [0, 1]], image_to_input[:, 2]
    in_input = in_image.reshape(2, 2) * scale + offset
    outputs = add_nodule(empty_outputs(), in_input.ravel(), 0.9)
    detections, segmentation = decode(outputs, image_to_input, image_hw_px, LABELS)
    np.testing.assert_allclose(detections.xyxy_px[0], in_image, atol=6.0)
    truth = np.zeros(image_hw_px, np.uint8)
    cv2.ellipse(truth, (310, 370), (110, 70), 0, 0, 360, 1, -1)
    found = fill_labelmap(segmentation, image_hw_px)
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.97


def test_a_score_below_the_threshold_is_no_finding():
    outputs = add_nodule(empty_outputs(), (100, 60, 180, 120), 0.49)
    assert len(decode(outputs, IDENTITY, INPUT_HW_PX, LABELS)[0]) == 0


def test_of_two_boxes_on_one_nodule_the_better_stays():
    outputs = add_nodule(empty_outputs(), (100, 60, 180, 120), 0.8)
    add_nodule(outputs, (108, 60, 188, 120), 0.9, in_mask=False)
    detections, _ = decode(outputs, IDENTITY, INPUT_HW_PX, LABELS)
    assert detections.score.tolist() == pytest.approx([0.9])


def test_a_small_box_inside_a_nodule_that_was_found_is_dropped():
    outputs = add_nodule(empty_outputs(), (100, 60, 220, 160), 0.9)
    add_nodule(outputs, (110, 80, 140, 110), 0.7, in_mask=False)
    detections, _ = decode(outputs, IDENTITY, INPUT_HW_PX, LABELS)
    assert detections.score.tolist() == pytest.approx([0.9])


def test_a_detection_without_a_mask_is_dropped():
    outputs = add_nodule(empty_outputs(), (100, 60, 180, 120), 0.9, in_mask=False)
    assert len(decode(outputs, IDENTITY, INPUT_HW_PX, LABELS)[0]) == 0


def test_two_nodules_come_by_falling_score():
    outputs = add_nodule(empty_outputs(), (40, 40, 100, 90), 0.6)
    add_nodule(outputs, (220, 100, 300, 180), 0.9)
    detections, segmentation = decode(outputs, IDENTITY, INPUT_HW_PX, LABELS)
    assert detections.score.tolist() == pytest.approx([0.9, 0.6])
    assert len(segmentation) == 2
    assert detections.xyxy_px[0, 0] > detections.xyxy_px[1, 0]


def test_another_region_in_the_window_is_left_out():
    outputs = add_nodule(empty_outputs(), (100, 60, 180, 120), 0.8)
    outputs["mask_prob"][0, 0, 28:31, 48:50] = 0.9  # a speck within the wider box
    detections, _ = decode(outputs, IDENTITY, INPUT_HW_PX, LABELS)
    np.testing.assert_allclose(detections.xyxy_px[0], (100, 60, 180, 120), atol=2.0)


def test_boxes_stay_inside_the_image():
    outputs = add_nodule(empty_outputs(), (-30, 20, 60, 90), 0.8)
    detections, _ = decode(outputs, IDENTITY, INPUT_HW_PX, LABELS)
    assert detections.xyxy_px[0, 0] == 0.0


def test_a_box_in_the_padding_is_dropped():
    image_to_input = letterbox_affine((256, 100), INPUT_HW_PX)  # the image fills columns 142 to 242
    outputs = add_nodule(empty_outputs(), (20, 60, 100, 120), 0.9)
    assert len(decode(outputs, image_to_input, (256, 100), LABELS)[0]) == 0


def test_no_more_than_asked_for_are_given():
    outputs = empty_outputs()
    for index in range(4):
        add_nodule(outputs, (20 + 90 * index, 60, 80 + 90 * index, 110), 0.6 + 0.05 * index)
    assert len(decode(outputs, IDENTITY, INPUT_HW_PX, LABELS, max_detections=3)[0]) == 3
    assert len(decode(outputs, IDENTITY, INPUT_HW_PX, LABELS)[0]) == 4


def test_equal_outputs_give_equal_results():
    outputs = empty_outputs()
    for index in range(4):
        add_nodule(outputs, (20 + 90 * index, 60, 80 + 90 * index, 110), 0.7)
    first, second = (decode(outputs, IDENTITY, INPUT_HW_PX, LABELS) for _ in range(2))
    assert np.array_equal(first[0].xyxy_px, second[0].xyxy_px)
    assert np.array_equal(first[1].contour_xy_px, second[1].contour_xy_px)
    assert (np.diff(first[0].xyxy_px[:, 0]) > 0).all()  # equal scores: by row, then column


def test_filling_an_outline_gives_its_pixels_back():
    outputs = add_nodule(empty_outputs(), (100, 60, 180, 120), 0.8)
    detections, segmentation = decode(outputs, IDENTITY, INPUT_HW_PX, LABELS)
    filled = fill_labelmap(segmentation, INPUT_HW_PX)
    (again,) = cv2.findContours(filled, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]
    assert {tuple(point) for point in again[:, 0] + 0.5} == {tuple(point) for point in segmentation.contour_xy_px}
    assert cv2.boundingRect(filled) == (
        *detections.xyxy_px[0, :2],
        *np.diff(detections.xyxy_px[0].reshape(2, 2).T)[:, 0],
    )


def fill_mask(outputs, xyxy_px, prob=0.95):
    x1, y1, x2, y2 = (round(value / 2) for value in xyxy_px)
    outputs["mask_prob"][0, 0, y1:y2, x1:x2] = prob
    return outputs


def test_where_the_mask_goes_on_beyond_the_box_the_outline_is_round_and_not_cut_at_the_box():
    box = (100, 60, 180, 120)
    outputs = fill_mask(add_nodule(empty_outputs(), box, 0.8), (0, 0, 384, 256))
    (outline,) = decode(outputs, IDENTITY, INPUT_HW_PX, LABELS)[1]
    place = (outline - (140, 90)) / (40, 30)
    radius = np.hypot(*place.T)
    assert radius.min() > 1.2  # as large as the box at least
    assert radius.max() < np.sqrt(2) + 0.03
    low, high = outline.min(axis=0), outline.max(axis=0)
    for axis in (0, 1):
        for side in (low[axis], high[axis]):
            touching = outline[np.abs(outline[:, axis] - side) < 0.5, 1 - axis]
            assert np.ptp(touching) < 0.3 * (high - low)[1 - axis]


def test_two_nodules_in_one_mask_are_told_apart_without_a_straight_cut():
    outputs = fill_mask(empty_outputs(), (60, 60, 240, 120))
    for box, score in (((60, 60, 150, 120), 0.9), ((150, 60, 240, 120), 0.8)):
        add_nodule(outputs, box, score, in_mask=False)
    detections, segmentation = decode(outputs, IDENTITY, INPUT_HW_PX, LABELS)
    assert detections.score.tolist() == pytest.approx([0.9, 0.8])
    assert fill_labelmap(segmentation, INPUT_HW_PX).max() == 2
    first, _ = segmentation
    right = first[first[:, 0] > 150]
    assert np.ptp(right[right[:, 0] > right[:, 0].max() - 0.5, 1]) < 0.5 * np.ptp(first[:, 1])


@pytest.mark.parametrize("thick_cells", [1, 2])
def test_a_spike_of_the_mask_is_not_outlined(thick_cells):
    box = (100, 60, 180, 120)
    clean = decode(add_nodule(empty_outputs(), box, 0.8), IDENTITY, INPUT_HW_PX, LABELS)
    outputs = fill_mask(add_nodule(empty_outputs(), box, 0.8), (176, 88, 200, 88 + 2 * thick_cells))
    detections, segmentation = decode(outputs, IDENTITY, INPUT_HW_PX, LABELS)
    assert detections.xyxy_px[0, 2] <= clean[0].xyxy_px[0, 2] + 3
    areas = [(fill_labelmap(one, INPUT_HW_PX) > 0).sum() for one in (segmentation, clean[1])]
    assert areas[0] == pytest.approx(areas[1], rel=0.01)


@pytest.mark.parametrize("radius_px", [16.0, 40.0])
def test_smoothing_moves_the_border_of_a_round_nodule_by_less_than_a_pixel(radius_px):
    box = (190 - radius_px, 130 - radius_px, 190 + radius_px, 130 + radius_px)
    outputs = add_nodule(empty_outputs(), box, 0.8)
    outputs["mask_prob"][outputs["mask_prob"] > 0] = 1.0
    area = (fill_labelmap(decode(outputs, IDENTITY, INPUT_HW_PX, LABELS)[1], INPUT_HW_PX) > 0).sum()
    assert np.sqrt(area / np.pi) == pytest.approx(radius_px, abs=0.75)


def test_an_outline_ends_where_the_visible_scan_ends():
    image = np.full(INPUT_HW_PX, 90, np.uint8)
    corner = np.array([[0, 0], [160, 0], [0, 200]])  # black: the scan is a trapezoid
    cv2.fillPoly(image, [corner], 0)
    cv2.fillPoly(image, [corner * (-1, 1) + (383, 0)], 0)
    outputs = add_nodule(empty_outputs(), (30, 60, 130, 130), 0.8)
    whole, cut = (
        fill_labelmap(decode(outputs, IDENTITY, INPUT_HW_PX, LABELS, border=given)[1], INPUT_HW_PX)
        for given in (None, lambda: find_scan_border(image))
    )
    black = cv2.erode((image == 0).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    assert whole[black].sum() > 300
    assert cut[black].sum() == 0
    lit = cv2.erode((image > 0).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    assert (cut[lit] > 0).sum() == pytest.approx((whole[lit] > 0).sum(), rel=0.02)


def test_a_nodule_at_the_border_of_the_image_is_outlined_up_to_it_also_beside_padding():
    image_to_input = letterbox_affine((256, 200), INPUT_HW_PX)  # the image fills columns 92 to 292
    outputs = add_nodule(empty_outputs(), (92, 80, 150, 140), 0.9, in_mask=False)
    fill_mask(outputs, (92, 88, 150, 132))  # nothing in the padding
    detections, _ = decode(outputs, image_to_input, (256, 200), LABELS)
    assert detections.xyxy_px[0, 0] == 0.0


@pytest.mark.parametrize(
    "damage",
    [
        lambda outputs: outputs.pop("mask_prob"),
        lambda outputs: outputs.update(center_score=np.zeros((1, 2, 32, 48), np.float32)),
        lambda outputs: outputs.update(mask_prob=np.zeros((1, 1, 64, 96), np.float32)),
    ],
)
def test_outputs_that_do_not_fit_are_refused(damage):
    outputs = empty_outputs()
    damage(outputs)
    with pytest.raises(EngineOutputError, match="use an engine for ultrasound"):
        decode(outputs, IDENTITY, INPUT_HW_PX, LABELS)
