from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tests.samples import DESCRIBED, ellipse_contour, make_frame, make_result
from usassist.errors import RecordError
from usassist.records import Cause, Descriptor, Detections, LabelSpec, Measurements, ResultState, Segmentation


def test_pixels_of_a_frame_cannot_be_changed() -> None:
    frame = make_frame()
    with pytest.raises(ValueError, match="read-only"):
        frame.image[0, 0] = 1


def test_making_a_frame_does_not_copy_or_lock_the_callers_array() -> None:
    image = np.zeros((48, 64), np.uint8)
    frame = make_frame(image=image)
    assert np.shares_memory(frame.image, image)
    assert image.flags.writeable


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image": np.zeros((48, 64), np.float32)}, "must be uint8"),
        ({"image": np.zeros((48, 64, 4), np.uint8)}, "got \\(48, 64, 4\\)"),
        ({"image": np.zeros((0, 64), np.uint8), "roi_xyxy_px": (0, 0, 64, 0)}, "not be empty"),
        ({"roi_xyxy_px": (0, 0, 10, 10)}, "size of the image"),
        ({"source_id": "US 0"}, "a-z0-9_"),
        ({"frame_id": -1, "image": np.zeros((48, 64), np.uint8)}, "negative"),
        ({"session_id": ""}, "session_id"),
        ({"spacing_rc_mm": (0.1, 0.1)}, "go together"),
        ({"spacing_rel_sd": 0.1}, "go together"),
        ({"spacing_rc_mm": (0.1, -0.1), "spacing_rel_sd": 0.0}, "positive"),
    ],
)
def test_a_frame_that_is_not_valid_cannot_be_made(changes: dict, message: str) -> None:
    with pytest.raises(RecordError, match=message):
        make_frame(**changes)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("xyxy_px", np.array([[5, 5, 5, 9]], np.float32), "x2 > x1"),
        ("xyxy_px", np.array([[np.nan, 5, 8, 9]], np.float32), "finite"),
        ("xyxy_px", np.zeros((2, 4), np.float32), "must be \\(1, 4\\)"),
        ("score", np.array([1.5], np.float32), "0 to 1"),
        ("label_id", np.array([-1], np.int32), "0 or more"),
        ("label_id", np.array([0], np.int64), "int32"),
    ],
)
def test_detections_that_are_not_valid_cannot_be_made(column: str, value: np.ndarray, message: str) -> None:
    columns = {
        "xyxy_px": np.array([[1, 1, 4, 4]], np.float32),
        "score": np.array([0.5], np.float32),
        "label_id": np.array([0], np.int32),
        "track_id": np.array([-1], np.int32),
    }
    with pytest.raises(RecordError, match=message):
        Detections(**(columns | {column: value}))


def test_joined_outlines_come_apart_again() -> None:
    outlines = [ellipse_contour((30, 20), (12, 8)), ellipse_contour((10, 10), (3, 4)), np.full((1, 2), 5, np.float32)]
    joined = Segmentation.of(outlines)
    assert len(joined) == 3
    for before, after in zip(outlines, joined, strict=True):
        np.testing.assert_array_equal(before, after)


def test_an_outline_without_points_is_refused() -> None:
    with pytest.raises(RecordError, match="at least one point"):
        Segmentation(contour_xy_px=np.zeros((2, 2), np.float32), contour_start=np.array([0, 0, 2], np.int32))


def test_millimetres_without_their_uncertainty_are_refused() -> None:
    one = np.ones(1, np.float32)
    with pytest.raises(RecordError, match="with their uncertainty or not at all"):
        Measurements(major_px=one, minor_px=one, area_px2=one, major_mm=one)


@pytest.mark.parametrize("state", [ResultState.FINDING, ResultState.NO_FINDING])
def test_an_answer_has_no_reason(state: ResultState) -> None:
    with pytest.raises(RecordError, match="no cause and no reason"):
        make_result(state=state, reason="hm")


@pytest.mark.parametrize("state", [ResultState.NO_RESULT, ResultState.STALE])
def test_a_result_that_is_no_answer_says_why(state: ResultState) -> None:
    with pytest.raises(RecordError, match="must have a cause and a reason"):
        make_result(state=state, cause=None)
    with pytest.raises(RecordError, match="must have a cause and a reason"):
        make_result(state=state, reason="")


def test_an_answer_has_the_times_of_the_engine() -> None:
    with pytest.raises(RecordError, match="must have the times of the engine"):
        make_result(state=ResultState.NO_FINDING, t_infer_end_ns=None)


@pytest.mark.parametrize("state", [ResultState.NO_RESULT, ResultState.NO_FINDING])
def test_a_state_without_finding_cannot_carry_detections(state: ResultState) -> None:
    found = make_result()
    with pytest.raises(RecordError, match="cannot carry detections"):
        make_result(
            state=state,
            detections=found.detections,
            segmentation=found.segmentation,
            measurements=found.measurements,
        )


