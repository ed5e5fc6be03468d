"""``FrameResult`` and what other libraries get of it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from tests.samples import CALIBRATED_ENGINE, DESCRIBED, ENGINE, make_frame, make_result
from usassist import FrameResult
from usassist.api.adapters import supervision_fields
from usassist.bus import LabelBody
from usassist.errors import UsageError
from usassist.frames import fill_labelmap
from usassist.records import ResultState
from usassist.session.export import CSV_COLUMNS
from usassist.sinks.lines import result_line


def _result(state: ResultState = ResultState.FINDING, t_ms: float | None = 33.0) -> FrameResult:
    described = DESCRIBED if state is ResultState.FINDING else ()
    record = make_result(4, state, descriptors=described)
    return FrameResult(frame=make_frame(4), record=record, engine=CALIBRATED_ENGINE, t_ms=t_ms)


def test_arrays_have_a_row_for_each_detection(found: FrameResult) -> None:
    count, (height, width) = len(found.scores), found.image.shape[:2]
    assert count == 1
    assert found.boxes_xyxy_px.shape == (count, 4)
    assert found.masks.shape == (count, height, width)
    assert found.masks.dtype == np.bool_
    assert (len(found.outlines), len(found.labels), len(found.sizes)) == (count, count, count)
    assert found.labels == ("nodule",)
    np.testing.assert_array_equal(
        found.masks[0], fill_labelmap(found.record.segmentation, found.frame.image_hw_px) == 1
    )
    rows, columns = np.nonzero(found.masks[0])
    assert found.sizes.area_px2[0] == len(rows)
    x1, y1, x2, y2 = found.boxes_xyxy_px[0]
    assert x1 <= columns.min() <= columns.max() <= x2 - 1
    assert y1 <= rows.min() <= rows.max() <= y2 - 1


def test_no_result_and_no_finding_are_told_apart_in_every_form(nothing: FrameResult) -> None:
    lost = _result(ResultState.NO_RESULT)
    for result, state in ((nothing, "no_finding"), (lost, "no_result")):
        assert result.masks.shape == (0, *result.image.shape[:2])
        assert (len(result.scores), result.state, result.to_dict()["state"]) == (0, state, state)
        assert state in repr(result)
        assert json.loads(result.to_json())["nodules"] == []
    assert (lost.cause, lost.reason, lost.infer_ms) == ("dropped", "because", None)
    assert (nothing.cause, nothing.reason) == (None, "")
    red = np.array([232, 80, 64])
    assert (lost.draw() == red).all(axis=2).any()
    assert not (nothing.draw() == red).all(axis=2).any()
    assert len(supervision_fields(nothing)["xyxy"]) == 0
    with pytest.raises(UsageError, match="frame 4 has no result"):
        lost.to_supervision()


def test_json_has_the_keys_and_values_of_a_recording() -> None:
    for state in ResultState:
        result = _result(state)
        document = json.loads(result.to_json())
        assert document == result.to_dict()
        line = json.loads(msgspec.json.encode(result_line(result.record, result.engine, 0)))
        shared = document.keys() & line.keys()
        assert {key: document[key] for key in shared} == {key: line[key] for key in shared}
        assert line.keys() - shared == {
            "t_capture_ns",
            "t_infer_start_ns",
            "t_input_ns",
            "t_output_ns",
            "t_infer_end_ns",
            "t_publish_ns",
            "frames_dropped",
        }
        assert document.keys() - shared == {
            "t_ms",
            "pts",
            "time_base",
            "roi_xyxy_px",
            "spacing_rc_mm",
            "spacing_rel_sd",
            "score_calibration_id",
            "point",
            "infer_ms",
        }
    assert document["point"] == "balanced"


def test_labels_are_named_by_their_engine() -> None:
    other = LabelBody(**(msgspec.structs.asdict(ENGINE.labels[0]) | {"id": 0, "name": "lump"}))
    result = replace(_result(), engine=msgspec.structs.replace(ENGINE, labels=(other,)))
    assert result.labels == ("lump",)
    assert result.to_dict()["nodules"][0]["label"] == "lump"
    assert result.to_dict()["point"] is None


def test_a_result_is_drawn_on_its_own_image_or_one_of_its_size(found: FrameResult, nothing: FrameResult) -> None:
    drawing = found.draw()
    assert drawing.dtype == np.uint8
    assert drawing.shape[1:] == (found.image.shape[1], 3)
    assert drawing.shape[0] > found.image.shape[0]  # bars above and below
    between = slice(50, 50 + found.image.shape[0])  # the bars
    changed = (drawing[between] != found.image[..., None]).any(axis=2)
    x1, y1, x2, y2 = found.boxes_xyxy_px[0].astype(int)
    near = np.s_[y1 - 60 : y2 + 60, max(0, x1 - 180) : x2 + 180]  # outline, calipers and label
    assert changed[near].sum() == changed.sum() > 0
    np.testing.assert_array_equal(nothing.draw()[between, :, 1], nothing.image)
    black = np.zeros((*found.image.shape, 3), np.uint8)
    drawn = found.draw(black)[between].any(axis=2)
    assert drawn[near].sum() == drawn.sum() > 0
    with pytest.raises(UsageError, match="without it"):
        found.draw(black[:-1])
    found.draw()[:] = 0  # the caller's own
    np.testing.assert_array_equal(found.draw(), drawing)


def test_the_arguments_for_supervision_have_its_shapes_and_types() -> None:
    fields = supervision_fields(_result())
    assert fields["xyxy"].shape == (1, 4)
    assert (fields["mask"].shape, fields["mask"].dtype) == ((1, 48, 64), np.bool_)
    assert (fields["confidence"].shape, fields["confidence"].dtype) == ((1,), np.float32)
    assert (fields["class_id"].tolist(), fields["class_id"].dtype) == ([0], np.int64)
    assert fields["tracker_id"] is None
    assert fields["data"]["class_name"].tolist() == ["nodule"]
    assert fields["metadata"]["frame_id"] == 4


def test_supervision_takes_it(found: FrameResult, nothing: FrameResult) -> None:
    library = pytest.importorskip("supervision", reason="supervision is not installed (extra `api`)")
    detections = found.to_supervision()
    assert isinstance(detections, library.Detections)
    assert len(detections) == 1
    np.testing.assert_array_equal(detections.xyxy, found.boxes_xyxy_px)
    np.testing.assert_array_equal(detections.mask, found.masks)
    np.testing.assert_array_equal(detections.confidence, found.scores)
    assert detections.area[0] == found.masks.sum()
    assert detections["class_name"].tolist() == ["nodule"]
    assert len(detections[detections.confidence > 2.0]) == 0
    scene = np.repeat(found.image[..., None], 3, axis=2)
    assert (library.MaskAnnotator().annotate(scene=scene.copy(), detections=detections) != scene).any()
    empty = nothing.to_supervision()
    assert (len(empty), empty.metadata["state"]) == (0, "no_finding")


def test_pandas_gets_the_rows_of_the_table(results: list[FrameResult]) -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed (extra `api`)")
    table = pandas.concat([result.to_pandas() for result in [*results, _result(ResultState.NO_RESULT, None)]])
    assert tuple(table.columns) == CSV_COLUMNS
    assert len(table) == sum(max(1, len(result.scores)) for result in results) + 1
    assert (str(table.dtypes["frame_id"]), str(table.dtypes["score"])) == ("Int64", "float64")
    assert table["state"].iloc[-1] == "no_result"
    assert table["cause"].iloc[-1] == "dropped"
    assert np.isnan(table["t_s"].iloc[-1])
    found = table[table["state"] == "finding"]
    assert len(found) > 0
    assert (found["major_u95_mm"] > 0).all()
    assert found["nodule"].tolist() == [0] * len(found)
    assert table["t_s"].iloc[1] == pytest.approx((results[1].t_ms or 0.0) / 1e3)


@pytest.mark.parametrize(("library", "call"), [("supervision", "to_supervision"), ("pandas", "to_pandas")])
def test_a_library_that_is_missing_is_named_with_what_to_install(
    library: str, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ImportError, match=rf"{library}.*pip install 'usassist\[api\]'"):
        getattr(_result(), call)()


_CHECK = """
import sys, usassist
heavy = {"av", "cv2", "numpy", "openvino", "onnxruntime", "usassist.api"}
assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()
assert {"Engine", "FrameResult", "ResultStream"} <= set(dir(usassist))
import usassist.sinks.overlay.window
assert not {"av", "usassist.api"} & sys.modules.keys()
try:
    usassist.Motor
except AttributeError as error:
    assert "Motor" in str(error)
else:
    raise AssertionError
from usassist import Engine, FrameResult, ResultStream
assert Engine is usassist.Engine and Engine.__module__ == "usassist.api.engine"
assert not {"supervision", "pandas", "pyarrow"} & sys.modules.keys()
"""


def test_importing_the_package_imports_nothing_else() -> None:
    subprocess.run([sys.executable, "-c", _CHECK], check=True, timeout=60)
