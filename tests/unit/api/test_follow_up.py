from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import usassist.api
import usassist.clinical
from tests.samples import ENGINE, make_frame, make_result
from usassist.api import FrameResult, diameter_mm
from usassist.errors import UsageError


def _result(**changes: object) -> FrameResult:
    record = make_result(3)
    record = dataclasses.replace(record, measurements=dataclasses.replace(record.measurements, **changes))
    return FrameResult(frame=make_frame(3), record=record, engine=ENGINE)


@pytest.mark.parametrize("name", ["Growth", "GrowthState", "Quantity", "judge_growth", "volume_ml"])
def test_the_rules_of_the_room_below_are_in_the_python_interface(name: str) -> None:
    assert getattr(usassist.api, name) is getattr(usassist.clinical, name)
    assert name in usassist.api.__all__


def test_a_diameter_is_that_of_the_result() -> None:
    result = _result()
    width = diameter_mm(result, "transverse")
    assert result.sizes.transverse_mm is not None
    assert result.sizes.transverse_u95_mm is not None
    assert (width.value, width.u95) == (float(result.sizes.transverse_mm[0]), float(result.sizes.transverse_u95_mm[0]))


def test_a_bound_is_no_diameter_and_neither_is_what_has_no_scale_or_is_not_there() -> None:
    with pytest.raises(UsageError, match="border of the scan cuts nodule 0"):
        diameter_mm(_result(cut=np.ones(1, np.uint8)), "major")
    sizes = make_result(3).measurements
    bare = dict.fromkeys((*sizes.MILLIMETRE_COLUMNS, *sizes.SHAPE_MILLIMETRE_COLUMNS))
    with pytest.raises(UsageError, match="has no major_mm"):
        diameter_mm(_result(**bare), "major")
    with pytest.raises(UsageError, match="there is no number 1"):
        diameter_mm(_result(), "major", 1)
