"""The page as a person sees it, in a real browser."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest

from usassist.bus import PointBody
from usassist.records import ResultState

pytestmark = pytest.mark.browser

# Magenta occurs in no ultrasound frame, and the stream's label has that colour.
MAGENTA_PIXELS = """() => {
  const canvas = document.querySelector('.us canvas');
  const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  let count = 0;
  for (let i = 0; i < data.length; i += 4) count += data[i] > 180 && data[i + 1] < 90 && data[i + 2] > 180;
  return count;
}"""
GREY_PIXELS = MAGENTA_PIXELS.replace(
    "data[i] > 180 && data[i + 1] < 90 && data[i + 2] > 180", "data[i] > 15 && data[i] === data[i + 1]"
)
WORDS = {"finding": "1 FINDING", "no_finding": "NO FINDING", "no_result": "NO RESULT", "stale": "STALE"}


def shows(page: Any, state: str) -> None:
    """Wait until banner and canvas show this state."""
    page.wait_for_function(
        "word => document.querySelector('.us [data-at=word]').textContent === word", arg=WORDS[state]
    )
    assert page.evaluate("usassist.state") == state


def test_the_page_shows_frames_and_asks_nobody_else(page: Any, panel: Any, stream: Any) -> None:
    page.wait_for_function("from => usassist.frames > from + 10", arg=page.evaluate("usassist.frames"))
    assert page.evaluate("usassist.sessionId") == stream.session_id
    assert page.evaluate("usassist.fps") > 0
    assert page.evaluate(GREY_PIXELS) > 10_000
    assert page.get_by_text("Research use only. Not a medical device.").is_visible()
    own = urlsplit(panel.url).netloc
    elsewhere = [
        url for url in page.asked if urlsplit(url).scheme not in ("blob", "data") and urlsplit(url).netloc != own
    ]
    assert not elsewhere
    assert not page.complaints
    assert any(url.endswith("/live") for url in page.asked)


def test_outlines_are_on_the_canvas_only_with_a_finding(page: Any, stream: Any) -> None:
    for state in ("finding", "no_finding", "finding", "no_result", "finding", "stale"):
        stream.state = ResultState(state)
        shows(page, state)
        assert (page.evaluate(MAGENTA_PIXELS) > 100) is (state == "finding"), state
        listed = page.locator(".us tbody tr").count()
        assert listed == (1 if state == "finding" else 0)
        covered = page.locator(".us-veil").evaluate("node => getComputedStyle(node).visibility")
        assert covered == ("visible" if state in ("no_result", "stale") else "hidden")


def test_no_result_covers_the_frame_and_says_why(page: Any, stream: Any) -> None:
    stream.state = ResultState.NO_RESULT
    page.wait_for_function("document.querySelector('.us-veil b').textContent === 'NO RESULT'")
    assert page.locator(".us-veil span").inner_text() == "a test asked for no_result"


def test_an_engine_that_abstains_is_named_and_counted_apart(page: Any, stream: Any) -> None:
    stream.abstains, stream.state = True, ResultState.NO_RESULT
    page.wait_for_function("document.querySelector('.us [data-at=word]').textContent === 'NOT THYROID'")
    page.wait_for_function("document.querySelector('.us-veil b').textContent === 'NOT THYROID'")
    assert page.evaluate("usassist.state") == "no_result"
    assert page.locator(".us-veil span").inner_text() == "no result: not thyroid (0.03 < 0.50)"
    assert page.locator(".us tbody tr").count() == 0
    assert page.evaluate(MAGENTA_PIXELS) == 0
    assert page.locator("[data-at=table-note]").inner_text() == "NOT THYROID: nothing is listed."
    page.wait_for_function("document.querySelector('[data-at=causes]').textContent.includes('out of domain')")


def test_silence_is_no_result_within_a_second_and_a_half(page: Any, stream: Any) -> None:
    shows(page, "finding")
    page.evaluate("""() => {
      window.times = { frame: 0, word: null };
      let frames = -1;
      setInterval(() => {
        if (usassist.frames !== frames) {
          frames = usassist.frames;
          Object.assign(times, { frame: performance.now(), word: null });
        }
        const word = document.querySelector('.us [data-at=word]').textContent;
        if (word === 'NO RESULT' && times.word === null) times.word = performance.now();
      }, 10);
    }""")
    stream.close()
    page.wait_for_function("times.word !== null")
    assert page.evaluate("times.word - times.frame") < 1500
    assert page.evaluate(MAGENTA_PIXELS) == 0
    assert page.locator(".us [data-at=why]").inner_text().startswith("no frame for")


def test_the_page_outlives_its_server(page: Any, panel: Any, stream: Any) -> None:
    panel.stop()
    try:
        shows(page, "no_result")
        page.wait_for_function(
            "document.querySelector('.us [data-at=why]').textContent.startsWith('no connection to the stream for')"
        )
        assert page.evaluate(MAGENTA_PIXELS) == 0
    finally:
        panel.start()
    shows(page, "finding")
    page.wait_for_function(f"({MAGENTA_PIXELS})() > 100")


def test_controls_work_from_the_keyboard(page: Any) -> None:
    shows(page, "finding")
    page.keyboard.press("o")
    page.wait_for_function(f"({MAGENTA_PIXELS})() === 0")
    page.get_by_role("button", name="Box").focus()
    page.keyboard.press("Enter")
    page.wait_for_function(f"({MAGENTA_PIXELS})() > 100")
    assert page.get_by_role("button", name="Outline").get_attribute("aria-pressed") == "false"
    assert page.get_by_role("button", name="Box").get_attribute("aria-pressed") == "true"


def test_a_frozen_frame_says_so_and_stays(page: Any, stream: Any) -> None:
    shows(page, "finding")
    page.keyboard.press("f")
    assert page.locator(".us [data-at=word]").inner_text() == "FROZEN BY USER"
    table = page.locator(".us [data-at=table-frame]").inner_text()
    stream.state = ResultState.NO_RESULT
    page.wait_for_function("usassist.state === 'no_result'")
    page.wait_for_function("from => usassist.frames > from + 10", arg=page.evaluate("usassist.frames"))
    assert page.locator(".us [data-at=live]").inner_text() == "live now: NO RESULT"
    assert page.locator(".us [data-at=table-frame]").inner_text() == table
    assert page.evaluate(MAGENTA_PIXELS) > 100
    page.keyboard.press("f")
    shows(page, "no_result")
    assert page.evaluate(MAGENTA_PIXELS) == 0


def test_sizes_come_in_millimetres_only_when_calibrated(page: Any, stream: Any) -> None:
    row = page.locator(".us tbody tr")
    page.wait_for_function("document.querySelector('.us tbody').textContent.includes('2.0 × 2.0 mm')")
    assert "± 2.0 × ± 2.0 mm" in row.inner_text()
    stream.calibrated = False
    page.wait_for_function("document.querySelector('.us tbody').textContent.includes('80 × 50 px')")
    assert "not calibrated" in row.inner_text()
    assert "mm" not in row.inner_text()


def test_a_nodule_that_is_tracked_has_its_number_of_the_stream(page: Any, stream: Any) -> None:
    shows(page, "finding")
    assert page.locator(".us tbody tr td").first.inner_text() == "N4"


def test_a_nodule_that_the_border_cuts_has_a_bound_and_no_interval(page: Any, stream: Any) -> None:
    row = page.locator(".us tbody tr")
    stream.cut = True
    page.wait_for_function("document.querySelector('.us tbody').textContent.includes('≥ 2.0 mm')")
    assert "cut by the border" in row.inner_text()
    assert "±" not in row.inner_text()
    assert "±" not in page.locator('[data-at="table-note"]').inner_text()


def test_scores_come_in_percent_and_with_their_operating_point_only_when_calibrated(page: Any, stream: Any) -> None:
    point = page.locator(".us [data-at=point]")
    page.wait_for_function("document.querySelector('.us tbody').textContent.includes('0.90')")
    assert point.inner_text() == "the engine's own; scores are not calibrated"
    stream.point = PointBody(
        name="balanced", sensitivity=0.95, false_positives_per_frame=0.08, alarms_per_negative_frame=0.03
    )
    page.wait_for_function("document.querySelector('.us tbody').textContent.includes('90 %')")
    page.wait_for_function(
        "words => document.querySelector('.us [data-at=point]').textContent === words", arg=stream.point.words
    )
    box, side = point.bounding_box(), page.locator(".us-side").bounding_box()
    assert box["x"] + box["width"] <= side["x"] + side["width"]


def test_no_frame_is_ever_written_to_disk(page: Any, panel: Any) -> None:
    page.wait_for_function("from => usassist.frames > from + 30", arg=page.evaluate("usassist.frames"))
    assert not [path for path in panel.temporary.rglob("*") if path.is_file()]


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (1920, 1080)])
def test_everything_fits_on_the_screen(page: Any, width: int, height: int) -> None:
    page.set_viewport_size({"width": width, "height": height})
    for selector in (
        ".us-stage",
        "#us-actions",
        "#us-left",
        "#us-zoom_fit",
        ".us-rec",
        ".us-under",
        ".us-side",
        ".us-research",
    ):
        box = page.locator(selector).bounding_box()
        assert box["x"] >= 0
        assert box["y"] >= 0
        assert box["x"] + box["width"] <= width
        assert box["y"] + box["height"] <= height
    stage = page.locator(".us-stage").bounding_box()
    assert stage["width"] * stage["height"] > 0.5 * width * height


@pytest.mark.parametrize("value", ["hypoechoic", "isoechoic or hyperechoic"])
def test_descriptors_are_called_estimated_with_their_agreement_and_fit_beside_three_nodules(
    page: Any, stream: Any, value: str
) -> None:
    described = page.locator(".us .us-described")
    note = page.locator(".us [data-at=descriptor-note]")
    shows(page, "finding")
    assert described.count() == 0
    assert not note.is_visible()
    stream.nodules, stream.value = 3, value
    stream.agreement = {"echogenicity": "kappa 0.40 (0.20 to 0.60), 99 nodules of 77 cases"}
    page.wait_for_function(
        "() => document.querySelectorAll('.us-described').length === 3"
        " && document.querySelector('[data-at=descriptor-note]').textContent.includes('kappa')"
    )
    page.keyboard.press("f")  # on a busy machine a live page may turn stale between two looks
    assert described.all_inner_texts() == [f"echogenicity (estimated): {value}"] * 3
    agreement = "agreement with readers: kappa 0.40 (0.20 to 0.60), 99 nodules of 77 cases"
    assert described.first.locator("small").get_attribute("title") == agreement
    assert note.inner_text() == f"echogenicity, {agreement}"
    assert page.locator(".us-side").evaluate("side => side.scrollHeight <= side.clientHeight")
    assert page.locator(".us-side").evaluate("side => side.scrollWidth <= side.clientWidth")
