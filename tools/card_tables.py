"""The tables of an engine's card, by scanner and site, from its figures: ``python -m tools.card_tables``.

``figures.toml`` beside the card has the figures; the page reads them too. A test compares the cards with them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from usassist.engine import list_engines
from usassist.engine.card_figures import CardFigures

__all__ = ["main", "renew_card"]

ENGINES = Path(__file__).resolve().parent.parent / "engines"
_TABLE = re.compile(
    r"(<!-- figures (\w+), renewed by: python -m tools\.card_tables -->\n).*?(<!-- end of figures -->\n)", re.DOTALL
)


def renew_card(card: str, tables: Sequence[Mapping[str, Any]]) -> str:
    """The card with its tables renewed.

    Raises
    ------
    ValueError
        If the card does not have a place for each table, in their order.
    """
    by_name = {table["name"]: table for table in tables}
    places = [match[2] for match in _TABLE.finditer(card)]
    if places != list(by_name):
        raise ValueError(f"the card has places for {places}, the figures are of {list(by_name)}; make them agree")
    return _TABLE.sub(lambda match: match[1] + _table(by_name[match[2]]) + match[3], card)


def _table(table: Mapping[str, Any]) -> str:
    columns = [table["title"], *table["columns"][1:]]
    rows = [columns, ["---"] * len(columns), *table["rows"]]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def main() -> None:
    """Renew the cards of all engines that have figures."""
    for spec in list_engines(ENGINES):
        if (figures := CardFigures.load(spec.folder, spec.engine_id)) is not None:
            path = spec.folder / "CARD.md"
            path.write_text(renew_card(path.read_text(encoding="utf-8"), figures.tables), encoding="utf-8")


if __name__ == "__main__":
    main()
