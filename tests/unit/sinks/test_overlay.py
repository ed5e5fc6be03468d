from __future__ import annotations

import dataclasses

import msgspec
import numpy as np
import pytest

from tests.samples import CALIBRATED_ENGINE, ENGINE, SESSION, make_frame, make_result
from usassist.frames import fill_labelmap
from usassist.records import Cause, Measurements, ResultState
from usassist.sinks.overlay import Painter
from usassist.sinks.overlay.draw import describe
from usassist.sinks.overlay.nodules import Look
from usassist.sinks.overlay.text import Pen
from usassist.sinks.view import STATE_COLOR_RGB, view_of_frame, view_of_silence
from usassist.words import load_words

HW = (300, 600)  # wide enough not to be enlarged
UPPER, LOWER = 50, 34
WORDS = load_words("en", "window")


def _paint(
    state: ResultState | None, frame_image: np.ndarray | None = None, engine=ENGINE, look: Look | None = None
) -> np.ndarray:
    image = np.full(HW, 60, np.uint8) if frame_image is None else frame_image
    frame = make_frame(1, HW, image=image, roi_xyxy_px=(0, 0, HW[1], HW[0]))
    result = None if state is None else make_result(1, state, HW)
    return Painter().paint(frame, result, view_of_frame(result, engine, SESSION, 1_000_000), engine, look=look).copy()


def _image(canvas: np.ndarray) -> np.ndarray:
    return canvas[UPPER:-LOWER]


def test_an_outline_is_drawn_where_the_region_ends() -> None:
    image = _image(_paint(ResultState.FINDING, look=Look(calipers=False))).astype(int)
    yellow = (image[..., 0] - image[..., 2]) > 60
    region = fill_labelmap(make_result(1, hw=HW).segmentation, HW) > 0
    inside = np.zeros_like(region)
    inside[13:28, 23:38] = True
    assert yellow[:40, :50].sum() > 30
    assert not yellow[16:25, 26:35].any(), "the image inside the outline stays visible"
    rows, columns = np.nonzero(yellow[:32, :44])
    region_rows, region_columns = np.nonzero(region)
    assert abs(rows.min() - region_rows.min()) <= 4
    assert abs(columns.min() - region_columns.min()) <= 4


def test_the_frame_is_untouched_where_nothing_is_drawn() -> None:
    image = np.random.default_rng(1).integers(0, 255, HW).astype(np.uint8)
    shown = _image(_paint(ResultState.FINDING, image))
    np.testing.assert_array_equal(shown[100:, 100:], np.repeat(image[100:, 100:, None], 3, axis=2))
    clear = _image(_paint(ResultState.NO_FINDING, image))
    np.testing.assert_array_equal(clear, np.repeat(image[..., None], 3, axis=2))


@pytest.mark.parametrize("state", [ResultState.NO_RESULT, ResultState.STALE, None])
def test_without_an_answer_the_frame_is_hatched_and_nothing_is_outlined(state: ResultState | None) -> None:
    canvas = _paint(state)
    image = _image(canvas)
    color = np.array(STATE_COLOR_RGB[state or ResultState.NO_RESULT])
    hatched = (image == color).all(axis=2)
    border = np.ones(HW, bool)
    border[6:-6, 6:-6] = False
    assert 0.4 < hatched[border].mean() < 0.6
    assert not hatched[~border].any()
    assert (image[6:-6, 6:-6] == 60).all(), "an old outline on a new image is worse than none"


def test_an_engine_that_abstains_is_hatched_and_named() -> None:
    frame = make_frame(1, HW, image=np.full(HW, 60, np.uint8), roi_xyxy_px=(0, 0, HW[1], HW[0]))
    result = make_result(1, ResultState.NO_RESULT, HW, cause=Cause.OUT_OF_DOMAIN, reason="not thyroid (0.03 < 0.50)")
    canvases = []
    for engine in (ENGINE, msgspec.structs.replace(ENGINE, domain="thyroid")):
        view = view_of_frame(result, engine, SESSION, 1_000_000)
        canvases.append(Painter().paint(frame, result, view, engine).copy())
    unnamed, named = canvases
    assert (_image(named) == np.array(STATE_COLOR_RGB[ResultState.NO_RESULT])).all(axis=2).any()
    np.testing.assert_array_equal(_image(named), _image(unnamed))
    assert (named[:UPPER] != unnamed[:UPPER]).any(), "the upper bar names what the frame does not show"
    assert (named[:UPPER] != _paint(ResultState.NO_FINDING)[:UPPER]).any()


