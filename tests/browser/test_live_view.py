"""What stands on the live page, where, and for how long; its settings, its keys, and its languages."""

from __future__ import annotations

import math
from typing import Any

import pytest
from gradio_client import Client
from PIL import Image

from tests.browser.conftest import NUMBER_PX, archived_marks
from usassist.records import ResultState
from usassist.words import languages, load_words

pytestmark = pytest.mark.browser

OWN_TEXT = "[...node.childNodes].filter((part) => part.nodeType === 3).map((part) => part.data.trim()).join('')"
# Every frame of the browser: texts that lie over the picture, with the state that the page shows.
WATCH_WORDS = """() => {
  window.over = [];
  const look = () => {
    const stage = document.querySelector('.us-stage').getBoundingClientRect();
    for (const node of document.querySelectorAll('body *')) {
      if (!node.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
      const text = OWN_TEXT;
      if (!text) continue;
      const box = node.getBoundingClientRect();
      const isBeside = box.right < stage.left + 8 || box.left > stage.right - 8;
      const isOver = !isBeside && box.bottom > stage.top + 8 && box.top < stage.bottom - 8;
      if (isOver) over.push([document.querySelector('.us').dataset.shown, text]);
    }
    requestAnimationFrame(look);
  };
  look();
}""".replace("OWN_TEXT", OWN_TEXT)
# Every frame of the browser: the number in the picture, and those in the texts.
WATCH_NUMBERS = """() => {
  window.numbers = [];
  const look = () => {
    const place = usassist.place;
    if (place) {
      const context = document.querySelector('.us canvas').getContext('2d');
      let number = 0;
      for (let bit = 0; bit < 16; bit += 1) {
        const [x, y] = [place.x + (bit + 0.5) * SIDE * place.scale, place.y + (240 - SIDE / 2) * place.scale];
        if (context.getImageData(x, y, 1, 1).data[0] > 127) number += 2 ** bit;
      }
      const text = (name) => Number(document.querySelector(`.us [data-at=${name}]`).textContent.replace(/\\D+/g, ''));
      numbers.push([number, text('frame'), text('table-frame'), usassist.shownFrameId]);
    }
    requestAnimationFrame(look);
  };
  look();
}""".replace("SIDE", str(NUMBER_PX))
# The least contrast of all texts, with its text: WCAG 2, against the colour that is behind the text.
LEAST_CONTRAST = """() => {
  const parse = (color) => { const m = color.match(/[\\d.]+/g).map(Number); return [m[0], m[1], m[2], m[3] ?? 1]; };
  const light = ([r, g, b]) => {
    const part = (c) => (c / 255 <= 0.03928 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4);
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3]));
  const behind = (node) => {
    const layers = [];
    for (let at = node; at; at = at.parentElement) layers.push(parse(getComputedStyle(at).backgroundColor));
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255]);
  };
  let least = [99, ''];
  for (const node of document.querySelectorAll('#us-page *')) {
    const text = OWN_TEXT;
    if (!text || !node.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    const box = node.getBoundingClientRect();
    if (box.width < 2 || box.height < 2) continue;
    const paper = behind(node);
    const [a, b] = [light(over(parse(getComputedStyle(node).color), paper)), light(paper)];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < least[0]) least = [ratio, text];
  }
  return least;
}""".replace("OWN_TEXT", OWN_TEXT)
GUTTER_PIXELS = """() => {
  const canvas = document.querySelector('.us canvas');
  const data = canvas.getContext('2d').getImageData(0, 0, 36, canvas.height).data;
  let count = 0;
  for (let i = 0; i < data.length; i += 4) count += data[i] > 90;
  return count;
}"""


def wait_word(page: Any, word: str) -> None:
    page.wait_for_function("word => document.querySelector('.us [data-at=word]').textContent === word", arg=word)


def settle(page: Any, frames: int = 10) -> None:
    page.wait_for_function(f"from => usassist.frames >= from + {frames}", arg=page.evaluate("usassist.frames"))


