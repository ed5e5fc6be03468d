"""The words of the report: a table for each language, a file each; a further language is a further file."""

from __future__ import annotations

import string
import tomllib
from collections.abc import Iterator, Mapping
from datetime import datetime
from importlib import resources
from typing import Any

from usassist.errors import UsageError

__all__ = ["Words", "flatten", "languages", "load_words"]

_FOLDER = resources.files("usassist.session.report") / "words"


def languages() -> tuple[str, ...]:
    """Codes of the languages that there are words for, such as ``en``."""
    return tuple(sorted(path.name.removesuffix(".toml") for path in _FOLDER.iterdir() if path.name.endswith(".toml")))


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


def load_words(code: str) -> Words:
    """The words of a language.

    Raises
    ------
    UsageError
        If there are none.
    """
    if code not in languages():
        raise UsageError(f"there are no words for the language {code!r}; choose {', '.join(languages())}")
    return Words(code, dict(flatten(tomllib.loads((_FOLDER / f"{code}.toml").read_text(encoding="utf-8")))))
