"""The page's words, and the parts of it that need no browser."""

from __future__ import annotations

import re
import string
import subprocess
import sys
from typing import Any

import pytest

from tests.samples import make_result
from usassist.bus import SessionBody, SessionState
from usassist.records import Cause, ResultState
from usassist.sinks.view import view_of_frame, view_of_silence
from usassist.words import languages, load_words

ENGLISH = load_words("en", "page").texts


def _places(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("language", languages())
def test_every_language_has_the_same_texts_with_the_same_places(language: str) -> None:
    other = load_words(language, "page").texts
    assert ENGLISH.keys() == other.keys()
    assert {key: _places(text) for key, text in ENGLISH.items()} == {key: _places(text) for key, text in other.items()}


def _session(state: SessionState, **more: Any) -> SessionBody:
    return SessionBody(
        session_id="20260101T000000Z-000000",
        state=state,
        source="test",
        image_hw_px=(8, 12),
        rate_hz=30.0,
        frame_count=None,
        calibration_id=None,
        last_frame_id=3,
        realtime=True,
        max_age_ms=250.0,
        **more,
    )


def _is_in_list(reason: str) -> bool:
    texts = (text for key, text in ENGLISH.items() if key.startswith("detail."))
    patterns = (re.sub(r"\\{\w+\\}", ".+", re.escape(text)) for text in texts)
    return any(re.fullmatch(pattern, reason) for pattern in patterns)


def test_every_reason_that_the_view_gives_itself_is_in_the_closed_list_that_is_translated() -> None:
    running = _session(SessionState.RUNNING)
    views = [
        view_of_frame(None, None, running, 0),
        view_of_frame(make_result(3), None, running, 0),
        *(view_of_silence(_session(state, reason="why"), None) for state in SessionState),
        view_of_silence(running, 5000.0),
    ]
    reasons = [view.detail for view in views if view is not None]
    assert len(reasons) == 7
    assert [reason for reason in reasons if not _is_in_list(reason)] == []
    assert not _is_in_list("the cable is out")


@pytest.mark.parametrize("language", languages())
def test_every_state_and_cause_has_a_word(language: str) -> None:
    words = load_words(language, "page")
    assert all(words.known(f"state.{state.value}") for state in ResultState)
    assert all(words.known(f"cause.{cause.value}") for cause in Cause)


_BUILD = """
import asyncio, threading, time
from usassist.sinks.panel.context import PageContext
from usassist.sinks.panel.feed import PanelFeed
from usassist.sinks.panel.page import build_blocks
from usassist.sinks.panel.viewers import Viewers
from usassist.sinks.panel.quiet_queue import StartsQueue
feed = PanelFeed("ipc:///tmp/nobody", Viewers())
nothing = dict.fromkeys(("viewers", "shown", "said", "marks", "scales", "metrics", "controls"))
context = PageContext(feed=feed, **nothing)
blocks = build_blocks(context)
for code in ("en", "ko", "de"):
    updates = context.labels.updates(code)
    assert len(updates) == len(context.labels.components) == len(set(map(id, context.labels.components)))
texts = [update.get("value") or update.get("label") for update in context.labels.updates("ko")]
assert "정지" in texts and "정보" in texts, texts
started = []
blocks.start_queue = lambda: started.append(True)
async def answer(scope, receive, send): pass
async def ask():
    app = StartsQueue(answer, blocks)
    for path in ("/", "/gradio_api/run/predict", "/gradio_api/heartbeat/x"):
        await app({"type": "http", "path": path}, None, None)
    assert not started
    for path in ("/gradio_api/queue/join", "/gradio_api/queue/data"):
        await app({"type": "http", "path": path}, None, None)
    assert started == [True]
asyncio.run(ask())
print("fine")
"""


def test_texts_of_components_change_with_the_language_and_the_queue_starts_with_the_first_event_that_needs_it() -> None:
    # In a process of its own: Gradio leaves an event loop open.
    run = subprocess.run([sys.executable, "-c", _BUILD], capture_output=True, check=False, text=True)
    assert run.stdout.strip() == "fine", run.stderr[-2000:]
