"""The controls of the page, and the same actions for ``gradio_client``, of a real live session."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.replay.live_session import LiveSession
from usassist.session import read_manifest
from usassist.sinks.panel.access import split_address

pytestmark = [pytest.mark.slow, pytest.mark.long]

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect


@pytest.fixture(scope="module")
def live(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveSession]:
    del browser  # nothing starts without one
    folder = tmp_path_factory.mktemp("live")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    (folder / "settings.toml").write_text('[stream]\nsources = ["null:rate=20,size=64x96"]\n', encoding="utf-8")
    options = ("--source", "null:rate=30,size=96x160", "--backend", "null", "--no-record", "--port", port)
    with LiveSession(folder, *options, "--config", str(folder / "settings.toml")) as live:
        live.until(lambda: _url(live), "there is no page")
        yield live


def _url(live: LiveSession) -> str:
    found = [line for line in live.stderr if "the page is at" in line]
    return found[0].split("the page is at", 1)[1].split()[0] if found else ""


def test_a_session_is_recorded_and_changed_from_the_page(browser: Any, live: LiveSession) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 1400})
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.goto(_url(live))
    record, recording, outcome = (page.locator(f"#us-{name}") for name in ("record", "recording", "outcome"))
    patience = {"timeout": 40_000}
    expect(record).to_contain_text("Start recording", **patience)
    expect(recording).to_contain_text("Not recorded", **patience)
    record.click()
    expect(outcome).to_contain_text("Start recording: done", **patience)
    expect(recording).to_contain_text("REC", **patience)
    expect(record).to_contain_text("Stop recording", **patience)
    (first,) = (live.folder / "out").iterdir()

    point = page.locator("#us-point input")
    expect(point).to_have_value("balanced", **patience)
    point.click()
    page.get_by_role("option", name="quiet").click()
    expect(outcome).to_contain_text("Operating point quiet: done", **patience)
    expect(point).to_have_value("quiet", **patience)
    expect(recording).to_contain_text("REC", **patience)
    live.until(lambda: read_manifest(first).recording == "closed", "the first recording is not closed")
    assert len(list((live.folder / "out").iterdir())) == 2

    record.click()
    expect(outcome).to_contain_text("Stop recording: done", **patience)
    expect(record).to_contain_text("Start recording", **patience)
    assert complaints == []
    page.close()


def test_a_program_asks_for_the_same_and_is_told_what_came_of_it(live: LiveSession) -> None:
    client = pytest.importorskip("gradio_client").Client
    address, token = split_address(_url(live))
    program = client(address, headers={"Authorization": f"Bearer {token}"}, verbose=False, analytics_enabled=False)
    before = program.predict(api_name="/choices")
    assert before["offered"]["source"][:2] == ["null:rate=30,size=96x160", "null:rate=20,size=64x96"]
    refused = program.predict("/etc/passwd", api_name="/set_source")
    assert refused["answer"] == "refused"
    assert "was not offered" in refused["reason"]
    assert program.predict("null:rate=20,size=64x96", api_name="/set_source") == {"answer": "done", "reason": ""}
    after = program.predict(api_name="/choices")
    assert after["chosen"]["source"] == "null:rate=20,size=64x96"
    assert after["session_id"] != before["session_id"]
    assert program.predict(True, api_name="/record")["answer"] == "done"
    assert program.predict(False, api_name="/record")["answer"] == "done"
    report = live.end()
    assert report["restarts"] == {}
