"""Marks and the state of the recording, as a person sees them."""

from __future__ import annotations

import time
from typing import Any

import httpx
import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.browser.conftest import archived_marks
from usassist.bus import HealthBody

pytestmark = pytest.mark.browser

SAID = "document.querySelector('.us [data-at=mark-said]').textContent"
REC = "document.querySelector('[data-at=rec]')"
RECORDER = HealthBody(
    process="record",
    frames=30,
    answered=30,
    dropped=0,
    by_state={},
    rate_hz=None,
    latency_p50_ms=None,
    latency_p95_ms=None,
    recorded_bytes=4_200_000_000,
    free_bytes=10**11,
    recording="running",
)


def said(page: Any, *parts: str) -> str:
    """Wait until the page has said all of this about a mark; gives the whole."""
    page.wait_for_function(f"parts => parts.every(part => {SAID}.includes(part))", arg=list(parts))
    text: str = page.evaluate(SAID)
    return text


@pytest.mark.parametrize(
    ("key", "kind", "words"),
    [("b", "bookmark", "bookmark"), ("w", "wrong", "wrong"), ("m", "missed", "missed nodule")],
)
def test_a_key_marks_the_frame_that_is_shown_and_the_page_says_so_when_the_stream_has_it(
    page: Any, panel: Any, stream: Any, key: str, kind: str, words: str
) -> None:
    stream.recorder = RECORDER
    page.wait_for_function(f"{REC}.dataset.rec === 'running'")
    with archived_marks(panel.address) as wait_for_marks:
        page.keyboard.press("f")
        shown = int(page.locator(".us [data-at=frame]").inner_text())
        page.keyboard.press(key)
        assert said(page, "marked") == f"frame {shown} marked: {words}"
        marks = wait_for_marks(1)
    assert [(mark.session_id, mark.frame_id, mark.kind) for mark in marks] == [(stream.session_id, shown, kind)]
    assert page.locator(f"#us-{kind}").get_attribute("data-count") == "1"
    assert not page.complaints


def test_a_button_marks_as_its_key_does(page: Any, stream: Any) -> None:
    page.get_by_role("button", name="Wrong").click()
    said(page, "marked: wrong")


def test_a_mark_that_does_not_come_back_is_said_to_be_lost(page: Any, stream: Any) -> None:
    stream.takes_post = False
    page.keyboard.press("w")
    said(page, 'mark "wrong" was not kept: no answer from the stream')
    assert page.locator(".us [data-at=mark-said]").evaluate("node => node.classList.contains('is-warning')")
    assert not page.locator("#us-wrong").get_attribute("data-count")


def test_a_mark_while_nothing_is_recorded_says_that_too(page: Any, stream: Any) -> None:
    page.wait_for_function(f"{REC}.dataset.rec === 'none'")
    page.keyboard.press("b")
    said(page, "marked: bookmark, but nothing is recorded")


def test_many_marks_at_once_are_refused_with_a_reason(page: Any, stream: Any) -> None:
    press = "document.dispatchEvent(new KeyboardEvent('keydown', {key: 'm', bubbles: true}))"
    page.evaluate(f"for (let i = 0; i < 7; i++) {press}")
    said(page, "was not kept: too many marks in a short time")


def test_someone_who_types_means_the_letter(page: Any, stream: Any) -> None:
    page.evaluate("document.querySelector('.us-head').append(document.createElement('input'))")
    page.locator(".us-head input").focus()
    page.keyboard.type("wbmfox")
    page.wait_for_function("from => usassist.frames > from + 5", arg=page.evaluate("usassist.frames"))
    assert page.locator(".us-head input").input_value() == "wbmfox"
    assert page.evaluate(SAID) == ""
    assert not page.evaluate("usassist.frozen")


def test_the_page_says_that_it_is_recording_with_time_and_size(page: Any, stream: Any) -> None:
    stream.recorder = RECORDER
    page.wait_for_function(f"/^REC  00:00:0[0-9]  4.2 GB$/.test({REC}.textContent)")
    assert page.locator(".us-rec i").is_visible()
    assert page.locator("[data-at=rec-said]").inner_text() == "recording"


