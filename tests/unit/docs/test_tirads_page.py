"""The page about TI-RADS has the tables as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from usassist.clinical import DESCRIPTORS, SYSTEMS

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "tirads.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("system", list(SYSTEMS.values()), ids=list(SYSTEMS))
def test_every_level_stands_with_its_risk_and_sizes(system: object) -> None:
    source = system.source  # type: ignore[attr-defined]
    assert source[source.index("PMID") :] in PAGE
    for level in system.levels:  # type: ignore[attr-defined]
        if level.no_nodule:
            assert level.level in PAGE
            continue
        (row,) = [line for line in PAGE.splitlines() if line.startswith(f"| {level.level}, {level.meaning} |")]
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert cells[2:] == [level.risk_text, level.fna_text.split(";")[0], level.follow_up_text]


@pytest.mark.parametrize("name", list(DESCRIPTORS))
def test_every_word_stands_there(name: str) -> None:
    (row,) = [line for line in PAGE.splitlines() if line.startswith(f"| `{name}`")]
    assert [word for word in DESCRIPTORS[name] if f"`{word}`" not in row] == []
