"""Scores and lengths of nodules in the words of the page."""

from __future__ import annotations

from usassist.words import Words

__all__ = ["score_in_words", "size_of"]


def score_in_words(score: float, words: Words, *, calibrated: bool) -> str:
    """A score: per cent where it may be read as a share, a bare number where it may not."""
    return words("format.percent", value=words.number(100.0 * score)) if calibrated else words.number(score, 2)


def size_of(px: float, mm: float | None, u95_mm: float | None, words: Words, *, cut: bool) -> str:
    """A length: mm with the half-width of their interval, a lower bound where it is cut, or px."""
    unit, value, digits = ("px", px, 0) if mm is None else ("mm", mm, 1)
    text = words.number(value, digits)
    if cut:
        return words(f"format.{unit}_bound", value=text)
    if mm is not None and u95_mm is not None:
        text = f"{text} ± {words.number(u95_mm, 1)}"
    return words(f"format.{unit}", value=text)
