"""Rulers without figures, whose ticks are known from the depth label elsewhere on the screen; drawn and phantom."""

from __future__ import annotations

import logging

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from tests.unit.sources.ruler_screens import ROI, draw_ruler, speckle
from usassist.phantom import PhantomConfig, PhantomScanner
from usassist.sources.pixels import luma
from usassist.sources.ruler import NoRuler, RulerCause, RulerReading, figure_patches, read_ruler
from usassist.sources.ruler.label import find_labels
from usassist.sources.ruler.text_reader import has_text_reader
from usassist.sources.scale_watch import ScaleWatch

UInt8Array = npt.NDArray[np.uint8]
Answer = RulerReading | NoRuler

pytestmark = pytest.mark.skipif(not has_text_reader(), reason="the extra ocr is not installed")


def write(screen: UInt8Array, text: str, at: tuple[int, int] = (520, 450), level: int = 220) -> None:
    cv2.putText(screen, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.6, (level,), 1, cv2.LINE_AA)


def ticks_of(step_px: float, every: int, *texts: str) -> UInt8Array:
    screen = speckle()
    draw_ruler(screen, step_px, every=every)
    for number, text in enumerate(texts):
        write(screen, text, (8, 120 + 60 * number))
    return screen


def phantom(*labels: tuple[str, str], layout: str = "wide", seed: int = 3) -> tuple[Answer, float]:
    """The answer on a screen of 40 mm depth whose ruler has no figures, and its scale, mm per px."""
    config = PhantomConfig(
        seed=seed,
        layout=layout,  # type: ignore[arg-type]
        depth_mm=40.0,
        ruler_figures=False,
        labels=labels,
    )
    scanner = PhantomScanner(config)
    frame = scanner.render(0.0)
    assert frame.spacing_rc_mm is not None
    return read_ruler(luma(frame.screen), scanner.scan_xyxy_px), frame.spacing_rc_mm[0]


@pytest.mark.parametrize("layout", ["wide", "left_panel", "compact"])
@pytest.mark.parametrize(
    "label",
    [
        ("4 cm", "below"),
        ("4.0 cm", "framed"),
        ("Depth 40 mm", "side"),
        ("D 4.0cm", "banner"),
        ("Tiefe: 4,0 cm", "side"),
        ("40 mm", "framed"),
    ],
)
def test_the_scale_is_that_of_the_ticks(label: tuple[str, str], layout: str) -> None:
    answer, mm = phantom(label, layout=layout)
    assert isinstance(answer, RulerReading), answer
    assert answer.rulers[0].by == "label"
    assert answer.spacing_rc_mm == pytest.approx((mm, mm), rel=0.005)


def test_a_label_in_a_dark_corner_of_the_image_is_read() -> None:
    screen = speckle()
    draw_ruler(screen, 18.0, every=5)
    screen[370:420, 160:260] = 0
    write(screen, "4 cm", (170, 410))
    answer = read_ruler(screen, ROI)
    assert isinstance(answer, RulerReading), answer
    assert answer.rulers[0].by == "label"


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ((("7 cm", "framed"),), "does not fit"),
        ((("2.5 cm", "framed"),), "does not fit"),
        ((("4.6 cm", "framed"),), "does not fit"),
        ((("4 cm", "below"), ("8 cm", "framed")), "several depth labels"),
        ((("4 cm", "below"), ("3.5 cm", "side")), "several depth labels"),
        ((("D1 12.3 mm", "side"), ("12 MHz", "framed"), ("75 %", "below")), "no figures"),
        ((("D1 4.0 cm", "side"), ("+ 4.0 cm", "side"), ("4.00 cm", "below")), "no figures"),
        ((("Dist 4.0 cm", "side"), ("4.0 cm/s", "below"), ("L 40 mm", "framed")), "no figures"),
        ((("D14.0 cm", "side"), ("D140 mm", "below"), ("45 cm2", "framed")), "no figures"),
        ((), "no figures"),
    ],
)
def test_a_label_that_is_wrong_or_none_leaves_no_scale(labels: tuple[tuple[str, str], ...], reason: str) -> None:
    answer, _ = phantom(*labels)
    assert isinstance(answer, NoRuler), answer
    assert answer.cause is RulerCause.STEP_UNKNOWN
    assert reason in answer.reason


