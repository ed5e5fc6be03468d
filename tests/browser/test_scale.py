"""The scale by two points, as a person sets it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.conftest import archived_marks
from tests.browser.test_marks import said
from usassist.bus import MarkKind

pytestmark = pytest.mark.browser

FORM = ".us [data-at=scale-form]"
SETTLED = "(canvas => canvas.height === canvas.clientHeight)(document.querySelector('.us canvas'))"
TOLD = ".us [data-at=scale-said]"


def place(page: Any, x_px: float, y_px: float) -> tuple[float, float]:
    """Where a point of the frame (320 x 240 px) is on the page."""
    page.wait_for_function(SETTLED)
    box = page.locator(".us canvas").bounding_box()
    place = page.evaluate("usassist.place")
    return box["x"] + place["x"] + x_px * place["scale"], box["y"] + place["y"] + y_px * place["scale"]


def click(page: Any, x_px: float, y_px: float) -> None:
    page.mouse.click(*place(page, x_px, y_px))


def told(page: Any, words: str) -> str:
    page.wait_for_function(f"words => document.querySelector('{TOLD}').textContent.includes(words)", arg=words)
    text: str = page.locator(TOLD).inner_text()
    return text


def test_two_clicks_and_a_distance_show_the_scale_and_confirming_sends_it(page: Any, panel: Any, stream: Any) -> None:
    with archived_marks(panel.address) as wait_for_marks:
        page.keyboard.press("s")
        assert page.evaluate("usassist.frozen")
        shown = int(page.locator(".us [data-at=frame]").inner_text())
        told(page, "Click the first point.")
        click(page, 60, 30)
        told(page, "Click the second point.")
        click(page, 60, 190)
        told(page, "Type their distance.")
        assert page.locator(".us [data-at=scale-use]").is_disabled()
        page.keyboard.type("32")
        assert float(told(page, "mm per px").split()[0]) == pytest.approx(0.2, abs=0.002)
        page.keyboard.press("Enter")
        assert said(page, "scale set on frame", "mm per px").startswith(f"scale set on frame {shown}: ")
        (mark,) = wait_for_marks(1)
    assert (mark.kind, mark.frame_id, mark.distance_mm) == (MarkKind.SCALE, shown, 32.0)
    for point, wanted in zip(mark.points_xy_px, ((60, 30), (60, 190)), strict=True):
        assert point == pytest.approx(wanted, abs=1.0)
    assert not page.locator(FORM).is_visible()
    assert not page.complaints


def test_arrow_keys_move_the_last_point_by_a_pixel_and_a_click_moves_the_nearer_one(page: Any, panel: Any) -> None:
    with archived_marks(panel.address) as wait_for_marks:
        page.keyboard.press("s")
        click(page, 60, 30)
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowDown")
        click(page, 60, 150)
        page.locator(".us [data-at=scale-mm]").fill("32")
        click(page, 60, 192)
        told(page, "over 160 px")
        page.get_by_role("button", name="Use this scale").click()
        said(page, "scale set on frame")
        (mark,) = wait_for_marks(1)
    assert [point[1] for point in mark.points_xy_px] == pytest.approx([32, 192], abs=1.0)


def test_a_line_that_is_too_short_cannot_be_confirmed(page: Any) -> None:
    page.keyboard.press("s")
    click(page, 60, 30)
    click(page, 60, 50)
    page.keyboard.type("10")
    told(page, "choose two that are 40 px apart or more")
    assert page.locator(".us [data-at=scale-use]").is_disabled()


def test_escape_and_unfreezing_end_it(page: Any) -> None:
    page.keyboard.press("s")
    page.keyboard.press("Escape")
    assert not page.locator(FORM).is_visible()
    page.keyboard.press("s")
    click(page, 60, 30)
    page.keyboard.press("f")
    page.wait_for_function(f"document.querySelector('{FORM}').hidden")


def test_a_scale_that_the_stream_does_not_take_is_said_not_to_be_set(page: Any, stream: Any) -> None:
    stream.takes_post = False
    page.keyboard.press("s")
    click(page, 60, 30)
    click(page, 60, 190)
    page.keyboard.type("32")
    told(page, "mm per px")
    page.keyboard.press("Enter")
    said(page, "the scale was not set: no answer from the stream")


def test_why_there_is_no_scale_is_shown(page: Any, stream: Any) -> None:
    stream.scale_note = "no ruler was found beside the image"
    page.wait_for_function(
        "document.querySelector('.us [data-at=scale-now]').textContent === 'no ruler was found beside the image'"
    )
