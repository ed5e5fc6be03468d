from __future__ import annotations

import json
import logging
import shutil
import tomllib
from pathlib import Path

import pytest

from usassist.app.runtime import cards
from usassist.app.runtime.cards import read_card
from usassist.config import resource_dir

ENGINE_ID = json.loads((resource_dir("engines") / "thyroid_nodule/0.4.0/curves.json").read_text(encoding="utf-8"))[
    "engine_id"
]

BOXES = "boxes found (IoU ≥ 0.3)"


def test_the_card_of_the_shipped_engine_has_figures_with_the_frames_they_come_from() -> None:
    card = read_card(ENGINE_ID)
    assert card is not None
    assert card.text.startswith("# thyroid_nodule 0.4.0")
    assert {item.precision for item in card.sets} == {"fp32", "int8"}
    for item in card.sets:
        assert item.frames > 0
        assert item.cases > 0
        assert item.command.startswith("usassist eval ")
        for figure in item.figures.values():
            assert figure.n > 0
            assert figure.low is not None
            assert figure.high is not None
            assert figure.low <= figure.value <= figure.high
        found = [share for _, share, _ in item.froc]
        assert found == sorted(found)
        assert all(part.low <= part.mean_score <= part.high for part in item.calibration)
    assert {point.name for point in card.points} == {"sensitive", "balanced", "quiet"}
    assert {point.frames for point in card.points} == {65, 490, 358}


def test_figures_of_the_curves_are_those_of_the_card() -> None:
    card = read_card(ENGINE_ID)
    assert card is not None
    rows = {
        "sensitivity": ("nodules found, per frame (IoU ≥ 0.3)", "nodules found (IoU ≥ 0.3)", "nodules found", BOXES),
        "false_positives_per_frame": ("false positives per frame",),
        "false_alarms_per_frame": ("false alarms per frame",),
        "dice_mean": ("Dice per frame with a nodule, mean", "Dice per frame, mean"),
        "ece": ("expected calibration error",),
        "clips_found": ("clips whose nodule is found at all",),
    }
    document = tomllib.loads((resource_dir("engines") / "thyroid_nodule/0.4.0/figures.toml").read_text("utf-8"))
    tables = {table["name"].removeprefix("thyroid_"): table for table in document["sets"]}
    compared = 0
    for item in card.sets:
        column = document["columns"].index(item.precision.upper())
        table = {row["name"]: row["values"][column] for row in tables[item.name]["figures"]}
        for name, figure in item.figures.items():
            values = [table[row] for row in rows[name] if row in table]
            for value in values:
                assert [figure.value, figure.low, figure.high] == pytest.approx(value, abs=0.00051), (item.name, name)
            compared += len(values)
    assert compared > 30


@pytest.mark.parametrize("engine_id", ["", "nobody@1.0.0+abc", "thyroid_nodule", "../thyroid_nodule@0.4.0+a", "@+"])
def test_an_engine_that_is_not_here_has_no_card(engine_id: str) -> None:
    assert read_card(engine_id) is None


def test_figures_of_other_weights_or_broken_ones_are_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    source = resource_dir("engines") / "thyroid_nodule/0.4.0"
    folder = tmp_path / "thyroid_nodule/0.4.0"
    folder.mkdir(parents=True)
    for name in ("CARD.md", "curves.json"):
        shutil.copy(source / name, folder / name)
    monkeypatch.setattr(cards, "resource_dir", lambda name: tmp_path if name == "engines" else resource_dir(name))
    other = read_card("thyroid_nodule@0.4.0+000000000000")
    assert other is not None
    assert other.sets == ()
    assert other.points == ()
    (folder / "curves.json").write_text("{", encoding="utf-8")
    with caplog.at_level(logging.WARNING):
        broken = read_card(ENGINE_ID)
    assert broken is not None
    assert broken.sets == ()
    assert "cannot be read" in caplog.text
