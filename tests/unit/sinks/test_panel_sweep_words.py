from __future__ import annotations

import string

import pytest

from usassist.bus import MarkKind, Plane, Side
from usassist.records import Cause, ResultState
from usassist.words import load_words


def places(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("language", ["de", "ko"])
def test_every_language_has_the_same_texts_with_the_same_places(language: str) -> None:
    english, other = load_words("en", "sweep").texts, load_words(language, "sweep").texts
    assert english.keys() == other.keys()
    assert [key for key, text in english.items() if places(text) != places(other[key])] == []


@pytest.mark.parametrize(
    ("kinds", "prefix"),
    [
        (Cause, "cause"),
        (Cause, "cause_short"),
        (ResultState, "state"),
        (MarkKind, "mark"),
        (Plane, "plane"),
        (Side, "side"),
    ],
)
def test_everything_that_a_stream_may_say_has_a_word(kinds: type, prefix: str) -> None:
    words = load_words("en", "sweep")
    assert [kind for kind in kinds if not words.known(f"{prefix}.{kind}")] == []  # type: ignore[attr-defined]