def test_no_word_lies_over_the_frame_but_the_state_that_forbids_looking(page: Any, stream: Any) -> None:
    words = {"finding": "1 FINDING", "no_finding": "NO FINDING", "no_result": "NO RESULT", "stale": "STALE"}
    wait_word(page, "1 FINDING")
    page.evaluate(WATCH_WORDS)
    ways = "no_result finding stale no_finding no_result no_finding stale finding"
    for state in ways.split():
        stream.state = ResultState(state)
        wait_word(page, words[state])
        settle(page)  # longer than the moment after which words come
    page.keyboard.press("f")
    wait_word(page, "FROZEN BY USER")
    stream.state = ResultState.NO_RESULT
    page.wait_for_function("usassist.state === 'no_result'")
    settle(page)
    page.keyboard.press("f")
    page.wait_for_function("document.querySelector('.us-veil b').textContent === 'NO RESULT'")
    over = {tuple(entry) for entry in page.evaluate("over")}
    reasons = ("a test asked for no_result", "a test asked for stale")
    assert {text for state, text in over if state not in ("no_result", "stale")} == set()
    assert {text for _, text in over} == {"NO RESULT", "STALE", *reasons}
    assert page.evaluate("getComputedStyle(document.querySelector('.us-veil')).transitionDuration") == "0s"


@pytest.mark.parametrize("frames", [150, pytest.param(1000, marks=pytest.mark.long)])
def test_picture_table_and_number_are_of_one_frame_in_every_moment(page: Any, stream: Any, frames: int) -> None:
    page.evaluate(WATCH_NUMBERS)
    page.wait_for_function(
        "last => usassist.lastFrameId > last", arg=page.evaluate("usassist.lastFrameId") + frames, timeout=90_000
    )
    numbers = page.evaluate("numbers")
    assert len({tuple(entry) for entry in numbers}) > frames / 3
    assert [entry for entry in numbers if len(set(entry)) != 1] == []


def test_the_head_says_what_kind_of_source_it_is_and_what_the_recorder_lost(page: Any, stream: Any) -> None:
    kind = page.locator("[data-at=kind]")
    for name, replayed, text in (
        ("live", False, "LIVE"),
        ("simulated", False, "SIMULATED"),
        ("clip", False, "CLIP"),
        ("simulated", True, "REPLAY · SIMULATED"),
        ("live", True, "REPLAY"),
    ):
        stream.kind, stream.replayed = name, replayed
        page.wait_for_function("text => document.querySelector('[data-at=kind]').textContent === text", arg=text)
        assert kind.is_visible()
    stream.kind, stream.replayed = "", False
    page.wait_for_function("document.querySelector('[data-at=kind]').textContent === ''")
    assert not kind.is_visible()  # what is not stated is not claimed


@pytest.mark.parametrize("width", [360, 390])
def test_nothing_is_cut_off_on_a_phone(page: Any, stream: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 780})
    wait_word(page, "1 FINDING")
    for code in languages():
        page.evaluate("code => usassist.set('language', code)", code)
        settle(page, 3)
        wide = page.evaluate(
            """width => [...document.querySelectorAll('#us-page *')]
            .filter(node => node.checkVisibility() && !node.closest('.visually-hidden, .us-unseen, .overflow-menu'))
            .filter(node => node.getBoundingClientRect().width > 0 && node.getBoundingClientRect().right > width + 1)
            .map(node => `${node.tagName} ${node.id} ${node.className} ${node.textContent.slice(0, 40)}`)""",
            width,
        )
        assert wide == [], code
        notice = page.get_by_text(load_words(code, "page")("notice")).first
        assert notice.is_visible()
        assert notice.evaluate("node => node.scrollWidth <= node.clientWidth + 1")
        assert notice.bounding_box()["y"] < 780
    assert page.locator(".us-stage").bounding_box()["height"] > 200


