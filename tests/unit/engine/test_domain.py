"""The domain of an engine: what is refused before anything runs, and what is read from its output."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from tests.samples import bright_engine
from usassist.engine import Domain, find_engine, open_engine
from usassist.engine.comparison import compare
from usassist.errors import EngineOutputError, EngineSpecError
from usassist.modalities.ultrasound.task import make_decoder, make_task

pytest.importorskip("onnx", reason="the engine of these tests is made with onnx")
pytest.importorskip("onnxruntime", reason="the engine of these tests runs on onnxruntime")


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bright_engine(tmp_path_factory.mktemp("engines"), threshold=0.5)


@pytest.fixture
def edited(tmp_path: Path) -> Path:
    return bright_engine(tmp_path, threshold=0.5)


def _edit(engines: Path, before: str, after: str) -> None:
    path = engines / "bright/1.0.0/engine.toml"
    text = path.read_text()
    assert text.count(before) == 1, before
    path.write_text(text.replace(before, after))


def test_engines_with_and_without_a_domain_are_read(engines: Path, tmp_path: Path) -> None:
    expected = Domain(name="thyroid", output="thyroid_prob", threshold=0.5, source="tests")
    assert find_engine("bright", engines).domain == expected
    assert find_engine("bright", bright_engine(tmp_path)).domain is None


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (
            'output = "thyroid_prob"',
            'output = "gland_prob"',
            "there is no output gland_prob, only mask_prob, ",
        ),
        (
            'output = "thyroid_prob"',
            'output = "mask_prob"',
            "must be mask_prob float32 [1, 1], got mask_prob",
        ),
        ("threshold = 0.5", "threshold = 1.5", "threshold must lie in 0 to 1, got 1.5"),
        ("threshold = 0.5", "threshold = nan", "threshold must lie in 0 to 1, got nan"),
        ("threshold = 0.5", 'threshold = "half"', "threshold must be float"),
        ("threshold = 0.5", "treshold = 0.5", "key threshold is missing"),
        ("threshold = 0.5", "threshold = 0.5\nlabel = 1", "unknown key label"),
        ('name = "thyroid"', 'name = " "', "must not be empty"),
        ('source = "tests"', "", "key source is missing"),
    ],
)
def test_a_wrong_domain_is_refused_with_the_reason(edited: Path, before: str, after: str, message: str) -> None:
    _edit(edited, before, after)
    with pytest.raises(EngineSpecError, match=re.escape(message)):
        find_engine("bright", edited)


def test_outputs_with_other_names_are_refused_with_both_lists(edited: Path) -> None:
    path = edited / "bright/1.0.0/engine.toml"
    text = path.read_text()
    path.write_text(text[: text.index("[domain]")])
    spec = find_engine("bright", edited)
    three = "mask_prob, center_score, box_ltrb_px"
    with pytest.raises(
        EngineSpecError, match=f"the outputs must be {three}, found {three}, thyroid_prob; export it so"
    ):
        make_task(spec, None, "balanced", None)
    assert make_decoder(spec) is None
    path.write_text(text.replace('"thyroid_prob"', '"gland_prob"'))
    with pytest.raises(EngineSpecError, match=r"the graph's outputs are .*thyroid_prob.*engine.toml says .*gland_prob"):
        open_engine(find_engine("bright", edited), "onnxruntime")


def test_two_back_ends_are_compared_with_four_outputs(engines: Path) -> None:
    spec = find_engine("bright", engines)
    decode = make_decoder(spec)
    assert decode is not None
    with open_engine(spec, "onnxruntime") as one, open_engine(spec, "torch") as other:
        compared = compare(other, one, decode)
    assert not compared.failures
    assert {item.output for item in compared.outputs} == {tensor.name for tensor in spec.outputs}


@pytest.mark.parametrize(
    ("prob", "threshold", "reason"),
    [
        (0.03, 0.5, "not thyroid (0.03 < 0.50)"),
        (0.4999, 0.5, "not thyroid (0.4999 < 0.5000)"),
        (0.5, 0.5, ""),
        (0.97, 0.5, ""),
        (0.0, 0.0, ""),
    ],
)
def test_below_the_threshold_the_reason_names_both_numbers(prob: float, threshold: float, reason: str) -> None:
    domain = Domain(name="thyroid", output="thyroid_prob", threshold=threshold, source="tests")
    assert domain.why_abstain(prob) == reason


def test_what_is_no_probability_is_an_error_of_the_engine() -> None:
    domain = Domain(name="thyroid", output="thyroid_prob", threshold=0.5, source="tests")
    assert domain.read_prob({"thyroid_prob": np.full((1, 1), 1.004, np.float32)}) == 1.0
    for outputs, message in (
        ({}, "must be one number, got nothing"),
        ({"thyroid_prob": np.zeros((1, 2), np.float32)}, "must be one number, got shape"),
        ({"thyroid_prob": np.full((1, 1), 7.0, np.float32)}, "must be a probability, got 7; put the sigmoid"),
        ({"thyroid_prob": np.full((1, 1), np.nan, np.float32)}, "must be a probability"),
    ):
        with pytest.raises(EngineOutputError, match=message):
            domain.read_prob(outputs)
