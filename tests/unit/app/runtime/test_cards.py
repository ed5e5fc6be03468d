from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import pytest

from usassist.app.runtime import cards
from usassist.app.runtime.cards import read_card
from usassist.config import resource_dir

ENGINE_ID = json.loads((resource_dir("engines") / "thyroid_nodule/0.4.0/curves.json").read_text(encoding="utf-8"))[
    "engine_id"
]


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


def test_figures_of_the_file_are_those_of_the_card() -> None:
    card = read_card(ENGINE_ID)
    assert card is not None
    sets = {(item.name, item.precision): item for item in card.sets}
    for name, precision, row, column in (
        ("cine", "int8", "nodules found, per frame", 4),
        ("tn5000_val", "fp32", "boxes found (IoU ≥ 0.3)", 3),
        ("ddti_val", "int8", "nodules found (IoU ≥ 0.3)", 4),
    ):
        line = next(line for line in card.text.splitlines() if line.startswith(f"| {row}"))
        text = line.split(" | ")[column - 1].strip(" |")
        figure = sets[name, precision].figures["sensitivity"]
        value, low, high = (float(part) for part in text.replace("(", "").replace(")", "").replace("to ", "").split())
        assert figure.value == pytest.approx(value, abs=0.001)
        assert figure.low == pytest.approx(low, abs=0.001)
        assert figure.high == pytest.approx(high, abs=0.001)


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
