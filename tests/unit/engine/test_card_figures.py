from __future__ import annotations

from pathlib import Path

import pytest

from tools.card_tables import renew_card
from usassist.calibrate import load_score_calibration
from usassist.engine import find_engine, list_engines
from usassist.engine.card_figures import CardFigures
from usassist.errors import EngineSpecError

FIGURES = """
schema = 1
engine_id = "x@1.0.0+ab"
columns = ["FP32", "INT8"]
[[sets]]
name = "old"
title = "an old scanner; 3 frames"
shows = "one old scanner"
frames = 3
command = "usassist eval nodule"
[[sets.figures]]
name = "nodules found"
digits = 2
values = [[0.5, 0.25, 0.75], [0.625, 0.5, 1.0]]
"""


def _load(folder: Path, text: str) -> CardFigures | None:
    (folder / "figures.toml").write_text(text)
    return CardFigures.load(folder, "x@1.0.0+ab")


def test_figures_are_rows_of_text_with_their_intervals(tmp_path: Path) -> None:
    figures = _load(tmp_path, FIGURES)
    assert figures is not None
    (table,) = figures.tables
    assert table["columns"] == ["", "FP32", "INT8"]
    assert table["rows"] == [["nodules found", "0.50 (0.25 to 0.75)", "0.62 (0.50 to 1.00)"]]
    assert (table["shows"], table["frames"], figures.shows) == ("one old scanner", 3, {"old": "one old scanner"})


def test_an_engine_without_figures_has_none(tmp_path: Path) -> None:
    assert CardFigures.load(tmp_path, "x@1.0.0+ab") is None


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("schema = 1", "schema = 2", "has schema 2"),
        ("x@1.0.0+ab", "x@1.0.0+cd", "is of x@1.0.0\\+cd"),
        ("frames = 3", "", "frames"),
        ("digits = 2", "digits = 2\nunit = 1", "unit"),
        (", [0.625, 0.5, 1.0]", "", "each of the 2 columns"),
        ("0.625", "nan", "each of the 2 columns"),
        ("[[sets]]", "[[sets", "cannot be read"),
    ],
)
def test_a_wrong_file_is_refused_with_its_name(tmp_path: Path, before: str, after: str, words: str) -> None:
    assert before in FIGURES
    with pytest.raises(EngineSpecError, match=f"figures.toml.*{words}"):
        _load(tmp_path, FIGURES.replace(before, after))


def test_the_card_of_every_engine_has_the_tables_of_its_figures() -> None:
    for spec in list_engines():
        figures = CardFigures.load(spec.folder, spec.engine_id)
        assert figures is not None
        card = (spec.folder / "CARD.md").read_text(encoding="utf-8")
        assert renew_card(card, figures.tables) == card, "python -m tools.card_tables"


def test_what_the_frames_of_a_score_file_show_is_told_by_the_engine() -> None:
    spec = find_engine("thyroid_nodule")
    figures, scores = CardFigures.load(spec.folder, spec.engine_id), load_score_calibration(spec.engine_id)
    assert figures is not None
    assert scores is not None
    frames = {table["name"]: table["frames"] for table in figures.tables}
    assert {one.name: one.frames for one in scores.sets}.items() <= frames.items()


def test_a_card_without_a_place_for_a_table_is_refused() -> None:
    spec = find_engine("thyroid_nodule")
    figures = CardFigures.load(spec.folder, spec.engine_id)
    assert figures is not None
    with pytest.raises(ValueError, match="places"):
        renew_card("a card", figures.tables)
