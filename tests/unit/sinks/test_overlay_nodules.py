from __future__ import annotations

import dataclasses
from itertools import combinations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.golden.overlay.scenes import HW, ONE, TWO, Ellipse, drawn_frame, finding, outline_of
from tests.samples import CALIBRATED_ENGINE, SESSION
from usassist.records import Frame, Measurements, Result
from usassist.sinks.overlay import Painter
from usassist.sinks.overlay.calipers import caliper_ends
from usassist.sinks.overlay.layout import Layout
from usassist.sinks.overlay.nodules import Look
from usassist.sinks.overlay.outline import SUBPIXEL_BITS, draw_outside
from usassist.sinks.overlay.placing import Box, Places
from usassist.sinks.overlay.size_words import diameters_in_words
from usassist.sinks.view import view_of_frame
from usassist.words import load_words

ENGLISH, GERMAN = load_words("en", "window"), load_words("de", "window")
AREA_PX = (640, 480)
GREY = 90


def _image(result: Result, frame: Frame, look: Look, scale: int = 1) -> np.ndarray:
    """What is drawn on the image alone, at a whole multiple of its size."""
    height, width = HW[0] * scale, HW[1] * scale
    layout = Layout(
        canvas_hw_px=(height + 84, width), image_xyxy_px=(0, 50, width, 50 + height), upper_px=50, lower_px=34
    )
    view = view_of_frame(result, CALIBRATED_ENGINE, SESSION, result.t_capture_ns)
    assert view.draw
    return Painter().paint(frame, result, view, CALIBRATED_ENGINE, layout, look=look)[50:-34].copy()


