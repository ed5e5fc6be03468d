from __future__ import annotations

import string

import msgspec
import pytest

from tests.samples import ENGINE, SESSION, make_frame, make_result
from usassist.records import ResultState
from usassist.sinks.overlay.keys import Action
from usassist.sinks.overlay.signs import SIGNS
from usassist.sinks.overlay.status import headline_of, status_of
from usassist.sinks.view import View, view_of_frame, view_of_silence
from usassist.words import languages, load_words


def _places(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("language", languages())
def test_every_language_has_the_same_texts_with_the_same_places(language: str) -> None:
    english, other = load_words("en", "window").texts, load_words(language, "window").texts
    assert english.keys() == other.keys()
    assert {key: _places(text) for key, text in english.items()} == {key: _places(text) for key, text in other.items()}


@pytest.mark.parametrize("language", languages())
def test_every_key_and_every_sign_has_a_text(language: str) -> None:
    words = load_words(language, "window")
    assert all(words.known(f"keys.{action.value}") for action in Action)
    assert all(words.known(f"state.{sign}") for sign in SIGNS)


def test_a_headline_has_the_number_of_findings_or_what_the_frame_does_not_show() -> None:
    words = load_words("en", "window")

    def view(word: str, **values: object) -> View:
        return View(state=ResultState.FINDING, headline="", detail="", draw=True, age_ms=None, word=word, **values)  # type: ignore[arg-type]

    assert headline_of(view("finding", count=1), words) == "1 FINDING"
    assert headline_of(view("finding", count=3), words) == "3 FINDINGS"
    assert headline_of(view("abstains", domain="thyroid"), words) == "NOT THYROID"
    assert headline_of(view("abstains", domain="liver"), words) == "NOT LIVER", "a domain without a word"


@pytest.mark.parametrize(
    ("kind", "replayed", "says"),
    [
        ("live", False, "LIVE"),
        ("clip", False, "CLIP"),
        ("simulated", False, "SIMULATED"),
        ("live", True, "REPLAY"),
        ("simulated", True, "REPLAY SIMULATED"),
        ("", False, ""),
        ("other", False, ""),
    ],
)
def test_whether_it_is_live_is_said(kind: str, replayed: bool, says: str) -> None:
    words, session = load_words("en", "window"), msgspec.structs.replace(SESSION, kind=kind, replayed=replayed)
    frame, result = make_frame(1), make_result(1)
    view = view_of_frame(result, ENGINE, session, result.t_capture_ns + 20_000_000)
    text = status_of(frame, result, view, ENGINE, words, session).frame
    assert text == "   ".join(filter(None, (says, "frame 1", "age 20 ms")))


def test_a_live_source_that_is_silent_is_not_called_live() -> None:
    session = msgspec.structs.replace(SESSION, kind="live")
    view = view_of_silence(session, 700.0)
    assert view is not None
    assert status_of(make_frame(1), None, view, ENGINE, load_words("en", "window"), session).frame == "frame 1"