def test_the_largest_screens_are_used_and_their_texts_are_larger(page: Any) -> None:
    small = float(page.locator(".us-readouts").evaluate("node => parseFloat(getComputedStyle(node).fontSize)"))
    page.set_viewport_size({"width": 3840, "height": 2160})
    settle(page, 3)
    stage, side = page.locator(".us-stage").bounding_box(), page.locator(".us-side").bounding_box()
    assert stage["width"] * stage["height"] > 0.55 * 3840 * 2160
    assert side["x"] + side["width"] > 3780
    assert page.locator(".us-readouts").evaluate("node => parseFloat(getComputedStyle(node).fontSize)") > 1.5 * small


def test_settings_are_kept_when_the_page_is_loaded_again(page: Any, stream: Any) -> None:
    page.keyboard.press("o")
    page.keyboard.press("x")
    page.keyboard.press("+")
    page.keyboard.press("]")
    page.locator("#us-menu").click()
    page.get_by_label("light", exact=True).check()
    page.wait_for_function("!document.body.classList.contains('dark')")
    page.locator("#us-language input").click()
    page.get_by_role("option", name="한국어").click()
    page.wait_for_function("document.querySelector('#us-freeze').textContent.trim() === '정지'")  # from the server
    before = page.evaluate("[usassist.zoom, usassist.settings()]")
    page.reload()
    page.wait_for_function("window.usassist?.frames > 3")
    assert page.evaluate("[usassist.zoom, usassist.settings()]") == before
    assert before[0]["k"] == 1.25
    assert before[1] == ["ko", "light", 2.5]
    assert page.locator("#us-outline").get_attribute("aria-pressed") == "false"
    assert page.locator("#us-box").get_attribute("aria-pressed") == "true"
    assert not page.evaluate("document.body.classList.contains('dark')")
    page.wait_for_function("document.querySelector('.us [data-at=word]').textContent === '소견 1개'")
    page.wait_for_function("document.querySelector('#us-tab-about-button').textContent.trim() === '정보'")
    assert page.locator("html").get_attribute("lang") == "ko"
    assert not page.complaints


def test_the_page_works_where_the_browser_keeps_nothing(page: Any, panel: Any, stream: Any) -> None:
    page.add_init_script("Object.defineProperty(window, 'localStorage', { get() { throw new Error('denied'); } })")
    page.goto(panel.url)
    page.wait_for_function("window.usassist?.frames > 3")
    page.keyboard.press("x")
    assert page.locator("#us-box").get_attribute("aria-pressed") == "true"


def test_reasons_of_the_closed_list_are_translated_and_others_are_marked_as_english(page: Any, stream: Any) -> None:
    page.evaluate("usassist.set('language', 'de')")
    stream.state = ResultState.NO_RESULT
    wait_word(page, "KEIN ERGEBNIS")
    why = page.locator(".us [data-at=why]")
    page.wait_for_function("document.querySelector('.us [data-at=why]').lang === 'en'")
    assert why.inner_text() == "a test asked for no_result"
    stream.close()
    page.wait_for_function(
        "/^seit [0-9]+,[0-9] s kein Bild$/.test(document.querySelector('.us [data-at=why]').textContent)"
    )
    assert why.get_attribute("lang") == "de"


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_every_text_has_enough_contrast(page: Any, stream: Any, theme: str) -> None:
    page.evaluate("theme => usassist.set('theme', theme)", theme)
    page.locator("#us-menu").click()
    stream.recorder, stream.agreement = None, {"echogenicity": "kappa 0.40"}
    for state, word in (
        ("finding", "1 FINDING"),
        ("no_finding", "NO FINDING"),
        ("no_result", "NO RESULT"),
        ("stale", "STALE"),
    ):
        stream.state = ResultState(state)
        wait_word(page, word)
        settle(page, 8)
        assert page.evaluate(LEAST_CONTRAST)[0] >= 4.5, page.evaluate(LEAST_CONTRAST)
    stream.state = ResultState.FINDING
    wait_word(page, "1 FINDING")
    page.locator(".us canvas").focus()
    page.keyboard.press("Escape")  # the settings lie beside the frame, over the table
    page.keyboard.press("f")
    page.locator(".us-choose").click()
    settle(page, 3)
    assert page.evaluate(LEAST_CONTRAST)[0] >= 4.5, page.evaluate(LEAST_CONTRAST)


