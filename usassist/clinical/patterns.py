"""The rule of a system in which patterns of words give the level.

All combinations of determined words are laid out in one array, one axis for each descriptor. Each row of the table
fills its part, so two rows for the same combination, and combinations without a row, are found when the table is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from usassist.clinical.tables import check_table, require
from usassist.clinical.vocabulary import ALONE, DESCRIPTORS, SEVERAL, UNDETERMINED

__all__ = ["Patterns", "Undecided"]

BoolArray = npt.NDArray[np.bool_]
Int8Array = npt.NDArray[np.int8]

_DETERMINED = {
    name: tuple(word for word in words if (name, word) not in UNDETERMINED and (name, word) not in ALONE)
    for name, words in DESCRIPTORS.items()
}
_SIZES = tuple(2 ** len(words) if name in SEVERAL else len(words) for name, words in _DETERMINED.items())
_WHEN = {"foci_with": list, "foci_without": list, "suspicious": bool} | dict.fromkeys(
    (name for name in DESCRIPTORS if name not in SEVERAL), list
)
_FOCI = "foci"


@dataclass(frozen=True, slots=True, kw_only=True)
class Undecided:
    """Words from which no level follows.

    Attributes
    ----------
    missing : descriptors that have to be confirmed, or confirmed again
    text : why
    """

    missing: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Patterns:
    """The level of every combination of words.

    Attributes
    ----------
    levels : in the order of their codes
    texts : of the pattern, by its code
    undecided : combinations without a level
    codes : int8, one axis for each descriptor in the order of ``DESCRIPTORS``; the axis of foci counts subsets, one bit
        for each word. Number of the row in the table, or -1 - number in ``undecided``
    """

    levels: tuple[str, ...]
    texts: tuple[str, ...]
    undecided: tuple[Undecided, ...]
    codes: Int8Array

    def find(self, words: Mapping[str, Sequence[str]]) -> tuple[str, str] | Undecided:
        """The level for these words, and the text of its pattern; every descriptor must have one.

        A word that says that its descriptor cannot be determined stands for all of them: there is a level only where
        all lead to the same one.
        """
        place: list[int | slice] = []
        open_names = []
        for name, given in words.items():
            if name in SEVERAL:
                place.append(sum(1 << _DETERMINED[name].index(word) for word in given if (name, word) not in ALONE))
            elif (name, given[0]) in UNDETERMINED:
                place.append(slice(None))
                open_names.append(name)
            else:
                place.append(_DETERMINED[name].index(given[0]))
        found = [int(code) for code in np.unique(self.codes[tuple(place)])]
        rows = [code for code in found if code >= 0]
        if len({self.levels[code] for code in rows}) == 1:
            return self.levels[rows[0]], self.texts[rows[0]] if len(rows) == 1 else ""
        if not rows and len(found) == 1:
            return self.undecided[-1 - found[0]]
        return Undecided(missing=tuple(open_names), text="the level depends on what could not be determined")

    @classmethod
    def parse(
        cls,
        suspicious: Mapping[str, Any],
        patterns: Sequence[Any],
        undecided: Sequence[Any],
        levels: Sequence[str],
        where: str,
    ) -> Patterns:
        """Check the parts of a table.

        Parameters
        ----------
        suspicious, patterns, undecided : of the table
        levels : that patterns must lead to, each at least once
        where : name of the table in messages

        Raises
        ------
        ClinicalTableError
            If a word or level is unknown, two rows cover the same words, or none covers some.
        """
        is_suspicious = np.zeros(_SIZES, np.bool_)
        for name, words in suspicious.items():
            is_suspicious |= _mask(name, words, f"{where}, suspicious")
        codes = np.full(_SIZES, np.iinfo(np.int8).max, np.int8)
        covered = np.zeros(_SIZES, np.bool_)
        open_rows: list[Undecided] = []
        for number, row in enumerate([*patterns, *undecided]):
            is_pattern = number < len(patterns)
            own = {"level": str, "text": str} if is_pattern else {"missing": list, "text": str}
            check_table(row, own | _WHEN, f"{where}, patterns", optional=_WHEN)
            part = _part(row, is_suspicious, f"{where}, {row['text']}")
            require(bool(part.any()), f"{where}: no words lead to the row {row['text']!r}")
            twice = np.argwhere(covered & part)
            require(not len(twice), f"{where}: {row['text']!r} overlaps another row, at {_names(twice)}")
            covered |= part
            if is_pattern:
                require(row["level"] in levels, f"{where}: unknown level {row['level']}")
                codes[part] = number
            else:
                require(
                    len(row["missing"]) > 0 and set(row["missing"]) <= DESCRIPTORS.keys(),
                    f"{where}: missing of {row['text']!r} must name descriptors, got {row['missing']}",
                )
                codes[part] = -1 - len(open_rows)
                open_rows.append(Undecided(missing=tuple(row["missing"]), text=row["text"]))
        holes = np.argwhere(~covered)
        require(not len(holes), f"{where}: no row covers {_names(holes)}")
        unused = set(levels) - {row["level"] for row in patterns}
        require(not unused, f"{where}: no pattern leads to {', '.join(sorted(unused))}")
        codes.flags.writeable = False
        return cls(
            levels=tuple(row["level"] for row in patterns),
            texts=tuple(row["text"] for row in patterns),
            undecided=tuple(open_rows),
            codes=codes,
        )


def _part(row: Mapping[str, Any], is_suspicious: BoolArray, where: str) -> BoolArray:
    part = np.ones(_SIZES, np.bool_)
    for name in DESCRIPTORS.keys() & row.keys():
        part &= _mask(name, row[name], where)
    for word in row.get("foci_with", []):
        part &= _mask(_FOCI, [word], where)
    if "foci_without" in row:
        part &= ~_mask(_FOCI, row["foci_without"], where)
    if "suspicious" in row:
        part &= is_suspicious if row["suspicious"] else ~is_suspicious
    return part


def _mask(name: str, words: Any, where: str) -> BoolArray:
    """Where a descriptor has one of the words; bool, broadcast to all axes."""
    require(name in DESCRIPTORS, f"{where}: unknown descriptor {name}")
    known = _DETERMINED[name]
    require(isinstance(words, list) and len(words) > 0, f"{where}: {name} must be a list of words, got {words!r}")
    unknown = [word for word in words if word not in known]
    require(not unknown, f"{where}: unknown word {unknown[:1]} for {name}; known: {', '.join(known)}")
    bits = sum(1 << known.index(word) for word in words)
    axis = list(DESCRIPTORS).index(name)
    values = np.arange(_SIZES[axis])
    line = (values & bits) != 0 if name in SEVERAL else (bits >> values & 1) != 0
    shape = [1] * len(_SIZES)
    shape[axis] = len(line)
    return np.broadcast_to(line.reshape(shape), _SIZES)


def _names(places: npt.NDArray[np.int64]) -> str:
    """The first of some combinations, in words."""
    texts = []
    for name, value in zip(DESCRIPTORS, places[0] if len(places) else (), strict=False):
        known = _DETERMINED[name]
        words = [word for bit, word in enumerate(known) if value >> bit & 1] if name in SEVERAL else [known[value]]
        texts.append(f"{name} {' and '.join(words) or 'none'}")
    return ", ".join(texts)
