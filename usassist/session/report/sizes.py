"""Sizes in the words of a language: mm with their interval, or px, or a lower bound."""

from __future__ import annotations

from usassist.session.summary import Section
from usassist.session.summary.parts import ApT, Quantity, Size
from usassist.words import Words

__all__ = ["SIZE_ROWS", "ap_t_text", "diameters_text", "interval_text", "quantity_text", "size_text"]

SIZE_ROWS = ("longest_diameter", "across", "ap", "transverse")


def size_text(size: Size | None, words: Words, *, cut: bool | None) -> str:
    """``14.2 mm (11.5 to 16.9)``, ``≥ 14.2 mm``, ``210 px``; a dash where it is not known."""
    if size is None:
        return words("format.none")
    if size.mm is None:
        return words("format.px_bound" if cut else "format.px", value=words.number(size.px))
    if cut or size.u95_mm is None:
        return words("format.mm_bound", value=words.number(size.mm, 1)) if cut else words("format.none")
    return words("format.mm_interval", value=words.number(size.mm, 1), range=interval_text(size.mm, size.u95_mm, words))


def interval_text(value: float, u95: float, words: Words, digits: int = 1) -> str:
    """``11.5 to 16.9``; a length or a volume does not go below 0."""
    return words.range(max(0.0, value - u95), value + u95, digits)


def quantity_text(quantity: Quantity, words: Words) -> str:
    """``14.2 mm (11.5 to 16.9)``."""
    interval = interval_text(quantity.value, quantity.u95, words)
    return words("format.mm_interval", value=words.number(quantity.value, 1), range=interval)


def diameters_text(section: Section, words: Words, *, of: str = "") -> str:
    """Longest diameter, and the extent across it where the section is whole.

    Parameters
    ----------
    section : that was measured
    words : of the language
    of : ``longest_diameter`` or ``across``: only that one, for a line of its own; empty where it is not known
    """
    first = size_text(section.sizes["longest_diameter"], words, cut=section.cut)
    across = None if section.cut else section.sizes["across"]
    second = "" if across is None else words("format.times", value=size_text(across, words, cut=False))
    return {"longest_diameter": first, "across": second}.get(of, f"{first} {second}".rstrip())


def ap_t_text(ap_t: ApT | None, words: Words) -> str:
    """The ratio with its interval and verdict, where it may be judged; else why not."""
    if ap_t is None:
        return words("ap_t.unknown")
    if ap_t.low is None or ap_t.high is None or ap_t.verdict not in ("taller", "wider", "uncertain"):
        return words(f"ap_t.{ap_t.verdict}")
    interval = words.range(ap_t.low, ap_t.high, 2)
    return words(f"ap_t.{ap_t.verdict}", value=words.number(ap_t.value, 2), range=interval)