def test_everything_is_reached_by_the_keyboard_and_help_lists_the_keys(page: Any) -> None:
    reached = set()
    page.locator("body").focus()
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.dataset.at"))
    wanted = "help menu outline calipers box freeze scale snapshot full zoom_out zoom_in zoom_fit bookmark wrong missed"
    wanted += " transverse longitudinal right isthmus left"
    assert {f"us-{name}" for name in wanted.split()} <= reached
    assert "canvas" in reached
    for name in wanted.split():
        button = page.locator(f"#us-{name}")
        assert button.get_attribute("title") or name == "menu"
    page.locator(".us canvas").focus()
    page.keyboard.press("?")
    help_ = page.locator("[data-at=help]")
    assert help_.is_visible()
    assert help_.locator("kbd").count() >= 20
    page.keyboard.press("f")
    assert not page.evaluate("usassist.frozen")  # what is behind the help gets no keys
    page.keyboard.press("Escape")
    assert not help_.is_visible()


def test_wheel_keys_and_dragging_zoom_and_move_the_frame_and_a_key_resets_it(page: Any, stream: Any) -> None:
    box = page.locator(".us canvas").bounding_box()
    x, y = box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.5
    page.mouse.move(x, y)

    def under() -> float:
        place = page.evaluate("usassist.place")
        at: float = (x - box["x"] - place["x"]) / place["scale"]
        return at

    before = under()
    page.mouse.wheel(0, -400)
    page.wait_for_function("usassist.zoom.k > 2")
    assert under() == pytest.approx(before, abs=1.0)  # what is under the pointer stays there
    page.mouse.down()
    page.mouse.move(x + 50, y, steps=5)
    page.mouse.up()
    assert page.evaluate("usassist.zoom.x") < page.evaluate("0.6")
    assert not page.locator(".us-form").is_visible()  # a drag is no click
    left = page.evaluate("usassist.zoom.x")
    page.locator(".us canvas").focus()
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("usassist.zoom.x") < left
    assert page.locator(".us [data-at=zoom]").inner_text() == "2.7 ×"
    page.keyboard.press("0")
    assert page.evaluate("usassist.zoom") == {"k": 1, "x": 0.5, "y": 0.5}
    page.locator("#us-zoom_in").click()
    assert page.evaluate("usassist.zoom.k") == 1.25


def test_two_fingers_zoom(page: Any) -> None:
    page.evaluate("""() => {
      const stage = document.querySelector('.us-stage');
      const box = stage.getBoundingClientRect();
      const touch = (type, pointerId, x) => stage.dispatchEvent(new PointerEvent(type, {
        pointerId, pointerType: 'touch', clientX: box.x + x, clientY: box.y + 200, bubbles: true }));
      touch('pointerdown', 1, 300);
      touch('pointerdown', 2, 400);
      touch('pointermove', 2, 500);
      touch('pointerup', 2, 500);
      touch('pointerup', 1, 300);
    }""")
    assert page.evaluate("usassist.zoom.k") == pytest.approx(2.0, abs=0.01)
    assert not page.complaints


def test_depth_is_shown_beside_a_calibrated_frame_only(page: Any, stream: Any) -> None:
    settle(page, 3)
    assert page.evaluate(GUTTER_PIXELS) == 0
    stream.spacing_mm = 0.2
    page.wait_for_function(f"({GUTTER_PIXELS})() > 100")
    stream.spacing_mm = None
    page.wait_for_function(f"({GUTTER_PIXELS})() === 0")


