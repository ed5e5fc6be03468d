"""The text of the tab about the demo: intended use, the engines' cards, limits."""

from __future__ import annotations

import re

from usassist.engine import list_engines
from usassist.modalities import list_modalities
from usassist.words import Words

__all__ = ["about_text"]

_RELATIVE_LINK = re.compile(r"\[([^\]]+)\]\((?!https?:)[^)]+\)")


def about_text(words: Words) -> str:
    """In Markdown; the cards are in English."""
    parts = [words("about.text")]
    for spec in list_engines():
        parts.append(words("about.engine", engine=spec.engine_id, use=spec.intended_use, licence=spec.licence))
    for row in list_modalities().values():
        if not row.is_available:
            parts.append(words("about.missing", title=row.title, reason=row.missing))
    for spec in list_engines():
        card = spec.folder / "CARD.md"
        if card.is_file():
            parts.append(f"## {words('about.card', engine=spec.engine_id)}")
            parts.append(_without_title(card.read_text(encoding="utf-8")))
    return "\n\n".join(parts)


def _without_title(text: str) -> str:
    """A card one level lower, and without the links into the repository, which lead nowhere from here."""
    lines = [f"#{line}" if line.startswith("#") else line for line in text.splitlines()[1:]]
    return _RELATIVE_LINK.sub(r"\1", "\n".join(lines))
