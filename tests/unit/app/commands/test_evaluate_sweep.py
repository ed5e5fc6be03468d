"""``usassist eval sweep`` on clips with bright ellipses, with an engine that takes what is bright for a nodule."""

from __future__ import annotations

import csv
import dataclasses
import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.samples import bright_engine, bright_screen, score_file
from usassist.app.commands.main import main
from usassist.calibrate import load_score_calibration
from usassist.engine import find_engine
from usassist.evaluation.engine_under_test import EngineUnderTest
from usassist.phantom import SweepScene, draw_sweep_scenes
from usassist.records import Detections

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


ASSOCIATION = "[points.association]\nalone = 1.0\nrise = 0.15\nrelease = 0.04\nframes = 2\niou = 0.3\n"


@pytest.fixture
def scores(engines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine `bright` has a score calibration, whose point `quiet` has an association."""
    folder = tmp_path / "score"
    folder.mkdir()
    text = score_file(find_engine("bright", engines).engine_id, slope=1.0, intercept=0.0)
    (folder / "bright.toml").write_text(f"{text}\n{ASSOCIATION}")
    monkeypatch.setattr(
        "usassist.evaluation.engine_under_test.load_score_calibration",
        lambda engine_id: load_score_calibration(engine_id, folder),
    )


@pytest.mark.usefixtures("scores")
def test_findings_are_associated_as_the_point_says_unless_each_frame_is_answered_alone(run: Run, data: Path) -> None:
    code, out, _ = run("--point", "quiet", "--videos", data / "v", "--video", "B")
    assert code == 0
    assert "findings associated over 2 frames: shown from 1 at once" in " ".join(out.split())
    report = json.loads((data / "o/s.json").read_text())
    assert report["association"] == {"alone": 1.0, "rise": 0.15, "release": 0.04, "frames": 2, "iou": 0.3}
    assert report["identities"]["tracked"] == 2
    assert [clip["identity"]["switches"] for clip in report["clips"]] == [0, 0], "the nodule stays where it is"
    assert report["clips"][0]["identity"]["tracks"] == 1
    assert (report["threshold"], report["threshold_from"], report["froc"]["at"]) == (None, "point quiet", {})
    assert [clip["found"] for clip in report["clips"]] == [3, 4], "the nodules have a score of 1"
    assert report["clips"][1]["false_positives_marked"] == 1, "the spot is shown on the second frame that has it"
    code, out, _ = run("--point", "quiet", "--each-frame-alone")
    alone = json.loads((data / "o/s.json").read_text())
    assert (alone["association"], alone["threshold"]) == (None, pytest.approx(0.8))
    assert alone["froc"]["at"]
    assert [clip["false_positives_marked"] for clip in alone["clips"]] == [0, 0]
    assert "findings associated" not in out
    code, _, err = run("--point", "balanced", "--associated")
    assert code == 2
    assert "leave the option out" in err


def test_frames_on_which_the_engine_abstains_are_counted_and_their_nodules_are_missed(
    run: Run, data: Path, tmp_path: Path
) -> None:
    for name in ("A_000", "B_001"):  # without a nodule, and with one
        path = str(data / f"images/{name}.png")
        screen = cv2.imread(path, cv2.IMREAD_GRAYSCALE)
        cv2.imwrite(path, np.where(screen < 230, screen // 4, screen))
    code, out, _ = run("--engines", bright_engine(tmp_path / "judging", threshold=0.2))
    assert code == 0
    report = json.loads((data / "o/s.json").read_text())
    counts = report["counts"]
    assert (counts["frames_abstained"], counts["frames_abstained_with_nodule"]) == (2, 1)
    assert "frames abstained 2;" in " ".join(out.split())
    assert "frames abstained with nodule 1;" in " ".join(out.split())
    first, second = report["clips"]
    assert (first["abstained"], first["abstained_with_nodule"], first["found"]) == (1, 0, 3)
    assert (second["abstained"], second["abstained_with_nodule"], second["found"], second["nodules"]) == (1, 1, 3, 4)
    rows = csv.DictReader((data / "o/s.csv").read_text().splitlines())
    states = {row["name"]: row["state"] for row in rows if row["state"].startswith("abstained")}
    assert states == {"A_000": "abstained, nothing marked", "B_001": "abstained"}


def test_masks_that_number_their_nodules_tell_them_apart(run: Run, data: Path) -> None:
    for path in (data / "masks").glob("B_*.png"):
        mask = np.zeros((360, 560), np.uint8)
        cv2.ellipse(mask, NODULE[:2], NODULE[2:], 0, 0, 360, 2, -1)
        mask[20:40, 90:110] = 1
        cv2.imwrite(str(path), mask)
    code, out, _ = run()
    assert code == 0
    assert "identities: not tracked" in out
    assert "because the clips have no scale" in " ".join(out.split())
    report = json.loads((data / "o/s.json").read_text())
    assert report["identities"] == {"told_by": {"values": 1, "one_region": 1}, "tracked": 0, "library": False}
    assert [clip["nodules"] for clip in report["clips"]] == [3, 8]
    assert report["clips"][0]["identity"] is None
    assert "switches_per_clip" not in report["figures"]
    rows = list(csv.DictReader((data / "o/s.csv").read_text().splitlines()))
    assert rows[-1]["identities"] == "1 2"


class _OneIdAfterTheOther:
    """A tracker that gives every frame other ids."""

    def __init__(self) -> None:
        self._count = 0

    def update(self, shown: Detections, image: np.ndarray, t_s: float) -> np.ndarray:
        first, self._count = self._count + 1, self._count + len(shown)
        return np.arange(first, self._count + 1, dtype=np.int32)

    def reset(self) -> None:
        pass


@pytest.mark.usefixtures("scores")
def test_ids_of_a_tracker_are_counted_where_findings_are_associated(
    run: Run, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "usassist.evaluation.engine_under_test.EngineUnderTest",
        lambda **fields: EngineUnderTest(**fields | {"make_tracker": _OneIdAfterTheOther}),
    )
    code, out, _ = run("--point", "quiet")
    assert code == 0
    assert "switches" in out
    report = json.loads((data / "o/s.json").read_text())
    assert [clip["identity"]["switches"] for clip in report["clips"]] == [2, 3]
    assert report["figures"]["switches_per_clip"]["value"] == 2.5
    assert report["figures"]["clips_without_switch"]["value"] == 0.0
    assert report["identities"]["library"] is (importlib.util.find_spec("trackers") is not None)
    assert ("IDF1 and HOTA need the library" in out) is not report["identities"]["library"]
    assert run("--point", "quiet", "--each-frame-alone")[0] == 0
    assert json.loads((data / "o/s.json").read_text())["identities"]["tracked"] == 0


@pytest.mark.slow
def test_simulated_sweeps_need_no_folder(
    engines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def only_a_few_frames(count: int, seed: int) -> list[SweepScene]:
        return [dataclasses.replace(scene, frames=24) for scene in draw_sweep_scenes(count, seed)]

    monkeypatch.setattr("usassist.evaluation.phantom_clips.draw_sweep_scenes", only_a_few_frames)
    options = ["--engine", "bright", "--engines", str(engines), "--backend", "onnxruntime"]
    monkeypatch.setattr(sys, "argv", ["usassist", "eval", "sweep", "--phantom", "1", "--json", "s.json", *options])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    report = json.loads((tmp_path / "s.json").read_text())
    assert (report["rate_hz"], report["counts"]["clips"], report["counts"]["frames"]) == (15.0, 1, 24)
    assert report["identities"]["told_by"] == {"scanner": 1}
    (clip,) = report["clips"]
    assert clip["clip"] == "001_one"
    assert clip["nodules"] > 0
    assert clip["sizes"] is None, "the engine states no uncertainty of a diameter"
    assert len(clip["first_detections"]) == 1
    out = " ".join(capsys.readouterr().out.split())
    assert "first 5 mm" in out
    assert "the engine states no uncertainty" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "name a folder of images and one of masks, or give --phantom"),
        (("images",), "name a folder of images and one of masks"),
        (("images", "masks", "--seed", "2"), "--seed is of simulated sweeps"),
        (("images", "masks", "--phantom", "2"), "folders cannot go with it"),
        (("--phantom", "2", "--rate-hz", "10"), "--rate-hz cannot go with it"),
        (("--phantom", "2", "--names", "n.txt"), "--names cannot go with it"),
    ],
)
def test_folders_and_simulated_sweeps_exclude_each_other(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["usassist", "eval", "sweep", *arguments, "--json", "s.json"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "s.json").exists()


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


def test_masks_with_a_gap_in_their_numbers_are_refused_before_the_first_frame(run: Run, data: Path) -> None:
    mask = np.zeros((360, 560), np.uint8)
    mask[20:40, 90:110], mask[60:80, 90:110] = 1, 3
    for path in (data / "masks").glob("B_*.png"):
        cv2.imwrite(str(path), mask)
    code, out, err = run()
    assert code == 1
    assert "clip B: its masks have the values 1, 3 and not 2" in err
    assert out == ""
    assert not (data / "o/s.json").exists()


def test_an_engine_with_other_outputs_is_refused(run: Run, tmp_path: Path) -> None:
    engines = bright_engine(tmp_path / "judging", threshold=0.2)
    path = engines / "bright/1.0.0/engine.toml"
    path.write_text(path.read_text().partition("[domain]")[0])
    code, _, err = run("--engines", engines)
    assert code == 1
    assert "the outputs must be mask_prob, center_score, box_ltrb_px, found" in err
