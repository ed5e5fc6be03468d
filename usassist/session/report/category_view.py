"""Descriptors with their origin, and categories with their size thresholds, as texts."""

from __future__ import annotations

import re
from typing import Any

from usassist.session.report.sizes import quantity_text
from usassist.session.summary import Nodule
from usassist.session.summary.parts import CategoryOfNodule, DescriptorOfNodule
from usassist.words import Words

__all__ = ["category_rows", "compared_text", "descriptor_name", "descriptor_row", "word_of"]

_KAPPA = re.compile(r"kappa (-?[\d.]+) \((-?[\d.]+) to (-?[\d.]+)\), (\d+) nodules of (\d+) cases")


def word_of(name: str, word: str, words: Words) -> str:
    """A word of a descriptor; one that the table does not have is shown as it is recorded."""
    key = f"word.{name}.{word.replace(' ', '_')}"
    return words(key) if words.known(key) else word.replace("_", " ")


def descriptor_name(name: str, words: Words) -> str:
    """Name of a descriptor, likewise."""
    key = f"descriptor.{name}"
    return words(key) if words.known(key) else name.replace("_", " ")


def descriptor_row(item: DescriptorOfNodule, words: Words) -> dict[str, str]:
    """Name, value and origin of a descriptor."""
    value = words.join([word_of(item.name, word, words) for word in item.words]) or words("format.none")
    more = ""
    if item.basis == "confirmed":
        more = words("descriptors.confirmed_more", frame=item.frame_id)
    elif item.basis == "measured":
        more = words("descriptors.measured_more")
    elif item.basis == "estimated":
        share = words("format.percent", value=words.number(100.0 * (item.probability or 0.0)))
        more = words(
            "descriptors.estimated_more",
            probability=share,
            same=round((item.same_in_frames or 0.0) * item.described_frames),
            frames=item.described_frames,
            agreement=_agreement(item.agreement, words),
        )
    return {
        "name": descriptor_name(item.name, words),
        "value": value,
        "basis": item.basis,
        "basis_text": words(f"descriptors.{item.basis}"),
        "more": more,
    }


def _agreement(text: str | None, words: Words) -> str:
    """As the engine published it; in the words of the language where it has the usual form."""
    if text is None:
        return words("descriptors.agreement_unknown")
    match = _KAPPA.fullmatch(text)
    if match is None:
        return text
    kappa, low, high = (words.number(float(value), 2) for value in match.group(1, 2, 3))
    interval = words("format.range", low=low, high=high)
    return words("descriptors.agreement_kappa", kappa=kappa, range=interval, nodules=match[4], cases=match[5])


def category_rows(nodule: Nodule, words: Words) -> list[dict[str, Any]]:
    """A row for each system: its category, and its size thresholds against the longest diameter."""
    rows = []
    for item in nodule.categories:
        rows.append(
            {
                "system": f"{item.name} {item.edition}",
                "level": _level(item, words),
                "more": _level_more(item, words),
                "thresholds": _thresholds(item, words),
            }
        )
    return rows


def _level(item: CategoryOfNodule, words: Words) -> str:
    if item.level is None:
        if not item.missing or item.reason:
            return words("category.contradiction")
        missing = words.join([descriptor_name(name, words) for name in item.missing])
        return words("category.incomplete", missing=missing)
    return item.level if item.points is None else words("category.points", level=item.level, points=item.points)


def _level_more(item: CategoryOfNodule, words: Words) -> str:
    if item.level is None:
        return ""
    key = f"meaning.{item.level.replace(' ', '-')}"
    meaning = words(key) if words.known(key) else item.meaning
    return words.join(
        [meaning, words("category.risk", risk=_localised(item.risk_text, words)), *filter(None, [item.note])]
    )


def _localised(text: str, words: Words) -> str:
    return re.sub(r"(?<=\d)\.(?=\d)", words("format.decimal"), text).replace(" %", "\u00a0%")


def _thresholds(item: CategoryOfNodule, words: Words) -> list[str]:
    if item.level is None:
        return []
    size = "" if item.compared_mm is None else quantity_text(item.compared_mm, words)
    texts = []
    for threshold in item.thresholds:
        name = words(f"category.{threshold.kind}", sign=item.size_sign, limit=words.number(threshold.threshold_mm))
        texts.append(words("format.label", name=name, value=words(f"category.{threshold.state}", size=size)))
    return texts or [words("category.no_threshold")]


def compared_text(nodule: Nodule, words: Words) -> str:
    """The longest diameter that was compared with thresholds; empty where there was none."""
    found = next(
        (item.compared_mm for item in nodule.categories if item.compared_mm is not None and item.thresholds), None
    )
    return "" if found is None else words("category.compared", size=quantity_text(found, words))
