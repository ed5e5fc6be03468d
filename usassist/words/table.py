"""Tables of words, read from ``CODE/PART.toml`` beside this file.

Every language has the same parts with the same keys; what stands in braces is filled in. ``shared`` is a part of every
other: the name of the language, and how it writes numbers and dates.
"""

from __future__ import annotations

import string
import tomllib
from collections.abc import Iterator, Mapping
from datetime import datetime
from importlib import resources
from typing import Any

from usassist.errors import UsageError

__all__ = ["Words", "flatten", "languages", "load_words"]

_FOLDER = resources.files("usassist.words")
_SHARED = "shared"


def languages() -> tuple[str, ...]:
    """Codes of the languages that there are words for, such as ``en``."""
    return tuple(sorted(folder.name for folder in _FOLDER.iterdir() if (folder / f"{_SHARED}.toml").is_file()))


def flatten(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every text of a table with its key, the parts joined by dots."""
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", str(value)


class Words:
    """Texts and numbers in one language.

    Parameters
    ----------
    code : of the language, as in the attribute ``lang`` of HTML
    texts : key → text; what stands in braces is filled in
    """

    def __init__(self, code: str, texts: Mapping[str, str]) -> None:
        self.code = code
        self._texts = dict(texts)

    def __call__(self, key: str, **values: object) -> str:
        """The text of a key, with its places filled in.

        Raises
        ------
        KeyError
            If there is no such key, or a place is not filled in.
        """
        return string.Formatter().vformat(self._texts[key], (), values)

    @property
    def texts(self) -> dict[str, str]:
        """All texts by their keys, places not filled in."""
        return dict(self._texts)

    def known(self, key: str) -> bool:
        """True when there is a text of that key."""
        return key in self._texts

    def number(self, value: float, digits: int = 0) -> str:
        """A number with so many digits after the decimal sign of the language."""
        return f"{value:.{digits}f}".replace(".", self("format.decimal"))

    def range(self, low: float, high: float, digits: int = 1) -> str:
        """Two numbers, from and to."""
        return self("format.range", low=self.number(low, digits), high=self.number(high, digits))

    def date(self, utc: str) -> str:
        """A time in UTC, as recordings have it; empty where there is none."""
        try:
            return datetime.fromisoformat(utc).strftime(self("format.date"))
        except ValueError:
            return ""

    def join(self, parts: list[str]) -> str:
        """A list of texts as one."""
        return self("format.list").join(parts)


def load_words(code: str, part: str) -> Words:
    """The words of a language.

    Parameters
    ----------
    code : of the language, one of :func:`languages`
    part : where they are used, such as ``report``: the name of a file

    Raises
    ------
    UsageError
        If there are none.
    """
    if code not in languages():
        raise UsageError(f"there are no words for the language {code!r}; choose {', '.join(languages())}")
    return Words(code, _read(code, _SHARED) | _read(code, part))


def _read(code: str, part: str) -> dict[str, str]:
    return dict(flatten(tomllib.loads((_FOLDER / code / f"{part}.toml").read_text(encoding="utf-8"))))
