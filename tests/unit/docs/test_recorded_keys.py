"""The page of recordings names every key of a line, and every column."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from usassist.session.export import CSV_COLUMNS
from usassist.sinks.lines import FRAME_KEYS, RESULT_KEYS

PAGE = Path(__file__).parents[3] / "docs" / "recording.md"


@pytest.mark.parametrize(
    ("row", "keys"), [("`frames.jsonl`", FRAME_KEYS), ("`results.jsonl`", RESULT_KEYS), ("`--csv`", CSV_COLUMNS)]
)
def test_every_key_is_on_the_page(row: str, keys: Iterable[str]) -> None:
    lines = PAGE.read_text(encoding="utf-8").partition("## Lines")[2].splitlines()
    (text,) = (line for line in lines if line.startswith(f"| {row} |"))
    assert not [key for key in keys if f"`{key}`" not in text]
