"""The window in each of its states, against pictures that were looked at; ``make golden-pictures`` draws them again."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.golden.overlay.make import difference, read
from tests.golden.overlay.scenes import CAROTID, FOLDER, GOLDEN, HW, SCENES, render
from usassist.sinks.overlay.bars import HEADLINE
from usassist.sinks.overlay.layout import window_layout
from usassist.sinks.overlay.nodules import Look
from usassist.sinks.overlay.side import SIZE
from usassist.sinks.overlay.text import CAP, Pen
from usassist.words import languages, load_words

MOST = 30.0
"""Of :func:`difference`; a picture that is moved by half a pixel, as by other hinting, differs by 25."""

_MINUTE_PX = 3000.0 * np.tan(np.deg2rad(1 / 60)) / 0.2767
"""A minute of arc at three metres, px of a screen of 24 inches and 1920 x 1080 px."""


@pytest.mark.parametrize("name", GOLDEN)
def test_a_state_looks_as_it_did_when_it_was_looked_at(name: str) -> None:
    assert difference(render(name), read(name)) < MOST


def test_the_golden_pictures_are_small_files() -> None:
    assert sum(path.stat().st_size for path in FOLDER.glob("*.png")) <= 200_000


def test_the_comparison_notices_what_it_is_for() -> None:
    picture, golden = render("finding"), read("finding")
    label = np.s_[190:250, 490:660]
    for step in ((2, 0), (0, 2)):
        moved = picture.copy()
        moved[label] = np.roll(picture[label], step, axis=(0, 1))
        assert difference(moved, golden) > MOST
    assert difference(render("finding", look=Look(line_px=3.0)), golden) > MOST
    assert difference(render("finding", look=Look(calipers=False)), golden) > MOST
    half = cv2.warpAffine(picture, np.array([[1, 0, 0.5], [0, 1, 0]], np.float32), picture.shape[1::-1], borderMode=1)
    assert difference(np.asarray(half, np.uint8), golden) < MOST


def test_no_two_states_have_the_same_sign() -> None:
    signs = {name: render(name)[:50, :50] for name in SCENES if name not in ("cut", "uncalibrated", "building", "help")}
    forms = {name: cv2.cvtColor(sign, cv2.COLOR_RGB2GRAY) < 60 for name, sign in signs.items()}
    for one, form in forms.items():
        for other, other_form in forms.items():
            assert one == other or (form != other_form).mean() > 0.04, f"{one} and {other} differ by colour alone"


@pytest.mark.parametrize("language", languages())
def test_the_state_is_read_at_three_metres(language: str) -> None:
    """ISO 9241-303: 16 minutes of arc at least, 20 to 22 preferred, for the height of capital letters."""
    words = load_words(language, "window")
    pen = Pen(window_layout((1080, 1920), HW, None).unit)
    for key, text in words.texts.items():
        if key.startswith("state."):
            headline = words(key, count=12, domain=words("domain.thyroid"))
            size = pen.size_that_fits(headline, 960 - 100, HEADLINE, 700)
            assert pen.px(size) * CAP >= 16 * _MINUTE_PX, text
    assert pen.px(HEADLINE) * CAP >= 20 * _MINUTE_PX
    assert pen.px(SIZE) * CAP >= 16 * _MINUTE_PX


@pytest.mark.parametrize("hw", [(1080, 1920), (540, 960), (900, 700)])
def test_a_round_carotid_is_round_on_the_screen(hw: tuple[int, int]) -> None:
    picture = render("no_finding", hw)
    x1, y1, x2, y2 = window_layout(hw, HW, (0.1, 0.1)).image_xyxy_px
    image = picture[y1:y2, x1:x2, 0]
    scale = (x2 - x1) / HW[1]
    x, y, radius, *_ = (value * scale for value in CAROTID)
    reach = round(1.3 * radius)
    dark = image[round(y) - reach : round(y) + reach, round(x) - reach : round(x) + reach] < 40
    height, width = np.ptp(np.nonzero(dark.any(axis=1))[0]) + 1, np.ptp(np.nonzero(dark.any(axis=0))[0]) + 1
    assert abs(height - width) <= 2
    assert width == pytest.approx(2 * radius, abs=3)
