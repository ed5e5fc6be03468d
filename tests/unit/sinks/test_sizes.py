from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from tests.samples import make_result
from usassist.records import Measurements
from usassist.sinks.sizes import measures_in_words, number_in_words, size_in_words


def _row(*, cut: bool = False, calibrated: bool = True, before_1_5: bool = False) -> dict[str, Any]:
    sizes = make_result().measurements
    dropped = [] if calibrated else [*Measurements.MILLIMETRE_COLUMNS, *Measurements.SHAPE_MILLIMETRE_COLUMNS]
    if before_1_5:
        dropped += [*Measurements.SHAPE_COLUMNS, *Measurements.SHAPE_MILLIMETRE_COLUMNS, "cut"]
    changes: dict[str, Any] = dict.fromkeys(dropped)
    if not before_1_5:
        changes["cut"] = np.array([cut], np.uint8)
    return dataclasses.replace(sizes, **changes).row(0)


def test_a_nodule_is_called_by_its_number_in_the_stream_or_on_the_frame() -> None:
    assert number_in_words(12, 0) == "N12"
    assert [number_in_words(-1, row) for row in range(2)] == ["1", "2"]


def test_a_whole_section_has_both_diameters_with_their_intervals() -> None:
    assert size_in_words(_row()) == "2.5 ± 0.3 × 1.8 ± 0.2 mm"
    assert size_in_words(_row(calibrated=False)) == "25 × 18 px, not calibrated"


def test_of_a_cut_section_only_the_least_of_its_longest_diameter_is_written() -> None:
    assert size_in_words(_row(cut=True)) == "≥ 2.5 mm, cut by the border of the scan"
    assert size_in_words(_row(cut=True, calibrated=False)) == "≥ 25 px, not calibrated, cut by the border of the scan"


def test_what_else_is_measured_comes_with_its_interval() -> None:
    extents, others = measures_in_words(_row())
    assert extents.startswith("AP 1.7 ± 0.2 mm, transverse 2.5 ± 0.3 mm, AP/T 0.68 (0.58 to 0.79): wider than tall")
    assert others.startswith("area 3 ± 1 mm², perimeter ")
    assert "equivalent diameter 2.1 ± 0.2 mm" in others


def test_without_a_scale_the_ratio_is_of_pixels_and_says_so() -> None:
    extents, others = measures_in_words(_row(calibrated=False))
    assert extents == "AP 17 px, transverse 25 px, AP/T 0.68 (if pixels are square)"
    assert "mm" not in others


def test_a_cut_section_has_bounds_and_neither_ratio_nor_interval() -> None:
    for calibrated in (True, False):
        text = " ".join(measures_in_words(_row(cut=True, calibrated=calibrated)))
        assert text.count("≥") == 5
        assert "±" not in text
        assert "AP/T" not in text


def test_what_was_recorded_before_has_a_size_and_nothing_else() -> None:
    old = _row(before_1_5=True)
    assert size_in_words(old) == "2.5 ± 0.3 × 1.8 ± 0.2 mm"
    assert measures_in_words(old) == ()
