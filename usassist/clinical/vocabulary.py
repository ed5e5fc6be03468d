"""The common words for the five descriptors of a nodule, and the check that given words are among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NewType

from usassist.clinical.tables import check_table, read_table, require
from usassist.errors import UsageError

__all__ = ["ALONE", "DESCRIPTORS", "DESCRIPTOR_TEXTS", "SEVERAL", "UNDETERMINED", "Confirmed", "check_words"]

Confirmed = NewType("Confirmed", Mapping[str, tuple[str, ...]])
"""Name of a descriptor → its words, each stated by a clinician, as in a mark of the kind ``descriptors``. Wrap only
what a clinician confirmed: the type lets a type checker stop an engine's estimate on its way to a category."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Vocabulary:
    words: Mapping[str, Mapping[str, str]]
    texts: Mapping[str, str]
    several: frozenset[str]
    alone: frozenset[tuple[str, str]]
    undetermined: frozenset[tuple[str, str]]


def _load() -> _Vocabulary:
    table = read_table("vocabulary.toml")
    where = "vocabulary.toml"
    check_table(table, {"schema": int, "descriptors": list}, where)
    words: dict[str, Mapping[str, str]] = {}
    texts: dict[str, str] = {}
    several, alone, undetermined = set(), set(), set()
    for item in table["descriptors"]:
        check_table(item, {"name": str, "text": str, "several": bool, "words": list}, where)
        name = item["name"]
        require(name not in words, f"{where}: descriptor {name} is there twice")
        own: dict[str, str] = {}
        for word in item["words"]:
            check_table(
                word,
                {"id": str, "text": str, "determined": bool, "alone": bool},
                f"{where}, {name}",
                optional={"determined", "alone"},
            )
            require(word["id"] not in own, f"{where}: {name} has the word {word['id']} twice")
            own[word["id"]] = word["text"]
            if word.get("alone", False):
                alone.add((name, word["id"]))
            if not word.get("determined", True):
                undetermined.add((name, word["id"]))
        words[name], texts[name] = MappingProxyType(own), item["text"]
        if item["several"]:
            several.add(name)
    return _Vocabulary(
        words=MappingProxyType(words),
        texts=MappingProxyType(texts),
        several=frozenset(several),
        alone=frozenset(alone),
        undetermined=frozenset(undetermined),
    )


_VOCABULARY = _load()

DESCRIPTORS = _VOCABULARY.words
"""Name of a descriptor → its words: id → text. In the order in which people are asked."""

DESCRIPTOR_TEXTS = _VOCABULARY.texts
"""Name of a descriptor → its text."""

SEVERAL = _VOCABULARY.several
"""Descriptors that may have several words: all that apply."""

ALONE = _VOCABULARY.alone
"""Descriptor and word, where the word excludes all others of a descriptor that may have several."""

UNDETERMINED = _VOCABULARY.undetermined
"""Descriptor and word, where the word states that the descriptor cannot be determined."""


def check_words(descriptors: Mapping[str, Sequence[str]]) -> None:
    """Check that every descriptor and word is one of :data:`DESCRIPTORS`; a descriptor may be absent or without words.

    Raises
    ------
    UsageError
        If a descriptor or a word is unknown, is there twice, or excludes another; the message names it. Also where a
        value is no sequence of words, such as the descriptors that an engine estimates.
    """
    for name, words in descriptors.items():
        known = DESCRIPTORS.get(name)
        if known is None:
            raise UsageError(f"unknown descriptor {name!r}; known: {', '.join(DESCRIPTORS)}")
        if not isinstance(words, (tuple, list)) or not all(isinstance(word, str) for word in words):
            raise UsageError(
                f"{name} must be the words that a clinician confirmed, got {type(words).__name__}; an estimate of an "
                "engine is not one of them"
            )
        unknown = [word for word in words if word not in known]
        if unknown:
            raise UsageError(f"unknown word {unknown[0]!r} for {name}; known: {', '.join(known)}")
        if len(set(words)) < len(words):
            raise UsageError(f"{name} has a word twice: {', '.join(words)}; give it once")
        if len(words) > 1 and name not in SEVERAL:
            raise UsageError(f"{name} takes one word, got {', '.join(words)}; choose one")
        if len(words) > 1 and any((name, word) in ALONE for word in words):
            raise UsageError(f"{name}: {', '.join(words)} exclude each other; correct them")