def test_no_two_states_look_alike() -> None:
    images = [_paint(state) for state in (*ResultState, None)]
    for index, one in enumerate(images):
        for other in images[index + 1 :]:
            assert (one != other).any()


def test_an_engine_that_nobody_has_announced_is_not_drawn() -> None:
    image = _image(_paint(ResultState.FINDING, engine=None))
    assert (image[6:-6, 6:-6] == 60).all()


def test_a_result_of_another_frame_is_refused() -> None:
    result = make_result(2, hw=HW)
    frame = make_frame(1, HW, roi_xyxy_px=(0, 0, HW[1], HW[0]))
    with pytest.raises(ValueError, match="must not be drawn on frame 1"):
        Painter().paint(frame, result, view_of_frame(result, ENGINE, SESSION, 0), ENGINE)


@pytest.mark.parametrize("hw", [(1, 1), (7, 700), (208, 213), (3, 3)])
@pytest.mark.parametrize("channels", [1, 3])
def test_frames_of_any_size_can_be_shown(hw: tuple[int, int], channels: int) -> None:
    frame = make_frame(1, hw, channels, roi_xyxy_px=(0, 0, hw[1], hw[0]))
    view = view_of_frame(None, ENGINE, SESSION, 0)
    canvas = Painter().paint(frame, None, view, ENGINE)
    assert canvas.shape[1] >= 560
    assert canvas.shape[1] % hw[1] == 0


def test_before_the_first_frame_the_canvas_says_so() -> None:
    view = view_of_silence(None, None)
    assert view is not None
    assert Painter().paint(None, None, view, None).any()


def test_a_score_is_written_in_percent_only_where_it_is_calibrated() -> None:
    result = make_result(hw=HW)
    assert describe(result, ENGINE, WORDS).endswith("  0.88")
    assert describe(result, CALIBRATED_ENGINE, WORDS).endswith("  88 %")


def test_millimetres_are_written_only_with_their_uncertainty() -> None:
    result = make_result(hw=HW)
    assert " ± " in describe(result, None, WORDS)
    assert " mm " in describe(result, None, WORDS)
    sizes = result.measurements
    bare = Measurements(major_px=sizes.major_px, minor_px=sizes.minor_px, area_px2=sizes.area_px2)
    text = describe(make_result(hw=HW, measurements=bare), None, WORDS)
    assert "mm" not in text
    assert "px" in text


def test_a_nodule_that_the_border_cuts_has_a_bound_and_no_interval() -> None:
    result = make_result(hw=HW)
    cut = dataclasses.replace(result.measurements, cut=np.ones(1, np.uint8))
    text = describe(dataclasses.replace(result, measurements=cut), None, WORDS)
    assert "≥ 2.5 mm" in text
    assert "±" not in text


def test_what_is_kept_from_one_frame_to_the_next_changes_no_pixel() -> None:
    painter = Painter()
    noted = msgspec.structs.replace(ENGINE, note="another back end is being built: 40 %")
    scenes = [(state, engine) for engine in (ENGINE, noted, None) for state in (*ResultState, None)] * 2
    for number, (state, engine) in enumerate(scenes):
        hw = HW if number % 5 else (200, 620)
        frame = make_frame(number, hw, roi_xyxy_px=(0, 0, hw[1], hw[0]))
        result = None if state is None else make_result(number, state, hw)
        view = view_of_frame(result, engine, SESSION, frame.t_capture_ns + 20_000_000)
        fresh = Painter().paint(frame, result, view, engine)
        np.testing.assert_array_equal(painter.paint(frame, result, view, engine), fresh)


def test_a_text_that_has_no_room_is_cut_to_the_most_that_fits() -> None:
    pen = Pen()
    text = "the result for this frame did not arrive in time"
    for room_px in range(0, 420, 7):
        kept = pen.fit(text, room_px, 14)
        if not kept:
            assert pen.width(text[:1] + "…", 14) > room_px
        elif kept != text:
            assert pen.width(kept, 14) <= room_px
            assert pen.width(text[: len(kept)] + "…", 14) > room_px