def test_a_finding_needs_a_detection() -> None:
    with pytest.raises(RecordError, match="at least one detection"):
        make_result(detections=Detections.empty(), segmentation=Segmentation.empty(), measurements=Measurements.empty())


def test_a_box_outside_the_image_is_refused() -> None:
    with pytest.raises(RecordError, match="inside the image"):
        make_result(hw=(20, 20))


def test_detections_outlines_and_sizes_have_one_row_each() -> None:
    with pytest.raises(RecordError, match="one of each per detection"):
        make_result(segmentation=Segmentation.empty())


def test_every_state_but_two_is_no_answer() -> None:
    assert [state for state in ResultState if state.is_answer] == [ResultState.FINDING, ResultState.NO_FINDING]


def test_a_threshold_outside_0_to_1_is_refused() -> None:
    with pytest.raises(RecordError, match="score_threshold"):
        LabelSpec(id=0, name="nodule", scheme="SCT", value="1", meaning="x", color_rgb=(1, 2, 3), score_threshold=1.5)


def test_causes_are_words_for_counting() -> None:
    assert all(str(cause).replace("_", "").isalpha() for cause in Cause)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": ""}, "name, value and basis"),
        ({"value": ""}, "name, value and basis"),
        ({"basis": ""}, "name, value and basis"),
        ({"probability": 1.5}, "0 to 1"),
        ({"probability": float("nan")}, "0 to 1"),
    ],
)
def test_a_descriptor_that_is_not_valid_cannot_be_made(changes: dict, message: str) -> None:
    with pytest.raises(RecordError, match=message):
        Descriptor(**({"name": "echogenicity", "value": "hypoechoic", "probability": 0.5} | changes))


def test_a_descriptor_says_that_it_is_estimated() -> None:
    assert DESCRIBED[0][0].basis == "estimated"


@pytest.mark.parametrize("descriptors", [(), ((),), DESCRIBED])
def test_a_finding_has_descriptors_for_each_nodule_or_none_at_all(descriptors: tuple) -> None:
    assert make_result(descriptors=descriptors).descriptors == descriptors


def test_descriptors_that_do_not_fit_the_nodules_are_refused() -> None:
    with pytest.raises(RecordError, match="one entry per detection"):
        make_result(descriptors=DESCRIBED * 2)
    with pytest.raises(RecordError, match="echogenicity, echogenicity"):
        make_result(descriptors=(DESCRIBED[0] * 2,))


@pytest.mark.parametrize("state", [state for state in ResultState if state is not ResultState.FINDING])
def test_only_a_finding_has_descriptors(state: ResultState) -> None:
    with pytest.raises(RecordError, match="cannot carry descriptors"):
        make_result(0, state, descriptors=DESCRIBED)


def test_of_a_cut_section_only_lower_bounds_are_known() -> None:
    sizes = make_result().measurements
    whole = sizes.row(0)
    assert (whole["cut"], whole["ap_t_state"]) == (False, "wider")
    assert all(value is not None for value in whole.values())
    cut = dataclasses.replace(sizes, cut=np.ones(1, np.uint8)).row(0)
    known = {name for name, value in cut.items() if value is not None}
    lengths = {
        f"{name}_{unit}" for name in ("major", "ap", "transverse", "perimeter", "equivalent") for unit in ("px", "mm")
    }
    assert known == {"cut", "area_px2", "area_mm2", "major_ends_xy_px"} | lengths
    assert cut["major_mm"] == whole["major_mm"]


def test_a_shape_without_all_its_columns_is_refused() -> None:
    one = np.ones(1, np.float32)
    with pytest.raises(RecordError, match="come together"):
        Measurements(major_px=one, minor_px=one, area_px2=one, ap_px=one)
    sizes = make_result().measurements
    without = dict.fromkeys(Measurements.MILLIMETRE_COLUMNS)
    with pytest.raises(RecordError, match="ap_mm comes with major_mm"):
        dataclasses.replace(sizes, **without)
    with pytest.raises(RecordError, match="solidity must be finite"):
        dataclasses.replace(sizes, solidity=np.full(1, np.nan, np.float32))
    with pytest.raises(RecordError, match="cut must be uint8"):
        dataclasses.replace(sizes, cut=one)
    with pytest.raises(RecordError, match=r"minor_ends_xy_px must be \(1, 2, 2\)"):
        dataclasses.replace(sizes, minor_ends_xy_px=np.zeros((1, 4), np.float32))
    with pytest.raises(RecordError, match="major_ends_xy_px must be finite"):
        dataclasses.replace(sizes, major_ends_xy_px=np.full((1, 2, 2), np.nan, np.float32))
    with pytest.raises(RecordError, match="come together"):
        dataclasses.replace(sizes, major_ends_xy_px=None)
