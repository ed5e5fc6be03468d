from __future__ import annotations

import string

import pytest

from usassist.records import ResultState
from usassist.sinks.overlay.keys import Action
from usassist.sinks.overlay.signs import SIGNS
from usassist.sinks.overlay.status import headline_of
from usassist.sinks.view import View
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
