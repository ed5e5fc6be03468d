"""The rule of a system in which points add up to a total, and the total gives the level."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from usassist.clinical.tables import check_table, require
from usassist.clinical.vocabulary import ALONE, DESCRIPTORS, SEVERAL

__all__ = ["Points"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Points:
    """Points of every word, and the level of every total that they can add up to.

    Attributes
    ----------
    points : descriptor → word → points; of a descriptor with several words they add up
    total_is_zero : descriptor → words with which nothing else is counted
    level_of : total → level
    notes : total → what is to be said with it, where the source has no level for it
    """

    points: Mapping[str, Mapping[str, int]]
    total_is_zero: Mapping[str, Sequence[str]]
    level_of: Mapping[int, str]
    notes: Mapping[int, str]

    def total(self, words: Mapping[str, Sequence[str]]) -> int:
        """Points of all words together; every descriptor must have one."""
        if any(word in words[name] for name, spared in self.total_is_zero.items() for word in spared):
            return 0
        return sum(self.points[name][word] for name, given in words.items() for word in given)

    @classmethod
    def parse(
        cls,
        points: Mapping[str, Any],
        total_is_zero: Mapping[str, Any],
        spans: Mapping[str, Any],
        readings: Sequence[Any],
        where: str,
    ) -> Points:
        """Check the parts of a table.

        Parameters
        ----------
        points, total_is_zero, readings : of the table
        spans : level → its lowest and highest total
        where : name of the table in messages

        Raises
        ------
        ClinicalTableError
            If a word is unknown or has no points, or a total has no level or two of them.
        """
        _check_points(points, where)
        for name, words in total_is_zero.items():
            require(
                name in DESCRIPTORS and all(word in DESCRIPTORS[name] for word in words),
                f"{where}: total_is_zero has an unknown word for {name}: {words}",
            )
        level_of: dict[int, str] = {}
        notes: dict[int, str] = {}
        for level, span in spans.items():
            require(
                len(span) == 2 and all(type(end) is int for end in span) and span[0] <= span[1],
                f"{where}: points of {level} must be its lowest and its highest total, got {span}",
            )
            for total in range(span[0], span[1] + 1):
                require(total not in level_of, f"{where}: a total of {total} is {level_of.get(total)} and {level}")
                level_of[total] = level
        for reading in readings:
            check_table(reading, {"points": int, "level": str, "note": str}, f"{where}, readings")
            total = reading["points"]
            require(total not in level_of, f"{where}: a total of {total} has a level already")
            require(reading["level"] in spans, f"{where}: unknown level {reading['level']}")
            level_of[total], notes[total] = reading["level"], reading["note"]
        missing = sorted(_totals(points) - level_of.keys())
        require(not missing, f"{where}: no level for a total of {missing}")
        return cls(points=points, total_is_zero=total_is_zero, level_of=level_of, notes=notes)


def _check_points(points: Mapping[str, Any], where: str) -> None:
    require(points.keys() == DESCRIPTORS.keys(), f"{where}: points must be given for {', '.join(DESCRIPTORS)}")
    for name, known in DESCRIPTORS.items():
        own = points[name]
        require(isinstance(own, dict), f"{where}: points of {name} must be a table")
        unknown, missing = sorted(own.keys() - known.keys()), sorted(known.keys() - own.keys())
        require(not unknown and not missing, f"{where}: {name} has unknown words {unknown}, no points for {missing}")
        require(
            all(type(value) is int and value >= 0 for value in own.values()),
            f"{where}: points of {name} must be whole numbers, not negative",
        )


def _totals(points: Mapping[str, Mapping[str, int]]) -> set[int]:
    """Every total that the words can add up to."""
    totals = {0}
    for name, own in points.items():
        sums = set(own.values())
        if name in SEVERAL:
            free = [value for word, value in own.items() if (name, word) not in ALONE]
            sums |= {sum(chosen) for count in range(1, len(free) + 1) for chosen in itertools.combinations(free, count)}
        totals = {total + value for total in totals for value in sums}
    return totals
