"""A table with an unknown word, a hole or rows that overlap is found when it is read."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from usassist.clinical import SYSTEMS, parse_system
from usassist.clinical.tables import read_table
from usassist.errors import ClinicalTableError

Spoil = Callable[[dict[str, Any]], object]


def _spoilt(name: str, spoil: Spoil) -> dict[str, Any]:
    table = copy.deepcopy(read_table(f"{name}.toml"))
    spoil(table)
    return table


@pytest.mark.parametrize("name", list(SYSTEMS))
def test_the_tables_as_they_are_are_read(name: str) -> None:
    assert parse_system(read_table(f"{name}.toml")).id == name


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda t: t["points"]["margin"].update(spiky=2), r"margin has unknown words \['spiky'\]"),
        (lambda t: t["points"]["margin"].pop("smooth"), r"no points for \['smooth'\]"),
        (lambda t: t["points"].pop("foci"), "points must be given for composition"),
        (lambda t: t["points"]["margin"].update(smooth=-1), "whole numbers, not negative"),
        (lambda t: t["points"]["margin"].update(smooth=0.5), "whole numbers, not negative"),
        (lambda t: t["readings"].clear(), r"no level for a total of \[1\]"),
        (lambda t: t["readings"][0].update(points=2), "a total of 2 has a level already"),
        (lambda t: t["readings"][0].update(level="TR6"), "unknown level TR6"),
        (lambda t: t["levels"][3].update(points=[3, 6]), "a total of 3 is TR3 and TR4"),
        (lambda t: t["levels"][3].update(points=[5, 6]), r"no level for a total of \[4\]"),
        (lambda t: t["levels"][4].update(points=[7, 16]), r"no level for a total of \[17\]"),
        (lambda t: t["levels"][4].update(points=[17, 7]), "its lowest and its highest total"),
        (lambda t: t["levels"][4].pop("points"), "must have points"),
        (lambda t: t["levels"][4].update(fna_mm=0), "fna_mm of TR5 must be above 0"),
        (lambda t: t["levels"][4].update(fna_cm=1), r"unknown keys \['fna_cm'\]"),
        (lambda t: t["levels"][4].update(fna_mm="10"), "fna_mm must be float"),
        (lambda t: t["levels"][1].update(level="TR1"), "a level is there twice"),
        (lambda t: t["total_is_zero"].update(composition=["foam"]), "total_is_zero has an unknown word"),
        (lambda t: t.update(kind="guess"), "kind must be points or patterns"),
        (lambda t: t.update(size_is="about"), "size_is must be one of"),
        (lambda t: t.pop("source"), r"missing keys \['source'\]"),
    ],
)
def test_a_table_of_points_is_checked(spoil: Spoil, said: str) -> None:
    with pytest.raises(ClinicalTableError, match=said):
        parse_system(_spoilt("acr_2017", spoil))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda t: t["patterns"].pop(), "no row covers composition solid, echogenicity hypoechoic"),
        (lambda t: t["undecided"].pop(), "no row covers composition spongiform, echogenicity anechoic"),
        (lambda t: t["patterns"][-1].pop("suspicious"), "overlaps another row, at composition solid"),
        (lambda t: t["patterns"][0].update(composition=["cyst"]), "unknown word"),
        (lambda t: t["patterns"][0].update(composition=[]), "must be a list of words"),
        (lambda t: t["patterns"][0].update(colour=["red"]), r"unknown keys \['colour'\]"),
        (lambda t: t["patterns"][0].update(level="K-TIRADS 1"), "unknown level K-TIRADS 1"),
        (lambda t: t["patterns"][0].update(level="K-TIRADS 6"), "unknown level K-TIRADS 6"),
        (lambda t: t["patterns"][-1].update(level="K-TIRADS 4"), "no pattern leads to K-TIRADS 5"),
        (lambda t: t["suspicious"].update(margin=["spiky"]), "unknown word"),
        (lambda t: t["suspicious"].update(halo=["absent"]), "unknown descriptor halo"),
        (lambda t: t["undecided"][0].update(missing=["halo"]), "missing of .* must name descriptors"),
        (lambda t: t["undecided"][0].update(missing=[]), "missing of .* must name descriptors"),
    ],
)
def test_a_table_of_patterns_is_checked(spoil: Spoil, said: str) -> None:
    with pytest.raises(ClinicalTableError, match=said):
        parse_system(_spoilt("k_2021", spoil))


def test_a_table_of_another_schema_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("usassist.clinical.tables._SCHEMA", 2)
    with pytest.raises(ClinicalTableError, match="schema must be 2"):
        read_table("k_2021.toml")


def test_a_table_that_is_not_there_is_named() -> None:
    with pytest.raises(ClinicalTableError, match=r"k_2016.toml cannot be read"):
        read_table("k_2016.toml")
