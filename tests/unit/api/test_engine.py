"""``Engine`` on arrays and picture files."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

import usassist.api.engine as module
from tests.samples import bright_engine, bright_screen
from usassist import Engine, FrameResult
from usassist.errors import (
    BackendFailedError,
    CalibrationError,
    EngineNotFoundError,
    RecordError,
    ScanAreaError,
    SourceError,
    UsageError,
)

UInt8Array = npt.NDArray[np.uint8]


def _same(one: FrameResult, other: FrameResult) -> bool:
    return all(
        np.array_equal(getattr(one, name), getattr(other, name)) for name in ("boxes_xyxy_px", "scores", "label_ids")
    ) and np.array_equal(one.masks, other.masks)


def test_an_array_is_answered_as_its_frame_in_the_stream_was(engine: Engine, found: FrameResult) -> None:
    result = engine(found.image)
    assert result.state == "finding"
    assert result.is_answer
    assert _same(result, found)
    assert (result.frame_id, result.t_ms, result.pts) == (0, None, None)
    assert engine(found.image, frame_id=17).frame_id == 17


def test_the_result_keeps_its_own_pixels(engine: Engine, image: UInt8Array) -> None:
    mine = image.copy()
    result = engine(mine)
    mine[:] = 0
    np.testing.assert_array_equal(result.image, image)
    with pytest.raises(ValueError, match="read-only"):
        result.image[:] = 0


def test_grey_colour_and_strided_arrays_are_taken(engine: Engine, image: UInt8Array) -> None:
    grey = np.ascontiguousarray(image[..., 1])
    assert engine(grey).image.shape == grey.shape
    wide = np.zeros((grey.shape[0], 2 * grey.shape[1]), np.uint8)
    wide[:, ::2] = grey
    assert _same(engine(wide[:, ::2]), engine(grey))
    assert _same(engine(np.repeat(grey[..., None], 3, axis=2)), engine(grey))


def test_several_images_give_several_results_in_order(engine: Engine, image: UInt8Array) -> None:
    black = np.zeros_like(image)
    results = engine([image, black, image])
    assert [result.frame_id for result in results] == [0, 1, 2]
    assert [str(result.state) for result in results] == ["finding", "no_result", "finding"]
    assert _same(results[0], engine(image))
    assert engine([]) == []


def test_a_picture_file_is_answered_like_its_pixels(engine: Engine, image: UInt8Array, tmp_path: Path) -> None:
    path = tmp_path / "frame.png"
    cv2.imwrite(str(path), image[..., ::-1])
    for name in (path, str(path)):
        result = engine(name)
        np.testing.assert_array_equal(result.image, image)
        assert _same(result, engine(image))
    assert [item.state for item in engine([path, image])] == ["finding", "finding"]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.zeros((8, 8), np.float32), "must be uint8"),
        (np.zeros((8, 8, 4), np.uint8), r"\(H, W, 3\) RGB, got \(8, 8, 4\)"),
        (np.zeros((2, 8, 8, 3), np.uint8), "several go as a list"),
        (np.zeros((0, 8), np.uint8), "must be"),
        (None, "a numpy array or a path, got NoneType"),
        ("clip.mp4", r"use engine\.stream"),
    ],
)
def test_what_is_no_image_is_refused_with_what_to_do(engine: Engine, value: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        engine(value)


def test_a_file_that_is_not_there_is_a_source_error(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(SourceError):
        engine(tmp_path / "none.png")
    with pytest.raises(RecordError, match="frame_id"):
        engine(np.zeros((8, 8), np.uint8), frame_id=-1)


def test_an_image_is_cropped_only_where_that_is_asked_for(engine: Engine, image: UInt8Array) -> None:
    screen = np.full((image.shape[0] + 90, image.shape[1] + 200, 3), 8, np.uint8)
    x, y = 120, 60
    screen[y : y + image.shape[0], x : x + image.shape[1]] = image
    whole = engine(screen)
    assert whole.frame.roi_xyxy_px == (0, 0, screen.shape[1], screen.shape[0])
    box = (x, y, x + image.shape[1], y + image.shape[0])
    given = engine(screen, crop=box)
    assert given.frame.roi_xyxy_px == box
    assert _same(given, engine(image))
    found = engine(screen, crop="auto")
    x1, y1, x2, y2 = found.frame.roi_xyxy_px
    assert (x2 - x1) * (y2 - y1) < screen.shape[0] * screen.shape[1]
    np.testing.assert_array_equal(found.image, screen[y1:y2, x1:x2])
    with pytest.raises(UsageError, match="does not lie"):
        engine(image, crop=(0, 0, 10_000, 10))
    with pytest.raises(ScanAreaError):
        engine(np.zeros((200, 200), np.uint8), crop="auto")


def test_sizes_are_in_mm_only_with_a_scale_and_its_uncertainty(image: UInt8Array) -> None:
    options: dict[str, Any] = {"backend": "onnxruntime", "precision": "fp32"}
    with Engine(**options) as engine:
        sizes = engine(image).sizes
        assert not sizes.calibrated
        assert sizes.major_px.shape == (1,)
    with Engine(spacing_mm=(0.1, 0.2), spacing_rel_sd=0.01, **options) as engine:
        result = engine(image)
        assert result.frame.spacing_rc_mm == (0.1, 0.2)
        assert result.record.calibration_id == "spacing_as_given"
        for name in ("major_mm", "minor_mm", "area_mm2", "major_u95_mm", "minor_u95_mm", "area_u95_mm2"):
            assert (getattr(result.sizes, name) > 0).all()
        wide = 0.1 * float(result.sizes.major_px[0])
        assert wide <= float(result.sizes.major_mm[0]) <= 2 * wide  # type: ignore[index]
    with Engine(calibration="phantom_demo", **options) as engine:
        with pytest.raises(CalibrationError, match="was made on a screen"):
            engine(image)
        screen = np.full((720, 1280, 3), 8, np.uint8)
        screen[76:688, 334:946] = image
        assert engine(screen, crop="auto").image.shape == image.shape


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"spacing_mm": (0.1, 0.1)}, "go together"),
        ({"spacing_rel_sd": 0.1}, "go together"),
        ({"spacing_mm": (0.1, 0.1), "spacing_rel_sd": 0.1, "calibration": "phantom_demo"}, "leave one out"),
        ({"spacing_mm": (0.0, 0.1), "spacing_rel_sd": 0.1}, "must be positive"),
        ({"calibration": "none_such"}, "no geometry calibration"),
        ({"point": "loud"}, "loud"),
        ({"precision": "int3"}, "no precision int3"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Engine(**arguments)


def test_an_engine_that_is_not_there_is_refused() -> None:
    with pytest.raises(EngineNotFoundError):
        Engine("no_such_engine")


def test_engine_and_operating_point_are_named(engine: Engine, image: UInt8Array) -> None:
    assert engine.engine_id.startswith("thyroid_nodule@")
    assert (engine.backend, engine.labels, engine.point) == ("onnxruntime", ("nodule",), "balanced")
    assert engine.engine_id in repr(engine)
    name = engine.engine_id.partition("+")[0]
    thresholds = []
    for point in ("sensitive", "quiet"):
        with Engine(name, backend="onnxruntime", precision="fp32", point=point) as other:
            assert other.point == point
            result = other(image)
            thresholds.append(result.engine.labels[0].score_threshold)
            assert (result.scores >= thresholds[-1]).all()
    assert thresholds[0] < thresholds[1]


def test_the_null_back_end_gives_no_result_and_not_no_finding(image: UInt8Array) -> None:
    with Engine(backend="null") as engine:
        result = engine(image)
    assert (str(result.state), str(result.cause), result.is_answer) == ("no_result", "null_engine", False)
    assert result.reason


class _Failing:
    """A back end that fails at its second frame and at no other."""

    backend = "onnxruntime"
    calls = 0

    def __init__(self, engine: Any) -> None:
        self._engine = engine

    def infer(self, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        self.calls += 1
        if self.calls == 2:
            raise BackendFailedError("the device is gone")
        outputs: Mapping[str, Any] = self._engine.infer(inputs)
        return outputs

    def close(self) -> None:
        self._engine.close()


def test_an_engine_that_fails_costs_that_frame_its_result(monkeypatch: pytest.MonkeyPatch, image: UInt8Array) -> None:
    opener = module.open_engine
    monkeypatch.setattr(module, "open_engine", lambda *arguments: _Failing(opener(*arguments)))
    with Engine(backend="onnxruntime", precision="fp32") as engine:
        results = engine([image, image, image])
    assert [str(result.state) for result in results] == ["finding", "no_result", "finding"]
    assert (str(results[1].cause), results[1].reason) == ("engine_error", "the device is gone")
    assert len(results[1].scores) == 0


def test_a_closed_engine_says_so_and_its_results_stay(image: UInt8Array) -> None:
    with Engine(backend="onnxruntime", precision="fp32") as engine:
        result = engine(image)
        stream = engine.stream("demo")
        next(stream)
    engine.close()
    assert result.masks.any()
    for use in (lambda: engine(image), lambda: next(stream), lambda: engine.stream("demo")):
        with pytest.raises(UsageError, match="is closed"):
            use()


def test_an_engine_that_abstains_gives_no_result_and_not_no_finding(tmp_path: Path) -> None:
    for package in ("onnx", "onnxruntime"):
        pytest.importorskip(package, reason="the engine of this test is made with onnx and runs on onnxruntime")
    bright = bright_screen(1, [(280, 160, 40, 28)])
    with Engine("bright", engines=bright_engine(tmp_path, threshold=0.1), backend="onnxruntime") as engine:
        known, unknown = engine(bright), engine(np.asarray(np.where(bright < 230, bright // 4, bright), np.uint8))
    assert known.state == "finding"
    assert (unknown.state, unknown.cause, unknown.is_answer) == ("no_result", "out_of_domain", False)
    assert unknown.reason.startswith("not thyroid (0.")
    assert not len(unknown.scores)
    assert (unknown.draw()[:34] != known.draw()[:34]).any()


def test_threads_may_share_an_engine(engine: Engine, image: UInt8Array) -> None:
    images = [image, np.ascontiguousarray(image[:, ::-1]), np.zeros_like(image)]
    alone = engine(images)
    together: dict[int, list[FrameResult]] = {}
    threads = [
        threading.Thread(target=lambda i=i: together.update({i: [engine(images[i]) for _ in range(4)]}))
        for i in range(len(images))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index, results in together.items():
        assert len(results) == 4
        assert all(_same(result, alone[index]) for result in results)
    assert len(together) == 3
