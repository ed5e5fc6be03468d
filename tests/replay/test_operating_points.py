"""The main job with calibrated scores: what is published, recorded and told, from one score file."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.samples import score_file
from usassist.app.commands.progress import ProgressBar
from usassist.app.commands.replay_report import print_answer
from usassist.app.runtime.clip_session import ReplayOutcome, replay
from usassist.app.runtime.clips import ClipAnswer
from usassist.app.runtime.open_stream import StreamOptions, open_stream
from usassist.config import resource_dir
from usassist.engine import find_engine
from usassist.errors import CalibrationError, UsageError

ENGINE = find_engine("thyroid_nodule")


def _options(folder: Path, **changes: object) -> StreamOptions:
    values = {
        "source": f"clip:{resource_dir('demo') / 'clip.mkv'}",
        "bus": "",
        "engine": f"{ENGINE.name}@{ENGINE.version}",
        "backend": "onnxruntime",
        "score_folder": str(folder),
        "fast": True,
        "count": 30,
    }
    return StreamOptions(**(values | changes))  # type: ignore[arg-type]


def _run(options: StreamOptions, out: Path) -> tuple[ReplayOutcome, list[dict], dict]:
    with ProgressBar(quiet=True) as progress:
        outcome = replay(options, out, overlay_video=False, window=None, progress=progress)
    assert outcome.error is None
    lines = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    return outcome, lines, tomllib.loads((out / "session.toml").read_text())


def _print(outcome: ReplayOutcome) -> None:
    answer = ClipAnswer(clip="demo", outcome=outcome, error="")
    print_answer(answer, alone=True, quiet=False, on_stderr=False)


@pytest.fixture
def scores(tmp_path: Path) -> Path:
    """A folder with a calibration of the shipped engine, written as others would write it."""
    folder = tmp_path / "score"
    folder.mkdir()
    (folder / "any_name.toml").write_text(score_file(ENGINE.engine_id))
    return folder


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    """What was printed so far, on a screen that is wide enough for every line."""
    monkeypatch.setenv("COLUMNS", "200")
    return lambda: capsys.readouterr().out


def test_every_operating_point_is_applied_recorded_and_printed(
    scores: Path, tmp_path: Path, printed: Callable[[], str]
) -> None:
    found = {}
    for point, threshold in (("sensitive", 0.2), ("auto", 0.5), ("quiet", 0.8)):
        outcome, lines, session = _run(_options(scores, point=point), tmp_path / point)
        name = "balanced" if point == "auto" else point
        assert outcome.summary["point"]["name"] == name
        assert outcome.summary["score_calibration_id"] == "tiny_test"
        (engine,) = session["engines"]
        assert (engine["point"], engine["score_calibration_id"]) == (name, "tiny_test")
        values = [nodule["score"] for line in lines for nodule in line["nodules"]]
        assert all(value >= threshold for value in values)
        found[name] = len(values)
        _print(outcome)
    assert found["sensitive"] >= found["balanced"] >= found["quiet"]
    assert found["sensitive"] > 0
    text = printed()
    assert "sensitive: finds 97 of 100 nodules, 0.2 false alarms per frame (validation frames)" in text
    assert "0.02 false alarms per frame, 0.01 on frames without a nodule (validation frames)" in text


def test_without_score_calibration_the_engines_own_threshold_is_used_and_reported(
    tmp_path: Path, printed: Callable[[], str]
) -> None:
    outcome, lines, session = _run(_options(tmp_path / "none"), tmp_path / "s")
    assert outcome.summary["point"] is outcome.summary["score_calibration_id"] is None
    assert "point" not in session["engines"][0]
    values = [nodule["score"] for line in lines for nodule in line["nodules"]]
    assert values
    assert min(values) >= ENGINE.labels[0].score_threshold
    _print(outcome)
    assert "scores are not calibrated" in printed()


def test_a_point_of_an_engine_without_calibration_is_wrong_use(tmp_path: Path) -> None:
    with (
        pytest.raises(UsageError, match=r"no operating point balanced: scores of .* are not calibrated") as caught,
        open_stream(_options(tmp_path / "none", point="balanced")),
    ):
        pass
    assert caught.value.exit_code == 2


def test_an_unknown_point_is_answered_with_the_known_ones(scores: Path) -> None:
    with (
        pytest.raises(UsageError, match=r"no operating point loud .* known: sensitive, balanced, quiet"),
        open_stream(_options(scores, point="loud")),
    ):
        pass


def test_a_broken_score_file_stops_the_stream_before_it_begins(scores: Path) -> None:
    (scores / "any_name.toml").write_text(score_file(ENGINE.engine_id, slope=-1))
    with (
        pytest.raises(CalibrationError, match=r"any_name.toml, labels.* slope must be above 0"),
        open_stream(_options(scores)),
    ):
        pass
