"""Grey levels, outlines, heat and the marks of the sides."""

from __future__ import annotations

import numpy as np
import pytest

from usassist.app.studies import blend_heat, draw_outlines, side_marks, to_grey


def test_window_puts_its_ends_to_black_and_white() -> None:
    plane = np.array([[-1000, 0, 40, 80, 1000]], np.int16)
    assert to_grey(plane, 40.0, 80.0).tolist() == [[0, 0, 128, 255, 255]]


def test_pixels_that_are_no_squares_are_stretched() -> None:
    plane = np.zeros((10, 20), np.int16)
    assert to_grey(plane, 40.0, 80.0, (2.0, 1.0), 3.0).shape == (60, 60)


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ([(1, 0, 0), (0, 1, 0), (0, 0, 1)], "RLAP"),  # left, right, top, bottom of an axial plane as it is hung
        ([(-1, 0, 0), (0, 1, 0), (0, 0, 1)], "LRAP"),
        ([(0, 1, 0), (0, 0, -1), (1, 0, 0)], "APHF"),  # sagittal
        ([(1, 0, 0), (0, 0.95, -0.3), (0, 0.3, 0.95)], "RLAP"),  # tilted gantry
    ],
)
def test_marks_name_the_nearest_direction_of_the_patient(
    columns: list[tuple[float, float, float]], expected: str
) -> None:
    affine = np.eye(4)
    affine[:3, :3] = np.array(columns, np.float64).T
    marks = side_marks(affine)
    assert marks.left + marks.right + marks.top + marks.bottom == expected


def test_outline_runs_around_its_label_alone() -> None:
    labels = np.zeros((40, 40), np.uint8)
    labels[10:20, 10:20], labels[30:35, 30:35] = 1, 2
    picture = np.zeros((80, 80, 3), np.uint8)
    draw_outlines(picture, labels, {0: (255, 0, 0)}, scale=2.0)
    rows, columns = np.nonzero(picture[..., 0])
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == pytest.approx((20, 39, 20, 39), abs=1)
    assert not picture[25:34, 25:34].any()  # its inside stays as it is
    assert not picture[55:, 55:].any()


def test_heat_of_nothing_leaves_the_plane_as_it_is() -> None:
    grey = np.full((8, 8), 100, np.uint8)
    heat = np.zeros((8, 8), np.uint8)
    heat[2, 2] = 255
    picture = blend_heat(grey, heat)
    assert (picture[5:, 5:] == 100).all()
    assert abs(int(picture[2, 2].astype(int).sum()) - 300) > 100
