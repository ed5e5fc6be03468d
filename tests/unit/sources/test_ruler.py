"""The ruler on drawn screens, on those of the phantom and on real ones."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from tests.unit.sources.ruler_screens import ROI, draw_ruler, speckle
from usassist.frames import find_scan_area
from usassist.phantom import PhantomConfig, PhantomScanner
from usassist.sources.images import read_image
from usassist.sources.pixels import luma
from usassist.sources.ruler import NoRuler, RulerCause, RulerReading, read_ruler, ruler_is_same
from usassist.sources.ruler.figures import Figure, rise_of
from usassist.sources.ruler.text_reader import has_text_reader, read_numbers

UInt8Array = npt.NDArray[np.uint8]

needs_text_reader = pytest.mark.skipif(not has_text_reader(), reason="the extra ocr is not installed")


def reading_of(screen: UInt8Array) -> RulerReading:
    answer = read_ruler(screen, ROI)
    assert isinstance(answer, RulerReading), answer
    return answer


def cause_of(screen: UInt8Array) -> RulerCause:
    answer = read_ruler(screen, ROI)
    assert isinstance(answer, NoRuler)
    return answer.cause


@pytest.mark.parametrize("step_px", [61.3, 72.0, 88.6])
def test_ticks_that_are_all_alike_count_centimetres(step_px: float) -> None:
    screen = speckle()
    draw_ruler(screen, step_px)
    found = reading_of(screen)
    assert found.spacing_rc_mm[0] == pytest.approx(10.0 / step_px, rel=0.004)
    assert abs(found.spacing_rc_mm[0] * step_px / 10.0 - 1.0) < 3.0 * found.spacing_rel_sd
    assert found.rulers[0].by == "alike"
    assert 0.5 < found.confidence <= 1.0


def test_a_horizontal_ruler_gives_the_column_step() -> None:
    screen = speckle()
    draw_ruler(screen, 72.0)
    turned = np.ascontiguousarray(screen.T)
    draw_ruler(turned, 73.0, x=50, first_px=166.0, last_px=480.0)
    found = reading_of(np.ascontiguousarray(turned.T))
    assert found.spacing_rc_mm == pytest.approx((10 / 72.0, 10 / 73.0), rel=0.004)
    assert found.spacing_rel_sd < 0.005  # against 1 % where the column step has to be assumed


def test_without_a_horizontal_ruler_the_column_step_is_uncertain() -> None:
    screen = speckle()
    draw_ruler(screen, 72.0)
    found = reading_of(screen)
    assert found.spacing_rc_mm[0] == found.spacing_rc_mm[1]
    assert found.spacing_rel_sd >= 0.01


@needs_text_reader
@pytest.mark.parametrize(
    ("step_px", "every", "unit", "tick_mm"),
    [(36.0, 2, 1, 5.0), (18.5, 5, 1, 2.0), (30.0, 5, 5, 10.0), (10.5, 5, 5, 1.0)],
)
def test_figures_give_the_step_whatever_the_ticks_are(step_px: float, every: int, unit: int, tick_mm: float) -> None:
    screen = speckle()
    draw_ruler(screen, step_px, every=every, figure_of=lambda number: str(number // every * unit))
    found = reading_of(screen)
    assert found.rulers[0].by == "figures"
    assert found.rulers[0].tick_mm == pytest.approx(tick_mm)
    assert found.spacing_rc_mm[0] == pytest.approx(tick_mm / step_px, rel=0.004)


@needs_text_reader
def test_figures_that_contradict_the_ticks_have_no_answer() -> None:
    wrong = ["0", "4", "1", "8", "3", "9"]
    screen = speckle()
    draw_ruler(screen, 36.0, every=2, figure_of=lambda number: wrong[number // 2])
    assert cause_of(screen) is RulerCause.FIGURES


def test_groups_of_ticks_without_figures_have_no_answer() -> None:
    screen = speckle()
    draw_ruler(screen, 18.0, every=5)
    assert cause_of(screen) in (RulerCause.STEP_UNKNOWN, RulerCause.NO_READER)


def test_without_the_text_reader_a_ruler_with_figures_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("usassist.sources.ruler.text_reader._weights", lambda: None)
    screen = speckle()
    draw_ruler(screen, 36.0, every=2, figure_of=lambda number: str(number // 2))
    answer = read_ruler(screen, ROI)
    assert isinstance(answer, NoRuler)
    assert (answer.cause, "usassist[ocr]" in answer.reason) == (RulerCause.NO_READER, True)


def test_two_views_of_different_scale_have_no_answer() -> None:
    screen = speckle()
    draw_ruler(screen, 72.0)
    draw_ruler(screen, 60.0, x=140)
    assert cause_of(screen) is RulerCause.DISAGREE


def test_two_rulers_that_agree_are_one_answer() -> None:
    screen = speckle()
    draw_ruler(screen, 72.0)
    draw_ruler(screen, 72.0, x=140)
    assert {ruler.side for ruler in reading_of(screen).rulers} == {"left", "right"}


def test_a_ruler_half_hidden_has_no_answer() -> None:
    screen = speckle()
    draw_ruler(screen, 40.0, last_px=185.0)
    assert cause_of(screen) is RulerCause.HIDDEN


def test_a_screen_without_ruler_has_no_answer() -> None:
    assert cause_of(speckle()) is RulerCause.NO_RULER


def test_lines_of_text_beside_the_image_are_no_ruler() -> None:
    screen = speckle()
    for line in range(18):
        at = (500, 75 + 20 * line)
        cv2.putText(screen, f"G {60 + line} dB", at, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (220,), 1, cv2.LINE_AA)
    assert isinstance(read_ruler(screen, ROI), NoRuler)


@pytest.mark.parametrize("step_px", [11.0, 36.0, 51.4])
def test_seven_ticks_that_are_all_alike_may_be_half_centimetres(step_px: float) -> None:
    screen = speckle()
    draw_ruler(screen, step_px)
    assert cause_of(screen) is RulerCause.STEP_UNKNOWN


@needs_text_reader
def test_figures_that_may_be_centimetres_or_millimetres_have_no_answer() -> None:
    screen = speckle()
    draw_ruler(screen, 72.0, figure_of=lambda number: str(5 * number))  # 25 mm deep, or 25 cm
    assert cause_of(screen) is RulerCause.IMPLAUSIBLE


def test_other_ticks_are_told_from_the_same() -> None:
    screen, deeper, next_frame = speckle(), speckle(), speckle(seed=1)
    draw_ruler(screen, 72.0)
    draw_ruler(deeper, 60.0)
    draw_ruler(next_frame, 72.0)
    found = reading_of(screen)
    assert ruler_is_same(next_frame, ROI, found)
    assert not ruler_is_same(deeper, ROI, found)
    assert not ruler_is_same(speckle(), ROI, found)


def figures(*pairs: tuple[int, float]) -> list[Figure]:
    return [Figure(index=index, value=value, score=1.0) for index, value in pairs]


def test_one_misread_figure_of_four_is_outvoted() -> None:
    rise = rise_of(figures((2, 7.0), (4, 2.0), (6, 3.0), (8, 4.0)), top=0.0)
    assert rise is not None
    assert (rise.per_tick, rise.agree, rise.read, rise.largest) == (0.5, 3, 4, 4.0)


def test_two_figures_that_do_not_count_from_the_top_are_not_enough() -> None:
    assert rise_of(figures((2, 1.0), (6, 5.0)), top=0.0) is None  # 3 was read as 5
    assert rise_of(figures((2, 1.0), (6, 3.0)), top=0.0) is not None


@needs_text_reader
@pytest.mark.parametrize("seed", [1, 4, 10, 12])
def test_the_ruler_of_a_phantom_is_read_to_one_percent(seed: int) -> None:
    frame = PhantomScanner(PhantomConfig.random(seed)).render(1.0)
    answer = read_ruler(luma(frame.screen), find_scan_area([frame.screen]).xyxy_px)
    assert isinstance(answer, RulerReading)
    assert answer.spacing_rc_mm == pytest.approx(frame.spacing_rc_mm, rel=0.01)


# mm per px by ruler and figures, read by eye on the screens: (files, spacing)
REAL = {
    "thyroid_ddti": {"81_1.jpg": 10 / 75.9, "377_1.jpg": 10 / 50.6, "113_1.jpg": 10 / 94.9, "100_1.jpg": None},
    "thyroid_cine": {"71_009.jpg": 10 / 92.8, "89_009.jpg": 10 / 81.1, "39_009.jpg": None},
}


@needs_text_reader
@pytest.mark.parametrize("name", REAL)
def test_real_screens(name: str) -> None:
    folder = Path(os.environ.get("USASSIST_DATA", "")) / name / "images"
    if "USASSIST_DATA" not in os.environ or not folder.is_dir():
        pytest.skip(f"USASSIST_DATA does not name a folder with {name}")
    for file_name, spacing_mm in REAL[name].items():
        screen = read_image(folder / file_name)
        answer = read_ruler(luma(screen), find_scan_area([screen]).xyxy_px)
        if spacing_mm is None:
            assert isinstance(answer, NoRuler), file_name
        else:
            assert isinstance(answer, RulerReading), file_name
            assert answer.spacing_rc_mm == pytest.approx((spacing_mm, spacing_mm), rel=0.01)


@pytest.mark.parametrize("parts", [2, 5])
def test_ticks_with_fainter_ones_between_them_are_not_all_alike(parts: int) -> None:
    screen = speckle()
    draw_ruler(screen, 72.0 / parts, level=24)
    draw_ruler(screen, 72.0)
    assert cause_of(screen) in (RulerCause.STEP_UNKNOWN, RulerCause.NO_READER)


def test_ticks_that_are_brighter_by_turns_are_not_all_alike() -> None:
    screen = speckle()
    draw_ruler(screen, 36.0, level=90)
    draw_ruler(screen, 72.0, level=230)
    assert cause_of(screen) in (RulerCause.STEP_UNKNOWN, RulerCause.NO_READER)


@needs_text_reader
@pytest.mark.parametrize(("text", "value"), [("12", 12.0), ("3", 3.0), ("Gain", None), ("MI", None), ("4.5 cm", None)])
def test_only_numbers_leave_the_text_reader(text: str, value: float | None) -> None:
    crop = np.zeros((40, 160), np.uint8)
    cv2.putText(crop, text, (8, 30), cv2.FONT_HERSHEY_SIMPLEX, 0.9, (220,), 2, cv2.LINE_AA)
    x, y, width, height = cv2.boundingRect(crop)
    (number,) = read_numbers([crop[y : y + height, x : x + width]])
    assert (None if number is None else number[0]) == value
