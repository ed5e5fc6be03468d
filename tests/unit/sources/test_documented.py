"""The pages name every address."""

from __future__ import annotations

from pathlib import Path

import pytest

from usassist.sources import address
from usassist.sources.inputs import address as inputs_address

DOCUMENT = Path(__file__).parents[3] / "docs" / "sources.md"


@pytest.mark.parametrize("name", [*address._MODULES, *inputs_address._MODULES])
def test_every_address_is_on_the_page(name: str) -> None:
    assert f"`{name}:" in DOCUMENT.read_text(encoding="utf-8")


def test_a_name_stands_in_one_table() -> None:
    assert not set(address._MODULES) & set(inputs_address._MODULES)


def test_only_sources_that_are_there_may_be_recorded_with_their_numbers() -> None:
    assert set(address.NUMBERS_ONLY) <= set(address._MODULES)