def test_the_page_says_what_the_recorder_has_missed(page: Any, stream: Any) -> None:
    stream.recorder = msgspec.structs.replace(RECORDER, dropped=17)
    page.wait_for_function("document.querySelector('[data-at=rec-lost]').textContent === '17 MISSED'")
    page.wait_for_function(f"{REC}.dataset.rec === 'running'")  # and the warning stands beside it
    assert page.locator(".us-lost").is_visible()
    assert page.get_by_text("17 messages never reached the recorder and are missing from the recording").is_visible()


def test_a_recording_that_has_stopped_says_why(page: Any, stream: Any) -> None:
    stream.recorder = RECORDER
    page.wait_for_function(f"{REC}.dataset.rec === 'running'")
    stream.recorder = msgspec.structs.replace(RECORDER, recording="the disk is full; free some space")
    page.wait_for_function(f"{REC}.textContent.includes('RECORDING STOPPED')")
    assert not page.locator(".us-rec i").is_visible()
    assert page.get_by_text("recording stopped: the disk is full; free some space").is_visible()


def test_a_recorder_that_falls_silent_is_missed(page: Any, stream: Any) -> None:
    stream.recorder = RECORDER
    page.wait_for_function(f"{REC}.dataset.rec === 'running'")
    stream.recorder = None
    page.wait_for_function(f"{REC}.textContent.trim() === 'RECORDER SILENT'")
    assert page.locator("[data-at=rec-why]").get_by_text("no health message for").is_visible()


def test_without_word_from_the_server_nothing_is_said_to_be_recording(page: Any, panel: Any, stream: Any) -> None:
    stream.recorder = RECORDER
    page.wait_for_function(f"{REC}.dataset.rec === 'running'")
    panel.stop()
    try:
        page.wait_for_function(f"{REC}.dataset.rec === 'unknown' && {REC}.textContent.trim() === ''")
        page.keyboard.press("w")
        said(page, "was not kept: no connection to the stream")
    finally:
        panel.start()


def test_the_time_from_capture_to_screen_is_measured_and_told(page: Any, panel: Any, stream: Any) -> None:
    screen = "document.querySelector('.us [data-at=screen]').textContent"
    page.wait_for_function(f"/^[0-9]+ . [0-9]+ ms$/.test({screen})")

    def drawn() -> float:
        families = text_string_to_metric_families(httpx.get(f"{panel.root}metrics", headers=panel.login).text)
        samples = [
            sample for family in families if family.name == "usassist_latency_seconds" for sample in family.samples
        ]
        return sum(s.value for s in samples if s.name.endswith("_count") and s.labels["stage"] == "browser")

    end_s = time.monotonic() + 20.0  # the page shows it before the server was told
    while not drawn() and time.monotonic() < end_s:
        time.sleep(0.1)
    assert drawn() >= 1


def test_a_frozen_page_says_of_no_frame_that_it_was_drawn(browser: Any, page: Any, panel: Any, stream: Any) -> None:
    page.add_init_script(
        "const send = WebSocket.prototype.send; window.words = [];"
        "WebSocket.prototype.send = function (text) { words.push(JSON.parse(text)); return send.call(this, text); };"
    )
    page.reload()
    page.wait_for_function("() => window.usassist?.frames > 5")
    page.wait_for_function("() => words.filter(word => word.type === 'done' && word.frame_id >= 0).length > 3")
    page.keyboard.press("f")
    page.evaluate("words.length = 0")
    page.wait_for_function("() => words.length > 5")
    assert page.evaluate("words.every(word => word.type === 'done' && !('frame_id' in word))")


def test_a_page_that_hangs_is_not_felt_by_another(browser: Any, page: Any, panel: Any, stream: Any) -> None:
    hanging = browser.new_page()
    hanging.goto(panel.url)
    hanging.wait_for_function("() => window.usassist?.frames > 3")
    # It goes on receiving and never says that it is done, as a page whose drawing hangs.
    hanging.evaluate("WebSocket.prototype.send = () => {}")
    start = page.evaluate("usassist.frames")
    page.wait_for_function("from => usassist.frames > from + 40", arg=start)
    assert hanging.evaluate("usassist.frames") < page.evaluate("usassist.frames")
    hanging.close()
    page.wait_for_function("from => usassist.frames > from + 10", arg=page.evaluate("usassist.frames"))
    assert page.evaluate("usassist.state") == "finding"