@pytest.mark.parametrize(
    ("step_px", "every", "text", "tick_mm"),
    [
        (18.0, 5, "4 cm", 2.0),
        (18.0, 5, "20 cm", 10.0),
        (18.0, 5, "2.0 cm", 1.0),
        (40.0, 2, "4.5 cm", 5.0),
        (40.0, 1, "9 cm", 10.0),
        (40.0, 1, "4.5 cm", 5.0),
    ],
)
def test_the_label_decides_between_steps(step_px: float, every: int, text: str, tick_mm: float) -> None:
    answer = read_ruler(ticks_of(step_px, every, text), ROI)
    assert isinstance(answer, RulerReading), answer
    assert answer.rulers[0].tick_mm == tick_mm
    assert answer.spacing_rc_mm[0] == pytest.approx(tick_mm / step_px, rel=0.004)


def test_the_name_of_a_measurement_far_to_the_left_of_its_value_is_seen() -> None:
    named, depth = ticks_of(18.0, 5), ticks_of(18.0, 5)
    for screen, word in ((named, "Dist"), (depth, "Depth")):
        write(screen, word, (8, 200))
        write(screen, "4.0 cm", (80, 200))
    assert find_labels(named, ROI) == []
    assert [label.depth_mm for label in find_labels(depth, ROI)] == [40.0]


def test_a_label_without_ticks_gives_no_scale() -> None:
    screen = speckle()
    write(screen, "4.0 cm")
    answer = read_ruler(screen, ROI)
    assert isinstance(answer, NoRuler)
    assert answer.cause is RulerCause.NO_RULER


def test_a_single_figure_that_contradicts_the_label_leaves_no_scale() -> None:
    right, wrong = ticks_of(18.0, 5, "4 cm"), ticks_of(18.0, 5, "4 cm")
    write(right, "3", (518, 67 + 15 * 18))
    write(wrong, "7", (518, 67 + 15 * 18))
    assert isinstance(read_ruler(right, ROI), RulerReading)
    answer = read_ruler(wrong, ROI)
    assert isinstance(answer, NoRuler)
    assert answer.cause is RulerCause.FIGURES


def test_ticks_that_are_alike_are_no_centimetres_where_the_label_says_half() -> None:
    assert isinstance(read_ruler(ticks_of(80.0, 1), ROI), RulerReading)
    assert isinstance(read_ruler(ticks_of(80.0, 1, "4.5 cm"), ROI), RulerReading)
    answer = read_ruler(ticks_of(80.0, 1, "2.3 cm"), ROI)
    assert isinstance(answer, NoRuler)
    assert answer.cause is RulerCause.DISAGREE


def test_without_the_text_reader_there_is_no_label(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("usassist.sources.ruler.text_reader._weights", lambda: None)
    answer = read_ruler(ticks_of(18.0, 5, "4 cm"), ROI)
    assert isinstance(answer, NoRuler)
    assert answer.cause is RulerCause.NO_READER


def test_another_label_ends_the_scale_while_the_ticks_stay() -> None:
    shallow, deep = ticks_of(40.0, 1, "4.5 cm"), ticks_of(40.0, 1, "9 cm")
    watch = ScaleWatch("auto", None)
    before = watch.claim(ROI, 0, lambda: shallow)
    after = watch.claim(ROI, 300_000_000, lambda: deep)
    assert before is not None
    assert after is not None
    assert after.spacing_rc_mm[0] == pytest.approx(2 * before.spacing_rc_mm[0], rel=0.001)
    answer = read_ruler(shallow, ROI)
    assert isinstance(answer, RulerReading)
    assert len(figure_patches(shallow, ROI, answer)) == 1


def test_no_text_of_the_screen_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    screen = ticks_of(18.0, 5, "Doe John", "4 cm")
    with caplog.at_level(logging.DEBUG):
        claim = ScaleWatch("auto", None).claim(ROI, 0, lambda: screen)
    assert claim is not None
    assert "Doe" not in caplog.text
