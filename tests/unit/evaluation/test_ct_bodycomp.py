"""The shipped engine of body composition on what it never saw: simulated abdomens, and one person where that set is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from usassist.engine import find_engine, open_engine
from usassist.engine.base import Engine
from usassist.evaluation.ct_bodycomp import evaluate_real, evaluate_simulated, main


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with open_engine(find_engine("ct_bodycomp"), "onnxruntime", threads=1) as opened:
        yield opened


def test_simulated_abdomens_of_every_body_type(engine: Engine) -> None:
    report = evaluate_simulated(engine, 12)
    figures = report["all"]
    assert figures["skeletal_muscle"]["dice"] > 0.9
    assert figures["subcutaneous_fat"]["dice"] > 0.95
    assert figures["visceral_fat"]["dice"] > 0.93
    low, high = figures["skeletal_muscle"]["dice_95"]
    assert low <= figures["skeletal_muscle"]["dice"] <= high
    assert report["obese"]["subcutaneous_fat"]["planes"] == 2


def test_agreement_with_another_model_on_one_person(engine: Engine) -> None:
    folder = Path(os.environ.get("USASSIST_DATA", ""))
    if "USASSIST_DATA" not in os.environ or not (folder / "ct_body_totalsegmentator").is_dir():
        pytest.skip("USASSIST_DATA does not name a folder with ct_body_totalsegmentator")
    report = evaluate_real(engine, folder)
    assert report["planes"] == 30
    assert report["skeletal_muscle"]["dice"] > 0.83
    assert report["subcutaneous_fat"]["dice"] > 0.88
    assert report["visceral_fat"]["dice"] > 0.83


def test_a_set_that_is_missing_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("USASSIST_DATA", str(tmp_path))
    assert main(["--simulated", "0", "--real", "--backend", "onnxruntime"]) != 0
    error = capsys.readouterr().err
    assert "ct_body_totalsegmentator is missing" in error
    assert error.count("\n") == 1
