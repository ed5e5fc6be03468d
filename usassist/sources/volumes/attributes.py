"""Read attributes of a DICOM header that may be missing, empty or malformed."""

from __future__ import annotations

import math
from typing import Any

from pydicom import Dataset

__all__ = ["find", "first", "integer", "number", "numbers", "positive", "text", "texts"]


def find(here: list[Dataset], groups: tuple[str, ...], keyword: str) -> Any:
    """An attribute of the first of these items that has it, in one of the groups or at the top."""
    for item in here:
        for group in groups:
            inner = first(item, group)
            if inner is not None and inner.get(keyword) is not None:
                return inner.get(keyword)
        if item.get(keyword) is not None:
            return item.get(keyword)
    return None


def first(dataset: Dataset | None, keyword: str) -> Dataset | None:
    """The first item of a sequence; None without one."""
    items = dataset.get(keyword) if dataset is not None else None
    return items[0] if items else None


def text(dataset: Dataset | None, keyword: str) -> str:
    """Text of an attribute, several values joined; empty without it."""
    return "" if dataset is None else " ".join(texts(dataset.get(keyword)))


def texts(value: Any) -> list[str]:
    """Its values as texts."""
    if value is None:
        return []
    return [str(item).strip() for item in ([value] if isinstance(value, str | int | float) else value)]


def numbers(value: Any) -> list[float]:
    """Finite numbers; empty where one is not."""
    if value is None or value == "":
        return []
    items = value if hasattr(value, "__iter__") and not isinstance(value, str) else [value]
    try:
        found = [float(item) for item in items]
    except (TypeError, ValueError, ArithmeticError):
        return []
    return found if all(map(math.isfinite, found)) else []


def number(value: Any) -> float | None:
    """The first of its values, where all are finite numbers."""
    found = numbers(value)
    return found[0] if found else None


def positive(value: Any) -> float | None:
    """A number above 0; None otherwise."""
    found = number(value)
    return found if found is not None and found > 0 else None


def integer(dataset: Dataset, keyword: str) -> int | None:
    """A number without its fraction; None where it is none."""
    found = number(dataset.get(keyword))
    return None if found is None else int(found)
