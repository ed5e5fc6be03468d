"""A window that Qt does not paint is opened again; without Qt."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from usassist.sinks.overlay import window as window_module

CANVAS = np.full((540, 960, 3), 18, np.uint8)
BLACK, PAINTED = (0, 0, 0), (18, 18, 18)


class Desk:
    """A desktop: what is in the corner of the window, how often one was opened, and what time it is."""

    def __init__(self) -> None:
        self.corner: tuple[int, int, int] | None = BLACK
        self.painted_from = 1  # opening
        self.opened = self.asked = 0
        self.now_s = 100.0
        self.work_area: tuple[int, int, int, int] | None = None

    def open(self, *_: object) -> None:
        self.opened += 1

    def pixel_rgb(self, x: int, y: int) -> tuple[int, int, int] | None:
        assert (x, y) == (959, 539)
        self.asked += 1
        return PAINTED if self.corner is not None and self.opened >= self.painted_from else self.corner

    def run(self, window: window_module._Window, seconds: float) -> None:
        for _ in range(round(seconds / 0.05)):
            self.now_s += 0.05
            window.check_painted(CANVAS)


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    made = Desk()
    nothing = lambda *_: None  # noqa: E731
    names = ("WINDOW_NORMAL", "WINDOW_FREERATIO", "WINDOW_GUI_NORMAL", "WINDOW_FULLSCREEN", "WND_PROP_FULLSCREEN")
    cv2 = SimpleNamespace(
        namedWindow=made.open,
        getWindowImageRect=lambda _: (0, 0, 960, 540),
        **dict.fromkeys(("setWindowProperty", "resizeWindow", "moveWindow", "destroyWindow"), nothing),
        **dict.fromkeys(names, 0),
    )
    monkeypatch.setattr(window_module, "cv2", cv2)
    monkeypatch.setattr(window_module, "time", SimpleNamespace(monotonic=lambda: made.now_s))
    monkeypatch.setattr(window_module, "desktop_hw_px", lambda: (540, 960))
    monkeypatch.setattr(window_module, "work_area_xywh_px", lambda: made.work_area)
    monkeypatch.setattr(window_module, "pixel_rgb", made.pixel_rgb)
    return made


def test_a_painted_window_is_left_alone_and_not_looked_at_again(desk: Desk) -> None:
    desk.run(window_module._Window(is_full=False), 10.0)
    assert (desk.opened, desk.asked) == (1, 1)


def test_a_window_that_stays_empty_is_opened_again_until_it_is_painted(desk: Desk) -> None:
    desk.painted_from = 3
    window = window_module._Window(is_full=True)
    desk.run(window, 0.9)
    assert desk.opened == 1
    desk.run(window, 10.0)
    assert desk.opened == 3
    asked = desk.asked
    desk.run(window, 10.0)
    assert desk.asked == asked


def test_it_is_not_opened_again_for_ever(desk: Desk) -> None:
    desk.painted_from = 1000
    desk.run(window_module._Window(is_full=False), 60.0)
    assert desk.opened == 5


def test_nothing_is_done_where_a_window_manager_has_the_screen_or_it_cannot_be_read(desk: Desk) -> None:
    desk.corner = None
    desk.painted_from = 1000
    desk.run(window_module._Window(is_full=False), 5.0)
    assert (desk.opened, desk.asked) == (1, 1)
    desk.corner, desk.work_area = BLACK, (0, 0, 960, 500)
    desk.run(window_module._Window(is_full=False), 5.0)
    assert (desk.opened, desk.asked) == (2, 1)
