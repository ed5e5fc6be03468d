"""Descriptors and categories of a nodule in the structured report, each with where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from highdicom.sr import ContentItem, QualitativeEvaluation

from usassist.dicom.objects import terms
from usassist.dicom.objects.content import SweepNodule
from usassist.dicom.objects.report_items import make_evaluation, property_number, property_text
from usassist.dicom.objects.terms import Term

__all__ = ["describe"]


def describe(nodule: SweepNodule) -> tuple[list[QualitativeEvaluation], list[str]]:
    """Coded statements, and texts for words that have no code.

    Nothing is said of a descriptor that nobody and nothing has determined.
    """
    evaluations, texts = [], []
    for item in nodule.descriptors:
        basis = terms.BASES.get(item["basis"])
        if basis is None:
            continue
        for word in item["words"]:
            name, value = terms.DESCRIPTORS.get(item["name"]), terms.DESCRIPTOR_WORDS.get((item["name"], word))
            if name is None or value is None:
                texts.append(f"{item['name']}: {word} ({basis.meaning.lower()})")
            else:
                evaluations.append(make_evaluation(name, value, basis=basis, properties=_properties(item)))
    for category in nodule.categories:
        if category["level"] is not None:
            name = terms.own(category["system_id"].upper()[:16], f"{category['name']} {category['edition']}"[:64])
            value = Term(category["level"], terms.OWN_SCHEME, f"{category['level']}: {category['meaning']}"[:64])
            evaluations.append(make_evaluation(name, value, basis=terms.BASES["looked_up"]))
    return evaluations, texts


def _properties(item: Mapping[str, Any]) -> list[ContentItem]:
    """Of an estimate its certainty, how steady it was over the frames, and the agreement with readers."""
    if item["basis"] != "estimated":
        return []
    found: list[ContentItem] = []
    if item.get("probability") is not None:
        found.append(property_number(terms.CERTAINTY_OF_FEATURE, 100.0 * item["probability"], terms.PERCENT))
    if item.get("same_in_frames") is not None:
        found.append(property_number(terms.SAME_IN_FRAMES, 100.0 * item["same_in_frames"], terms.PERCENT))
    found.append(property_text(terms.AGREEMENT, item.get("agreement") or "not known"))
    return found
