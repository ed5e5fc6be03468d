"""The systems as data: levels with their risks and sizes, and the rule that leads to a level. Checked when read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from usassist.clinical.patterns import Patterns
from usassist.clinical.points import Points
from usassist.clinical.tables import check_table, read_table, require

__all__ = ["SYSTEMS", "Level", "System", "parse_system"]

_FILES = ("acr_2017.toml", "k_2021.toml", "eu_2017.toml")
_SIZE_SIGNS = {"at_least": "≥", "more_than": ">"}
_HEAD = {
    "schema": int,
    "kind": str,
    "id": str,
    "name": str,
    "edition": str,
    "source": str,
    "checked_against": list,
    "size_is": str,
    "levels": list,
}
_POINTS_PART = {"points": dict, "total_is_zero": dict, "readings": list}
_PATTERNS_PART = {"suspicious": dict, "patterns": list, "undecided": list}
_LEVEL = {
    "level": str,
    "meaning": str,
    "risk_text": str,
    "fna_mm": float,
    "fna_note": str,
    "follow_up_mm": float,
    "follow_up_when": str,
    "no_nodule": bool,
    "points": list,
}
_OPTIONAL = {"fna_mm", "fna_note", "follow_up_mm", "follow_up_when", "no_nodule", "points"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One level of a system. Sizes are of the largest diameter, mm; None = the system has none for this level.

    Attributes
    ----------
    level, meaning : as the system calls it
    risk_text : risk of malignancy, as the source gives it
    fna_mm, follow_up_mm : sizes for fine-needle aspiration and for follow-up
    fna_text, follow_up_text : the same in words, with sign, years and notes
    no_nodule : what the system says where there is no nodule; no descriptors lead to it
    """

    level: str
    meaning: str
    risk_text: str
    fna_mm: float | None
    follow_up_mm: float | None
    fna_text: str
    follow_up_text: str
    no_nodule: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """One system in one edition.

    Attributes
    ----------
    id, name, edition : ``k_2021``, ``K-TIRADS``, ``2021``
    source : citation of the paper with its PMID
    checked_against : other publications that the table was compared with
    size_sign : ``≥`` or ``>``, how the sizes are meant
    levels : in ascending order
    rule : how descriptors lead to a level
    """

    id: str
    name: str
    edition: str
    source: str
    checked_against: tuple[str, ...]
    size_sign: str
    levels: tuple[Level, ...]
    rule: Points | Patterns


def parse_system(table: Mapping[str, Any]) -> System:
    """Check the table of one system.

    Parameters
    ----------
    table : as read from TOML

    Raises
    ------
    ClinicalTableError
        If a key or word is unknown or missing, two rows cover the same descriptors, or no row covers some.
    """
    where = str(table.get("id", "a system"))
    is_points = table.get("kind") == "points"
    require(is_points or table.get("kind") == "patterns", f"{where}: kind must be points or patterns")
    check_table(dict(table), _HEAD | (_POINTS_PART if is_points else _PATTERNS_PART), where)
    require(table["size_is"] in _SIZE_SIGNS, f"{where}: size_is must be one of {', '.join(_SIZE_SIGNS)}")
    sign = _SIZE_SIGNS[table["size_is"]]
    levels = tuple(_level(row, sign, where, is_points=is_points) for row in table["levels"])
    names = [level.level for level in levels]
    require(len(set(names)) == len(names) > 0, f"{where}: a level is there twice: {', '.join(names)}")
    rule: Points | Patterns
    if is_points:
        spans = {row["level"]: row["points"] for row in table["levels"]}
        rule = Points.parse(table["points"], table["total_is_zero"], spans, table["readings"], where)
    else:
        usable = [level.level for level in levels if not level.no_nodule]
        rule = Patterns.parse(table["suspicious"], table["patterns"], table["undecided"], usable, where)
    return System(
        id=table["id"],
        name=table["name"],
        edition=table["edition"],
        source=table["source"],
        checked_against=tuple(table["checked_against"]),
        size_sign=sign,
        levels=levels,
        rule=rule,
    )


def _level(row: Any, sign: str, where: str, *, is_points: bool) -> Level:
    check_table(row, _LEVEL, f"{where}, levels", optional=_OPTIONAL)
    require(("points" in row) is is_points, f"{where}: {row['level']} must have points if, and only if, they add up")
    sizes = {key: row.get(key) for key in ("fna_mm", "follow_up_mm")}
    for key, size in sizes.items():
        require(size is None or 0 < size < 100, f"{where}: {key} of {row['level']} must be above 0 and below 100 mm")
    fna_mm, follow_up_mm = sizes["fna_mm"], sizes["follow_up_mm"]
    follow_up = [] if follow_up_mm is None else [f"{sign} {follow_up_mm:g} mm"]
    follow_up += [row["follow_up_when"]] if "follow_up_when" in row else []
    fna = [] if fna_mm is None else [f"{sign} {fna_mm:g} mm"]
    fna += [row["fna_note"]] if "fna_note" in row else []
    return Level(
        level=row["level"],
        meaning=row["meaning"],
        risk_text=row["risk_text"],
        fna_mm=None if fna_mm is None else float(fna_mm),
        follow_up_mm=None if follow_up_mm is None else float(follow_up_mm),
        fna_text="; ".join(fna) or "none given",
        follow_up_text=", ".join(follow_up) or "none given",
        no_nodule=row.get("no_nodule", False),
    )


SYSTEMS: Mapping[str, System] = MappingProxyType(
    {system.id: system for system in (parse_system(read_table(name)) for name in _FILES)}
)
"""Id of a system → its table: ``acr_2017``, ``k_2021``, ``eu_2017``."""
