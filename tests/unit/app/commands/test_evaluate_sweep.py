"""``usassist eval sweep`` on clips with bright ellipses, with an engine that takes what is bright for a nodule."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.samples import bright_engine, bright_screen
from usassist.app.commands.main import main

pytest.importorskip("onnx", reason="the engine of these tests is made with onnx")
pytest.importorskip("onnxruntime", reason="the engine of these tests runs on onnxruntime")

Run = Callable[..., tuple[int, str, str]]

NODULE, SPOT = (250, 150, 40, 28), (400, 240, 14, 12)


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of engines with `bright` in it."""
    return bright_engine(tmp_path_factory.mktemp("engines"))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Clip A: the nodule on the last three of five frames. Clip B: it is on all four, with a bright spot on two."""
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for clip, count in (("A", 5), ("B", 4)):
        for number in range(count):
            shows = clip == "B" or number >= 2
            spots = [SPOT] if clip == "B" and number in (1, 2) else []
            screen = bright_screen(number, [*([NODULE] if shows else []), *spots])
            mask = np.zeros((360, 560), np.uint8)
            if shows:
                cv2.ellipse(mask, NODULE[:2], NODULE[2:], 0, 0, 360, 255, -1)
            cv2.imwrite(str(tmp_path / f"images/{clip}_{number:03}.png"), screen)
            cv2.imwrite(str(tmp_path / f"masks/{clip}_{number:03}.png"), mask)
    return tmp_path


@pytest.fixture
def run(data: Path, engines: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Call ``usassist eval sweep`` with the engine `bright`; exit code, standard output, standard error."""

    def call(*arguments: object) -> tuple[int, str, str]:
        folders = [data / "images", data / "masks", "--json", data / "o/s.json"]
        options = ["--engine", "bright", "--engines", engines, "--backend", "onnxruntime"]
        words = ["usassist", "eval", "sweep", *map(str, (*folders, *options, *arguments))]
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as ended:
            main()
        return (ended.value.code, *capsys.readouterr())  # type: ignore[return-value]

    return call


def test_clips_give_a_table_json_csv_and_a_sheet(run: Run, data: Path) -> None:
    code, out, _ = run("--by", "clip")
    assert code == 0
    assert "frames to first detection" in out
    assert "the rate of the clips is not known" in " ".join(out.split())
    report = json.loads((data / "o/s.json").read_text())
    assert (report["by"], report["rate_hz"], report["counts"]["clips"]) == ("clip", None, 2)
    assert str(data) not in report["command"]
    first, second = report["clips"]
    assert (first["clip"], first["found"], first["to_first_detection"]) == ("A", 3, 0)
    assert first["flicker"] < 0.01  # the noise of the picture differs from frame to frame
    assert (second["found"], second["false_positives_marked"], second["alarms_marked"]) == (4, 2, 1)
    assert report["figures"]["clips_found"] == {"value": 1.0, "low": 1.0, "high": 1.0, "count": 2}
    assert report["figures"]["false_positives_per_frame"]["value"] == pytest.approx(2 / 9)
    assert report["figures"]["false_alarms_per_1000_frames"]["value"] == pytest.approx(1000 / 9)
    assert report["figures"]["dice_mean"]["count"] == 7
    assert report["figures"]["ece"]["count"] == 9
    rows = list(csv.DictReader((data / "o/s.csv").read_text().splitlines()))
    assert [row["name"] for row in rows] == [f"A_{number:03}" for number in range(5)] + [
        f"B_{number:03}" for number in range(4)
    ]
    assert len({row["crop_xyxy_px"] for row in rows}) == 1
    assert cv2.imread(str(data / "o/s.png")).shape[1] > 1000


def test_with_a_rate_false_alarms_are_per_minute(run: Run, data: Path) -> None:
    assert run("--rate-hz", "30")[0] == 0
    figures = json.loads((data / "o/s.json").read_text())["figures"]
    assert figures["false_alarms_per_minute"]["value"] == pytest.approx(60 * 30 / 9)


def test_clips_of_one_case_are_resampled_together(run: Run, data: Path) -> None:
    (data / "cases.txt").write_text("A,p1\nB,p1\n")
    assert run("--by", "case", "--cases", data / "cases.txt")[0] == 0
    figure = json.loads((data / "o/s.json").read_text())["figures"]["false_positives_per_frame"]
    assert figure["low"] == figure["high"] == figure["value"]


def test_videos_are_written_once_and_only_of_the_clips_asked_for(run: Run, data: Path) -> None:
    code, out, _ = run("--videos", data / "v", "--video", "B")
    assert code == 0
    assert "B.webm" in out
    assert [path.name for path in (data / "v").iterdir()] == ["B.webm"]
    (data / "o/s.json").unlink()
    code, _, err = run("--videos", data / "v", "--video", "B")
    assert code == 2
    assert "--overwrite" in err
    assert not (data / "o/s.json").exists()
    assert run("--videos", data / "v", "--video", "B", "--overwrite")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--by", "frame"), "write clip or case"),
        (("--by", "case"), "--cases"),
        (("--video", "A"), "--videos"),
        (("--videos", "v", "--video", "C"), "no clip C"),
        (("--point", "balanced"), "no score calibration"),
        (("--clips", "gone.csv"), "gone.csv cannot be read"),
    ],
)
def test_wrong_use_is_one_line_and_no_file(
    run: Run, data: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(data)
    code, out, err = run(*arguments)
    assert code in (1, 2)
    assert message in err
    assert err.count("\n") == 1
    assert out == ""
    assert not (data / "o/s.json").exists()


def test_a_broken_last_frame_is_named_before_the_first_is_run(
    run: Run, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_none(*_: object) -> None:
        raise AssertionError("a frame was run")

    monkeypatch.setattr("usassist.evaluation.engine_under_test.run_frames", run_none)
    cv2.imwrite(str(data / "masks/B_003.png"), np.zeros((360, 561), np.uint8))
    code, _, err = run()
    assert code == 1
    assert "B_003" in err
    assert "561 x 360 px" in err


def test_an_engine_with_other_outputs_is_refused(run: Run, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("usassist.evaluation.engine_under_test.decoder_for", lambda spec: None)
    code, _, err = run()
    assert code == 2
    assert "no outlines of nodules" in err
