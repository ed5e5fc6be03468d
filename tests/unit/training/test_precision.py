from __future__ import annotations

import json
import logging

import pytest

torch = pytest.importorskip("torch", reason="training needs the extra `train`: pip install usassist[train]")

from tests.unit.training.test_train import tiny_data, tiny_recipe  # noqa: E402
from usassist.errors import ConfigError  # noqa: E402
from usassist.training.checkpoint import load_trained  # noqa: E402
from usassist.training.network.loss import detect_segment_loss  # noqa: E402
from usassist.training.precision import StepTimes, choose_precision, time_steps  # noqa: E402
from usassist.training.train import train  # noqa: E402

EMULATED = StepTimes(fp32_ms=5.0, bf16_ms=75.0)
FAST = StepTimes(fp32_ms=5.0, bf16_ms=2.0)
HARDLY = StepTimes(fp32_ms=5.0, bf16_ms=4.8)


@pytest.mark.parametrize(
    ("wanted", "times", "used"),
    [
        ("auto", EMULATED, "fp32"),
        ("auto", HARDLY, "fp32"),
        ("auto", FAST, "bf16"),
        ("bf16", EMULATED, "bf16"),
        ("bf16", FAST, "bf16"),
    ],
)
def test_bfloat16_is_used_where_it_is_faster_or_requested(
    wanted: str, times: StepTimes, used: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        chosen = choose_precision(wanted, 2, lambda: times)
    assert (chosen.used, chosen.is_bf16, chosen.times) == (used, used == "bf16", times)
    (record,) = caplog.records
    warned = wanted == "bf16" and times is EMULATED
    assert record.levelno == (logging.WARNING if warned else logging.INFO)
    assert f"{times.bf16_ms:.1f} ms in bf16 and 5.0 ms in fp32" in record.getMessage()


def test_requested_float32_is_not_timed() -> None:
    def never() -> StepTimes:
        raise AssertionError

    chosen = choose_precision("fp32", 2, never)
    assert (chosen.used, chosen.times) == ("fp32", None)
    with pytest.raises(ConfigError, match="must be one of auto, bf16, fp32, got 'fp16'"):
        choose_precision("fp16", 2)


def test_both_are_timed_without_changing_the_random_state() -> None:
    torch.manual_seed(3)
    wanted = torch.rand(1)
    torch.manual_seed(3)
    times = time_steps()
    assert torch.equal(torch.rand(1), wanted)
    assert times.fp32_ms > 0
    assert times.bf16_ms > 0


@pytest.mark.parametrize("times", [EMULATED, FAST])
def test_a_run_uses_and_records_the_chosen_precision(times: StepTimes, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("usassist.training.precision.time_steps", lambda: times)
    seen = []

    def watched(raw, *rest):
        seen.append(raw.mask.dtype if hasattr(raw, "mask") else raw[0].dtype)
        return detect_segment_loss(raw, *rest)

    monkeypatch.setattr("usassist.training.train.detect_segment_loss", watched)
    train(tiny_recipe(precision="auto"), tiny_data(), tmp_path)
    assert set(seen) == {torch.bfloat16 if times is FAST else torch.float32}
    (entry,) = load_trained(tmp_path)[1].arithmetic
    assert entry["used"] == ("bf16" if times is FAST else "fp32")
    assert entry["times"] == {"fp32_ms": 5.0, "bf16_ms": times.bf16_ms}
    assert (entry["from_step"], entry["wanted"], entry["threads"]) == (0, "auto", 2)
    json.dumps(entry)


def test_a_run_resumes_in_another_precision_and_records_both(tmp_path) -> None:
    train(tiny_recipe(steps=4, stop_at_step=2), tiny_data(), tmp_path)
    recipe = tiny_recipe(steps=4, stop_at_step=2, precision="bf16")
    train(recipe, tiny_data(), tmp_path)
    entries = load_trained(tmp_path)[1].arithmetic
    assert [(entry["from_step"], entry["used"]) for entry in entries] == [(0, "fp32"), (2, "bf16")]
