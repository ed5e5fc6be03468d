from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from usassist.phantom import PhantomConfig, PhantomScanner
from usassist.sources.scan_check import ScanCheck
from usassist.sources.screen import Screen

UInt8Array = npt.NDArray[np.uint8]

CONFIG = PhantomConfig(seed=5, screen_hw_px=(480, 640))


@pytest.fixture(scope="module")
def screens() -> list[UInt8Array]:
    scanner = PhantomScanner(CONFIG)
    return [scanner.render(float(index)).screen for index in range(8)]


@pytest.fixture
def settled(screens: list[UInt8Array]) -> ScanCheck:
    check = ScanCheck(PhantomScanner(CONFIG).scan_xyxy_px)
    for screen in screens:
        assert check.check(Screen(screen)).ok
    return check


def test_dark_and_black_images_are_ok(settled: ScanCheck, screens: list[UInt8Array]) -> None:
    x1, y1, x2, y2 = PhantomScanner(CONFIG).scan_xyxy_px
    for share in (0.3, 0.05, 0.0) * 8:
        screen = screens[0].copy()
        screen[y1:y2, x1:x2] = (screen[y1:y2, x1:x2] * share).astype(np.uint8)
        assert settled.check(Screen(screen)).ok


def test_another_depth_is_seen_at_the_second_look_and_found_when_looks_agree(settled: ScanCheck) -> None:
    deeper = PhantomScanner(dataclasses.replace(CONFIG, depth_mm=52.0))
    verdicts = [settled.check(Screen(deeper.render(float(index)).screen)) for index in range(5)]
    assert [verdict.ok for verdict in verdicts] == [True, False, False, False, False]
    assert verdicts[1].found is None
    found = verdicts[-1].found
    assert found is not None
    assert np.abs(np.subtract(found, deeper.scan_xyxy_px)).max() <= 12
    assert verdicts[-1].reason


def test_a_pointer_beside_the_image_changes_nothing(settled: ScanCheck, screens: list[UInt8Array]) -> None:
    x2, y1 = PhantomScanner(CONFIG).scan_xyxy_px[2], PhantomScanner(CONFIG).scan_xyxy_px[1]
    for _ in range(4):
        screen = screens[0].copy()
        cv2.circle(screen, (x2 + 12, y1 + 120), 6, (255, 255, 255), -1)
        assert settled.check(Screen(screen)).ok


def test_a_menu_over_the_image_is_no_scan_area(settled: ScanCheck, screens: list[UInt8Array]) -> None:
    menu = np.full_like(screens[0], 60)
    for line in range(18):
        cv2.putText(menu, f"PRESET {line}", (60, 30 + 24 * line), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (230, 230, 230), 1)
    verdicts = [settled.check(Screen(menu)) for _ in range(3)]
    assert not verdicts[-1].ok
    assert verdicts[-1].found is None


def test_another_screen_size_is_reported_at_once(settled: ScanCheck) -> None:
    verdict = settled.check(Screen(np.zeros((600, 800, 3), np.uint8)))
    assert not verdict.ok
    assert "800 x 600" in verdict.reason


def test_the_old_layout_is_in_order_again_when_it_returns(settled: ScanCheck, screens: list[UInt8Array]) -> None:
    deeper = PhantomScanner(dataclasses.replace(CONFIG, depth_mm=52.0))
    for index in range(3):
        settled.check(Screen(deeper.render(float(index)).screen))
    assert settled.check(Screen(screens[0])).ok
