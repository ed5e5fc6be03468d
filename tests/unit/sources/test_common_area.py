from __future__ import annotations

import pytest

from usassist.sources.cropping import Roi, common_area

WHOLE: Roi = (0, 16, 512, 329)


def test_areas_that_agree_give_the_one_around_all() -> None:
    assert common_area([WHOLE, (2, 18, 500, 329), (0, 17, 512, 320)]) == WHOLE


@pytest.mark.parametrize("dark", [(0, 16, 508, 200), (0, 17, 440, 329), (60, 16, 512, 240)])
def test_a_dark_image_that_shows_less_of_the_area_does_not_split_a_sequence(dark: Roi) -> None:
    assert common_area([WHOLE, WHOLE, dark, WHOLE]) == WHOLE
    assert common_area([dark, WHOLE, WHOLE, WHOLE]) == WHOLE


@pytest.mark.parametrize(
    "areas",
    [
        [],
        [(85, 7, 473, 310), (34, 7, 528, 310), (34, 7, 528, 310)],  # single and dual view
        [WHOLE, (0, 16, 508, 200), (0, 16, 500, 210), (0, 16, 500, 205)],  # most show less
        [WHOLE, WHOLE, (0, 100, 512, 329)],  # another upper edge: another layout
    ],
)
def test_images_that_are_no_sequence_have_no_common_area(areas: list[Roi]) -> None:
    assert common_area(areas) is None