def test_calipers_stand_at_the_ends_of_the_diameters_and_lines_outside_the_outline(page: Any, stream: Any) -> None:
    page.keyboard.press("f")
    frame_id = page.evaluate("usassist.shownFrameId")
    magenta = """([x, y, reach]) => {
      const place = usassist.place;
      const side = Math.round(reach * place.scale);
      const context = document.querySelector('.us canvas').getContext('2d');
      const [left, top] = [place.x + x * place.scale - side / 2, place.y + y * place.scale - side / 2];
      const data = context.getImageData(left, top, side, side).data;
      let count = 0;
      for (let i = 0; i < data.length; i += 4) count += data[i] > 180 && data[i + 1] < 90 && data[i + 2] > 180;
      return count;
    }"""
    middle = 160 + 40 * math.sin(frame_id / 20)
    just_inside = [middle + 34, 120, 3]
    assert page.evaluate(magenta, [middle + 40, 120, 8]) > 10  # the outline, and the mark of the caliper
    page.keyboard.press("c")
    assert page.locator("#us-calipers").get_attribute("aria-pressed") == "false"
    assert page.evaluate(magenta, just_inside) == 0
    page.keyboard.press("c")
    assert page.evaluate(magenta, [middle, 120 - 25, 8]) > 10


def test_another_tab_pauses_the_canvas_and_it_goes_on_afterwards(page: Any, stream: Any) -> None:
    page.get_by_role("tab", name="About").click()
    page.wait_for_function("document.querySelector('.us canvas').clientWidth === 0")
    assert page.get_by_text("Whoever holds the probe decides").is_visible()
    assert page.locator(".us-research").is_visible()
    frames, skipped = page.evaluate("usassist.frames"), page.evaluate("usassist.lastFrameId")
    page.wait_for_function("last => usassist.lastFrameId > last + 10", arg=skipped)
    assert page.evaluate("usassist.frames") <= frames + 1
    page.keyboard.press("f")
    assert not page.evaluate("usassist.frozen")  # what cannot be seen is not frozen
    page.get_by_role("tab", name="Live").click()
    settle(page, 5)
    assert page.evaluate("usassist.state") == "finding"


def test_a_snapshot_is_saved_and_the_page_measures_itself(page: Any, stream: Any) -> None:
    page.keyboard.press("f")
    shown = page.evaluate("usassist.shownFrameId")
    with page.expect_download() as download:
        page.keyboard.press("p")
    assert download.value.suggested_filename == f"usassist_{stream.session_id}_{shown}.png"
    assert Image.open(download.value.path()).text["frame_id"] == str(shown)  # type: ignore[attr-defined]
    stats = page.evaluate("usassist.stats()")
    assert stats["frames"] > 3
    assert stats["rate_hz"] > 0
    assert 0 < stats["latency_p50_ms"] <= stats["latency_p95_ms"] <= stats["latency_p99_ms"]


def test_full_screen_is_the_frame_with_its_state(page: Any) -> None:
    page.locator(".us canvas").focus()
    page.keyboard.press("Enter")
    page.wait_for_function("document.fullscreenElement?.dataset.at === 'view'")
    assert page.locator(".us-banner").is_visible()
    assert not page.evaluate("document.fullscreenElement.contains(document.querySelector('#us-freeze'))")
    page.keyboard.press("Enter")
    page.wait_for_function("document.fullscreenElement === null")


def test_a_program_reads_the_state_and_marks_through_the_client_of_gradio(panel: Any, stream: Any) -> None:
    client = Client(panel.root, headers=panel.login, verbose=False)
    state = client.predict(api_name="/state")
    assert (state["session_id"], state["state"], state["headline"]) == (stream.session_id, "finding", "1 FINDING")
    assert state["frame_id"] >= 0
    assert state["age_ms"] > 0
    found = client.predict(api_name="/nodules")
    assert found["frame_id"] >= state["frame_id"]
    assert [nodule["track_id"] for nodule in found["nodules"]] == [4]
    with archived_marks(panel.address) as wait_for_marks:
        asked = {"session_id": found["session_id"], "frame_id": found["frame_id"], "api_name": "/mark"}
        assert client.predict(kind="missed", **asked) == {"refused": ""}
        marks = wait_for_marks(1)
        assert "a mark is one of" in client.predict(kind="plane", **asked)["refused"]
    assert [(mark.frame_id, mark.kind) for mark in marks] == [(found["frame_id"], "missed")]
