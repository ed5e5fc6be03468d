"""Published cut-offs of the skeletal muscle index, as data: ``sarcopenia.toml``.

The sets do not agree with each other, so one is only applied by name, and its name goes with what it says. Low muscle
mass is one part of a definition of sarcopenia, never a diagnosis.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from functools import cache
from typing import Any

from usassist.clinical.tables import check_table, read_table, require
from usassist.errors import UsageError

__all__ = ["CutoffRow", "CutoffSet", "CutoffVerdict", "apply_cutoffs", "find_cutoffs", "load_cutoffs"]

_FILE = "sarcopenia.toml"
_KINDS: dict[str, type] = {
    "name": str, "population": str, "source": str, "checked_against": list, "level": str, "low_at_cut": bool,
    "rows": list,
}  # fmt: skip
_ROW: dict[str, type] = {"men": float, "women": float, "from_bmi": float, "below_bmi": float}


@dataclass(frozen=True, slots=True, kw_only=True)
class CutoffRow:
    """Cut-offs for a range of the body mass index.

    Attributes
    ----------
    men, women : cm²/m²
    from_bmi, below_bmi : kg/m², the first included; None = open
    """

    men: float
    women: float
    from_bmi: float | None = None
    below_bmi: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CutoffSet:
    """One published set.

    Attributes
    ----------
    id : key in the table, for example ``martin_2013``
    name, population, source : for people
    checked_against : where the numbers were read
    level : vertebral level that they are for
    low_at_cut : True: an index that equals the cut-off is low
    rows : by body mass index
    """

    id: str
    name: str
    population: str
    source: str
    checked_against: tuple[str, ...]
    level: str
    low_at_cut: bool
    rows: tuple[CutoffRow, ...]

    @property
    def needs_bmi(self) -> bool:
        """True where the cut-off depends on the body mass index."""
        return any(row.from_bmi is not None or row.below_bmi is not None for row in self.rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class CutoffVerdict:
    """What a set says about an index.

    Attributes
    ----------
    set_id, name, source : of the set
    cutoff : cm²/m²; None where the set was not applied
    is_low : None where the set was not applied
    reason : why it was not applied; empty where it was
    """

    set_id: str
    name: str
    source: str
    cutoff: float | None = None
    is_low: bool | None = None
    reason: str = ""


@cache
def load_cutoffs() -> dict[str, CutoffSet]:
    """Every set by its id.

    Raises
    ------
    ClinicalTableError
        If the table is malformed.
    """
    table = read_table(_FILE)
    require(set(table) == {"schema", "sets"} and bool(table["sets"]), f"{_FILE}: needs schema and sets")
    return {key: _read_set(key, item) for key, item in table["sets"].items()}


def _read_set(key: str, item: Any) -> CutoffSet:
    where = f"{_FILE}: {key}"
    check_table(item, _KINDS, where)
    rows = []
    for number, row in enumerate(item["rows"]):
        check_table(row, _ROW, f"{where}, row {number}", optional={"from_bmi", "below_bmi"})
        values = {name: float(value) for name, value in row.items()}
        require(10 < values["women"] <= values["men"] < 100, f"{where}, row {number}: the cut-offs are not cm2/m2")
        rows.append(CutoffRow(**values))
    require(bool(rows), f"{where}: needs rows")
    return CutoffSet(
        id=key,
        name=item["name"],
        population=item["population"],
        source=item["source"],
        checked_against=tuple(item["checked_against"]),
        level=item["level"],
        low_at_cut=item["low_at_cut"],
        rows=tuple(rows),
    )


def find_cutoffs(name: str) -> CutoffSet:
    """The set of an id, or of its first word (``prado``) where that is one set only.

    Raises
    ------
    UsageError
        If there is none.
    """
    sets = load_cutoffs()
    if name in sets:
        return sets[name]
    matches = [item for key, item in sets.items() if key.partition("_")[0] == name.lower()]
    if len(matches) != 1:
        raise UsageError(f"no set of cut-offs {name}; known: {', '.join(sets)}")
    return matches[0]


def apply_cutoffs(
    cutoffs: CutoffSet,
    index_cm2_m2: float | None,
    level: str,
    *,
    sex: str | None,
    bmi: float | None,
    is_lower_bound: bool = False,
) -> CutoffVerdict:
    """What a set says about an index; a set that lacks a fact about the patient is not applied, and says so.

    Parameters
    ----------
    cutoffs : the set
    index_cm2_m2 : skeletal muscle index; None = it could not be computed
    level : at which it was measured
    sex : ``M`` or ``F``; None or other = not known
    bmi : kg/m²; None = not known
    is_lower_bound : True: the index may be higher, so that it can be "not low", but never low
    """
    said = functools.partial(CutoffVerdict, set_id=cutoffs.id, name=cutoffs.name, source=cutoffs.source)
    reason = ""
    if index_cm2_m2 is None:
        reason = "there is no skeletal muscle index: the height is not known"
    elif level != cutoffs.level:
        reason = f"the set is for {cutoffs.level}, not for {level}"
    elif sex not in ("M", "F"):
        reason = "the sex is not known"
    elif cutoffs.needs_bmi and bmi is None:
        reason = "the body mass index is not known"
    if reason or index_cm2_m2 is None:
        return said(reason=reason)
    for row in cutoffs.rows:
        if row.from_bmi is not None and (bmi is None or bmi < row.from_bmi):
            continue
        if row.below_bmi is not None and (bmi is None or bmi >= row.below_bmi):
            continue
        cutoff = row.men if sex == "M" else row.women
        is_low = index_cm2_m2 <= cutoff if cutoffs.low_at_cut else index_cm2_m2 < cutoff
        if is_low and is_lower_bound:
            return said(reason="the index is only a lower bound: the body is not whole in the picture")
        return said(cutoff=cutoff, is_low=is_low)
    return said(reason="the set has no row for this body mass index")