@pytest.mark.parametrize("line_px", [1.0, 2.0, 3.5, 6.0])
def test_a_line_lies_beside_the_outline_and_leaves_it_to_be_seen(line_px: float) -> None:
    radius, center = 80.0, 150.0
    outline = outline_of((center, center, radius, radius, 0.0))
    area = np.full((300, 300, 3), GREY, np.uint8)
    points = np.round((outline - 0.5) * (1 << SUBPIXEL_BITS)).astype(np.int32)
    draw_outside(area, points, (255, 196, 0), line_px)
    row, column = np.mgrid[:300, :300] + 0.5
    distance_px = np.hypot(row - center, column - center) - radius
    touched = (area != GREY).any(axis=2)
    assert not touched[distance_px < 0.5].any(), "neither what is inside nor the border is painted over"
    yellow = (area[..., 0].astype(int) - area[..., 2]) > 100
    middle_px = distance_px[yellow].mean()
    assert 0.5 * line_px + 1.0 <= middle_px <= 0.5 * line_px + 1.0 + max(1.0, 0.5 * line_px) + 0.8
    assert yellow.sum() == pytest.approx(2 * np.pi * (radius + middle_px) * line_px, rel=0.5)
    dark = (area.max(axis=2) < GREY // 2) & (distance_px > 0)
    assert dark.any(), "a dark edge sets it off from a bright image"
    assert distance_px[dark].max() > distance_px[yellow].max()


def test_an_outline_beyond_the_image_is_cut_off() -> None:
    area = np.full((100, 100, 3), GREY, np.uint8)
    for x, y in ((0.0, 50.0), (50.0, 100.0), (-300.0, 50.0), (400.0, 400.0)):
        outline = outline_of((x, y, 30.0, 30.0, 0.0))
        draw_outside(area, np.round(outline * (1 << SUBPIXEL_BITS)).astype(np.int32), (255, 196, 0), 2.0)
    assert (area != GREY).any()


def test_marks_stand_at_the_ends_of_the_measured_diameters() -> None:
    frame = drawn_frame(1)
    result = finding(frame)
    with_them, without = (_image(result, frame, Look(calipers=shown), 2) for shown in (True, False))
    changed = (with_them != without).any(axis=2)
    ends = np.concatenate(caliper_ends(result.measurements, 0)) * 2
    for x, y in ends:
        assert changed[round(y) - 3 : round(y) + 3, round(x) - 3 : round(x) + 3].any()
    lengths_px = [float(np.hypot(*(two - one))) for one, two in caliper_ends(result.measurements, 0)]
    assert lengths_px == pytest.approx(
        [float(result.measurements.major_px[0]), float(result.measurements.minor_px[0])], rel=0.01
    )
    x, y, a, b, angle = (value * 2 for value in ONE[0])
    filled = np.zeros(changed.shape, np.uint8)
    cv2.ellipse(filled, ((x, y), (2 * a - 24, 2 * b - 24), angle / 2), 255, -1)
    assert 0 < changed[filled > 0].mean() < 0.03, "between the marks there are dots, and the nodule is seen"


def test_a_section_that_the_border_cuts_has_no_calipers_and_a_bound() -> None:
    frame = drawn_frame(1)
    result = finding(frame, cut=0)
    assert caliper_ends(result.measurements, 0) == ()
    assert diameters_in_words(result.measurements.row(0), ENGLISH) == ("≥ 13.3 mm",)


def test_where_the_ends_are_not_known_there_are_lengths_and_no_marks() -> None:
    sizes = dataclasses.replace(finding(drawn_frame(1)).measurements, major_ends_xy_px=None, minor_ends_xy_px=None)
    assert caliper_ends(sizes, 0) == ()
    assert len(diameters_in_words(sizes.row(0), ENGLISH)) == 2


def test_lengths_have_their_uncertainty_or_are_px() -> None:
    frame = drawn_frame(1)
    sizes = finding(frame).measurements
    assert diameters_in_words(sizes.row(0), ENGLISH) == ("13.3 ± 1.4 mm", "9.7 ± 1.0 mm")
    assert diameters_in_words(sizes.row(0), GERMAN) == ("13,3 ± 1,4 mm", "9,7 ± 1,0 mm")
    bare = Measurements(major_px=sizes.major_px, minor_px=sizes.minor_px, area_px2=sizes.area_px2)
    assert diameters_in_words(bare.row(0), ENGLISH) == ("133 px", "97 px")


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


boxes = st.tuples(st.integers(0, 560), st.integers(0, 420), st.integers(10, 200), st.integers(10, 160)).map(
    lambda values: (values[0], values[1], min(640, values[0] + values[2]), min(480, values[1] + values[3]))
)


@given(st.lists(boxes, min_size=1, max_size=6), st.tuples(st.integers(20, 160), st.integers(15, 60)))
def test_a_label_covers_no_nodule_and_no_other_label(nodules: list[Box], size_px: tuple[int, int]) -> None:
    places, taken, labels = Places(8), list(nodules), []
    for number, own in enumerate(nodules):
        label = places.find(str(number), size_px, own, taken, AREA_PX)
        if label is not None:
            labels.append(label)
            taken.append(label)
    for label in labels:
        assert 0 <= label[0] < label[2] <= AREA_PX[0]
        assert 0 <= label[1] < label[3] <= AREA_PX[1]
        assert (label[2] - label[0], label[3] - label[1]) == size_px
        assert not any(_overlap(label, nodule) for nodule in nodules)
    assert not any(_overlap(one, other) for one, other in combinations(labels, 2))


def test_a_label_stays_on_its_side_while_that_is_free() -> None:
    places, size_px = Places(8), (100, 40)
    first = places.find("N1", size_px, (500, 200, 600, 260), [(500, 200, 600, 260)], AREA_PX)
    assert first is not None
    assert first[2] <= 500, "there is no room at its right"
    moved = (380, 200, 480, 260)
    again = places.find("N1", size_px, moved, [moved], AREA_PX)
    assert again is not None
    assert again[2] <= 380, "now there is, and the label does not jump"
    assert (again[0], again[1]) == (first[0] - 120, first[1])


def test_a_nodule_that_fills_the_image_has_no_label_on_it() -> None:
    assert Places(8).find("N1", (100, 40), (5, 5, 635, 475), [(5, 5, 635, 475)], AREA_PX) is None


@pytest.mark.parametrize("nodules", [ONE, TWO])
def test_what_is_drawn_on_the_nodules_is_outline_and_calipers_alone(nodules: tuple[Ellipse, ...]) -> None:
    frame = drawn_frame(1, nodules)
    result = finding(frame, nodules)
    bare = np.repeat(frame.image[..., None], 3, axis=2)
    drawn = _image(result, frame, Look(calipers=False))
    filled = np.zeros(HW, np.uint8)
    for x, y, a, b, angle in nodules:
        cv2.ellipse(filled, ((x, y), (2 * a, 2 * b), angle), 255, -1)
    eroded = cv2.erode(filled, np.ones((3, 3), np.uint8)) > 0
    assert (drawn[eroded] == bare[eroded]).all(), "no label and no line covers a nodule"
