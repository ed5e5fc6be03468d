"""Screens whose ruler must not be believed: stretched, of two views, half hidden, cropped; on phantom screens."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from tests.unit.sources.ruler_screens import ROI, draw_ruler, speckle
from usassist.phantom import PhantomConfig, PhantomScanner
from usassist.sources.pixels import luma
from usassist.sources.ruler import NoRuler, RulerCause, RulerReading, read_ruler
from usassist.sources.ruler.across import has_two_views
from usassist.sources.ruler.text_reader import has_text_reader

UInt8Array = npt.NDArray[np.uint8]
Roi = tuple[int, int, int, int]

needs_text_reader = pytest.mark.skipif(not has_text_reader(), reason="the extra ocr is not installed")
GEOMETRIES = ("linear", "convex")


@cache
def phantom(geometry: str) -> tuple[UInt8Array, Roi, float]:
    """A screen, its scan area, and its scale in mm per px."""
    scanner = PhantomScanner(
        PhantomConfig(seed=3, screen_hw_px=(720, 1280), geometry=geometry, layout="wide")  # type: ignore[arg-type]
    )
    return luma(scanner.render(0.0).screen), scanner.scan_xyxy_px, scanner.spacing_rc_mm[0]


def causes(screen: UInt8Array, roi: Roi) -> tuple[RulerCause, str]:
    answer = read_ruler(screen, roi)
    assert isinstance(answer, NoRuler), answer
    return answer.cause, answer.reason


@needs_text_reader
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_the_screen_as_it_is_has_its_scale(geometry: str) -> None:
    screen, roi, mm = phantom(geometry)
    answer = read_ruler(screen, roi)
    assert isinstance(answer, RulerReading)
    assert answer.spacing_rc_mm == pytest.approx((mm, mm), rel=0.005)


@needs_text_reader
@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("stretch", [0.75, 0.9, 0.95, 1.05, 1.1, 1.25, 4 / 3])
def test_a_stretched_screen_with_rulers_in_both_directions_has_no_scale(geometry: str, stretch: float) -> None:
    screen, (x1, y1, x2, y2), _ = phantom(geometry)
    method = cv2.INTER_AREA if stretch < 1 else cv2.INTER_LINEAR
    stretched = np.asarray(cv2.resize(screen, None, fx=stretch, fy=1.0, interpolation=method), np.uint8)
    cause, _ = causes(stretched, (round(x1 * stretch), y1, round(x2 * stretch), y2))
    assert cause in (RulerCause.DISAGREE, RulerCause.FIGURES)


def test_rulers_that_do_not_fit_are_named() -> None:
    screen = speckle()
    draw_ruler(screen, 72.0)
    turned = np.ascontiguousarray(screen.T)
    draw_ruler(turned, 79.0, x=50, first_px=166.0, last_px=480.0)
    cause, reason = causes(np.ascontiguousarray(turned.T), ROI)
    assert (cause, reason.split(":")[1]) == (RulerCause.DISAGREE, " a stretched screen, or two views")


@needs_text_reader
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_two_views_of_which_one_has_a_ruler_have_no_scale(geometry: str) -> None:
    screen, (x1, y1, x2, y2), _ = phantom(geometry)
    small = cv2.resize(screen[y1:y2, x1:x2], None, fx=0.7, fy=0.7, interpolation=cv2.INTER_AREA)
    width = x2 - x1
    both = np.full((screen.shape[0], screen.shape[1] + width), screen[-1, -1], np.uint8)
    both[:, width:] = screen
    left = width + x1 - 60 - small.shape[1]
    both[y1 : y1 + small.shape[0], left : left + small.shape[1]] = small
    cause, reason = causes(both, (left, y1, width + x2, y2))
    assert (cause, "only one of them has a ruler" in reason) == (RulerCause.DISAGREE, True)
    assert not has_two_views(screen[y1:y2, x1:x2])


def test_two_views_with_rulers_that_agree_keep_their_scale() -> None:
    screen = speckle()
    draw_ruler(screen, 72.0)
    draw_ruler(screen, 72.0, x=140)
    screen[60:420, 315:325] = 0
    assert has_two_views(screen[60:420, 160:480])
    answer = read_ruler(screen, ROI)
    assert isinstance(answer, RulerReading)
    assert answer.spacing_rc_mm[0] == pytest.approx(10 / 72.0, rel=0.004)


def test_a_shadow_below_the_surface_does_not_make_two_views() -> None:
    screen = speckle()
    screen[100:420, 300:340] = 0
    assert not has_two_views(screen[60:420, 160:480])


@needs_text_reader
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_a_ruler_that_is_hidden_or_cut_off_has_no_scale(geometry: str) -> None:
    screen, (x1, y1, x2, y2), _ = phantom(geometry)
    half = screen.copy()
    half[(y1 + y2) // 2 :, x2:] = 0
    assert causes(half, (x1, y1, x2, y2))[0] is RulerCause.HIDDEN
    cropped = np.ascontiguousarray(screen[y1:y2, x1:x2])
    assert causes(cropped, (0, 0, x2 - x1, y2 - y1))[0] is RulerCause.NO_RULER
