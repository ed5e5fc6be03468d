"""``usassist eval`` on pictures with bright ellipses, with an engine that takes what is bright for a nodule."""

from __future__ import annotations

import csv
import functools
import json
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.samples import bright_engine, bright_screen
from usassist.app.commands.main import main
from usassist.calibrate import load_score_calibration

pytest.importorskip("onnx", reason="the engine of these tests is made with onnx")
pytest.importorskip("onnxruntime", reason="the engine of these tests runs on onnxruntime")

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of engines with `bright` in it."""
    return bright_engine(tmp_path_factory.mktemp("engines"))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Eight frames with one large nodule each, half of them with a small bright spot besides; six without nodules."""
    for folder in ("images", "masks", "without"):
        (tmp_path / folder).mkdir()
    for index in range(8):
        nodule, spot = (160 + 10 * index, 120, 40, 28), (400, 240, 12, 11)
        cv2.imwrite(
            str(tmp_path / f"images/{index}_1.png"), bright_screen(index, [nodule, *([spot] if index % 2 else [])])
        )
        mask = cv2.ellipse(np.zeros((360, 560), np.uint8), nodule[:2], nodule[2:], 0, 0, 360, 255, -1)
        cv2.imwrite(str(tmp_path / f"masks/{index}_1.png"), mask)
        ellipses = [spot] if index == 0 else []
        cv2.imwrite(str(tmp_path / f"without/{index:04}.png"), bright_screen(50 + index, ellipses))
    return tmp_path


@pytest.fixture
def run(engines: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Call ``usassist eval`` with the engine `bright`; exit code, standard output, standard error."""

    def call(*arguments: object, folder: Path = engines) -> tuple[int, str, str]:
        options = ["--engine", "bright", "--engines", folder, "--backend", "onnxruntime"]
        monkeypatch.setattr(sys, "argv", ["usassist", "eval", *map(str, (*arguments, *options))])
        with pytest.raises(SystemExit) as ended:
            main()
        return (ended.value.code, *capsys.readouterr())  # type: ignore[return-value]

    return call


def need_extra() -> None:
    for module in ("monai", "sklearn"):
        pytest.importorskip(module, reason="needs the extra `eval`")


def test_frames_with_nodules_give_json_csv_and_a_sheet(run: Run, data: Path) -> None:
    need_extra()
    (data / "case.xml").mkdir()
    code, out, _ = run(
        "nodule", data / "images", data / "masks", "--annotations", data / "case.xml", "--json", data / "o/n.json"
    )
    assert code == 0
    assert "Dice per frame, mean" in out
    report = json.loads((data / "o/n.json").read_text())
    assert report["engine"].startswith("bright@1.0.0+")
    assert (report["threshold"], report["threshold_from"], report["scores"]) == (0.2, "engine.toml", "raw")
    assert str(data) not in report["command"]
    assert report["counts"]["nodules"] == report["counts"]["frames"] == 8
    assert report["figures"]["dice_mean"]["value"] > 0.9
    assert report["figures"]["nsd_2px"]["value"] > 0.9
    assert report["figures"]["sensitivity"] == {"value": 1.0, "low": 1.0, "high": 1.0, "count": 8}
    assert report["figures"]["false_positives_per_frame"]["value"] == 0.5
    assert report["figures"]["ap50"]["value"] == 1.0
    assert report["froc"]["at"]["0.05"]["value"] == 1.0
    assert sum(item["detections"] for item in report["score_calibration"]["bins"]) == 12
    assert report["slices"]["tirads"]["unknown"]["frames"] == 8
    assert report["slices"]["view"]["single"]["frames"] == 8
    with (data / "o/n.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["false_positives"] for row in rows] == ["0", "1"] * 4
    assert all(float(row["dice"]) > 0.8 for row in rows)
    assert [float(row["hd95_px"]) < 3 for row in rows] == [True, False] * 4  # a spot far from the nodule
    assert cv2.imread(str(data / "o/n.png")).shape[1] > 1000


def test_what_is_left_out_is_named_on_the_screen_in_json_and_in_csv(run: Run, data: Path) -> None:
    need_extra()
    (data / "masks/3_1.png").unlink()
    cv2.imwrite(str(data / "masks/4_1.png"), np.zeros((360, 560), np.uint8))
    code, out, err = run("nodule", data / "images", data / "masks", "--json", data / "n.json")
    assert code == 0
    assert "3_1: no mask" in err  # before the run
    assert "3_1: no mask" in out
    report = json.loads((data / "n.json").read_text())
    assert report["skipped"] == [{"name": "3_1", "reason": "no mask"}]
    assert report["counts"]["frames_with_nothing_marked"] == 1
    assert report["figures"]["dice_mean"]["count"] == 6
    assert report["figures"]["false_positives_per_frame"]["count"] == 7
    states = {row["name"]: row["state"] for row in csv.DictReader((data / "n.csv").read_text().splitlines())}
    assert states["3_1"] == "skipped: no mask"
    assert states["4_1"] == "evaluated, nothing marked"


def write_boxes(data: Path, last: str = "") -> Path:
    lines = [
        f"{index}_1.png,{'old' if index < 4 else 'new'},{120 + 10 * index},92,{201 + 10 * index},149"
        for index in range(8)
    ]
    (data / "boxes.csv").write_text("\n".join(["file,look,x1,y1,x2,y2", *lines, last]))
    return data / "boxes.csv"


def test_boxes_may_be_the_truth(run: Run, data: Path) -> None:
    need_extra()
    code, out, _ = run("nodule", data / "images", "--boxes", write_boxes(data), "--json", data / "n.json")
    assert code == 0
    assert "IoU of boxes" in out
    assert "by look of the screen" in out
    assert "Dice per frame" not in out
    report = json.loads((data / "n.json").read_text())
    assert report["figures"]["sensitivity_iou50"]["value"] == 1.0
    assert report["figures"]["false_positives_per_frame"]["value"] == 0.5
    assert report["figures"]["ap50_boxes"]["value"] == 1.0
    assert {look: part["frames"] for look, part in report["looks"].items()} == {"new": 4, "old": 4}
    assert (data / "n.csv").read_text().count("evaluated") == 8
    assert (data / "n.png").is_file()


def test_masks_with_looks_give_a_table_by_look(run: Run, data: Path) -> None:
    need_extra()
    (data / "looks.csv").write_text("name,look\n0_1,mine\n")
    arguments = ("nodule", data / "images", data / "masks", "--looks", data / "looks.csv", "--json", data / "n.json")
    code, out, _ = run(*arguments)
    assert code == 0
    assert "by look of the screen" in out
    report = json.loads((data / "n.json").read_text())
    assert {look: part["frames"] for look, part in report["looks"].items()} == {"unknown": 7, "mine": 1}
    assert report["looks"]["mine"]["dice_mean"]["value"] > 0.9


def test_a_bad_box_ends_the_command_before_any_frame_is_run(run: Run, data: Path) -> None:
    need_extra()
    boxes = write_boxes(data, "7_1.png,new,500,300,600,340")
    code, out, err = run("nodule", data / "images", "--boxes", boxes, "--json", data / "n.json")
    assert code == 2
    assert err.count("\n") == 1
    assert "boxes.csv: line 10 (7_1): box 500, 300, 600, 340 is outside of the image" in err
    assert out == ""
    assert not (data / "n.json").exists()


def test_the_truth_is_masks_or_boxes_and_not_both(run: Run, data: Path) -> None:
    code, _, err = run("nodule", data / "images", "--json", data / "n.json")
    assert (code, "give one of them" in err) == (2, True)
    boxes = write_boxes(data)
    code, _, err = run("nodule", data / "images", data / "masks", "--boxes", boxes, "--json", data / "n.json")
    assert (code, "give one of them" in err) == (2, True)
    code, _, err = run("nodule", data / "images", data / "masks", "--part", "val", "--json", data / "n.json")
    assert (code, "--part" in err) == (2, True)


def test_frames_without_nodules_give_false_alarms(run: Run, data: Path) -> None:
    code, out, _ = run("negatives", data / "without", "--json", data / "n.json", "--threshold", "0.1")
    assert code == 0
    assert "false alarms per frame" in out
    report = json.loads((data / "n.json").read_text())
    assert report["threshold_from"] == "--threshold"
    assert report["counts"]["frames_with_alarm"] == 1
    assert report["counts"]["cases"] == 1
    assert report["figures"]["frames_with_false_alarm"]["value"] == 1 / 8
    assert (data / "n.png").is_file()


def test_a_calibration_is_written_once_and_can_be_loaded(run: Run, data: Path) -> None:
    need_extra()
    arguments = (
        "calibrate",
        data / "images",
        data / "masks",
        "--negatives",
        data / "without",
        "--out",
        data / "s.toml",
    )
    code, out, _ = run(*arguments)
    assert code == 0
    assert "cross-validated" in out
    engine_id = next(line.split('"')[1] for line in (data / "s.toml").read_text().splitlines() if "engine_id" in line)
    calibration = load_score_calibration(engine_id, data)
    assert calibration is not None
    assert calibration.calibration_id == "s"
    assert list(calibration.points) == ["sensitive", "balanced", "quiet"]
    assert calibration.point("balanced").sensitivity == 1.0
    assert calibration.point("balanced").alarms_per_negative_frame == 0.0
    assert str(data) not in calibration.command
    code, _, err = run(*arguments)
    assert code == 2
    assert "never changed" in err


def test_one_calibration_is_fitted_on_several_sets(run: Run, data: Path) -> None:
    need_extra()
    write_boxes(data)
    (data / "sets.toml").write_text(
        """
        sets = [
            {name = "drawn", images = "images", masks = "masks"},
            {name = "boxed", images = "images", boxes = "boxes.csv"},
            {name = "empty", images = "without", negative = true},
        ]
        """
    )
    code, out, _ = run("calibrate", "--sets", data / "sets.toml", "--out", data / "scores/s.toml")
    assert code == 0
    assert "mean of sets" in out
    text = (data / "scores/s.toml").read_text()
    engine_id = next(line.split('"')[1] for line in text.splitlines() if "engine_id" in line)
    calibration = load_score_calibration(engine_id, data / "scores")
    assert calibration is not None
    assert [(item.name, item.truth, item.frames) for item in calibration.sets] == [
        ("drawn", "masks", 8),
        ("boxed", "boxes", 8),
        ("empty", "negative", 8),
    ]
    assert calibration.point("balanced").sets[1].sensitivity == 1.0
    assert "note: sensitive and balanced have the same threshold" in out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sets = []", "must have tables"),
        ("[other]\nsets = 3", "must have tables"),
        ("sets = [3]", "must be a table"),
        ('sets = [{images = "images", masks = "masks"}]', "missing keys ['name']"),
        ('sets = [{name = "a", images = "images", mask = "masks"}]', "unknown keys ['mask']"),
        ('sets = [{name = "a", images = "images"}]', "a: give either masks or boxes"),
        ('sets = [{name = "a", images = "images", masks = "masks", negative = true}]', "a: give either masks or boxes"),
        ('sets = [{name = "a", images = "images", masks = "masks", part = "val"}]', "a: a part is chosen"),
        ('sets = [{name = "a", images = "images", negative = "yes"}]', "negative must be bool"),
        ('sets = [{name = "a", images = "gone", masks = "masks"}]', "there is no folder"),
        (
            'sets = [{name = "a", images = "images", masks = "masks"}, '
            '{name = "a", images = "without", negative = true}]',
            "a name of its own",
        ),
        ('sets = [{name = "a", images = "without", negative = true}]', "all sets are negative"),
    ],
)
def test_a_bad_file_of_sets_is_one_line(run: Run, data: Path, text: str, message: str) -> None:
    need_extra()
    (data / "sets.toml").write_text(text)
    code, _, err = run("calibrate", "--sets", data / "sets.toml", "--out", data / "s.toml")
    assert code in (1, 2)
    assert message in err.splitlines()[-1]
    assert not (data / "s.toml").exists()


def test_sets_and_folders_exclude_each_other(run: Run, data: Path) -> None:
    need_extra()
    (data / "sets.toml").write_text("")
    code, _, err = run("calibrate", data / "images", "--sets", data / "sets.toml", "--out", data / "s.toml")
    assert (code, "leave out IMAGES" in err) == (2, True)
    code, _, err = run("calibrate", data / "images", "--out", data / "s.toml")
    assert (code, "give IMAGES and MASKS, or --sets" in err) == (2, True)


def test_a_calibration_that_is_there_is_applied(run: Run, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need_extra()
    run("calibrate", data / "images", data / "masks", "--out", data / "s.toml")
    monkeypatch.setattr(
        "usassist.evaluation.engine_under_test.load_score_calibration",
        lambda engine: load_score_calibration(engine, data),
    )
    code, _, _ = run("nodule", data / "images", data / "masks", "--json", data / "n.json")
    assert code == 0
    report = json.loads((data / "n.json").read_text())
    assert (report["threshold_from"], report["scores"]) == ("point balanced", "calibrated, s")
    assert report["figures"]["false_positives_per_frame"]["value"] == 0.0
    assert report["figures"]["ece"]["value"] < 0.2
    code, _, err = run("nodule", data / "images", data / "masks", "--json", data / "n.json", "--point", "loud")
    assert code == 2
    assert "no operating point loud" in err


def test_a_point_without_a_calibration_is_refused_in_one_line(run: Run, data: Path) -> None:
    code, out, err = run("negatives", data / "without", "--json", data / "n.json", "--point", "balanced")
    assert code == 2
    assert err.count("\n") == 1
    assert "no score calibration" in err
    assert out == ""
    code, _, err = run("negatives", data / "without", "--json", data / "n.json", "--point", "x", "--threshold", "0.5")
    assert code == 2
    assert "cannot go together" in err


@pytest.mark.parametrize("folder", ["gone", "empty"])
def test_nothing_to_evaluate_is_one_line_and_no_file(run: Run, data: Path, folder: str) -> None:
    (data / "empty").mkdir()
    (data / "empty" / "notes.txt").write_text("x")
    code, _, err = run("negatives", data / folder, "--json", data / "n.json")
    assert code == 1
    assert len([line for line in err.splitlines() if line]) == 1
    assert ("no frame in" if folder == "empty" else "there is no folder") in err
    assert not (data / "n.json").exists()


def test_outputs_must_not_overwrite_each_other(run: Run, data: Path) -> None:
    code, _, err = run("negatives", data / "without", "--json", data / "n.csv")
    assert code == 2
    assert "different names" in err


def test_a_missing_library_is_named_before_any_frame_is_run(
    run: Run, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch", reason="needs the extra `eval`")
    monkeypatch.setitem(sys.modules, "monai.metrics", None)
    code, _, err = run("nodule", data / "images", data / "masks", "--json", data / "n.json")
    assert code == 2
    assert "pip install 'usassist[eval]'" in err


@pytest.fixture
def seen(tmp_path: Path) -> Path:
    """`neck`: five images, one of them dark. `lung`: a clip of dark images. `hand`: four dark images, one bright."""
    for folder in ("neck", "lung", "hand"):
        (tmp_path / folder).mkdir()
    for index in range(5):
        bright, dark = bright_screen(index, [(280, 160, 40, 28)]), bright_screen(index, []) // 3
        cv2.imwrite(str(tmp_path / f"neck/{index}_1.png"), dark if index == 4 else bright)
        cv2.imwrite(str(tmp_path / f"hand/{index}_1.png"), bright if index == 4 else dark)
    writer = cv2.VideoWriter(str(tmp_path / "lung/a.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 25.0, (560, 360), False)
    for index in range(30):
        writer.write(bright_screen(index, []) // 3)
    writer.release()
    return tmp_path


@pytest.fixture
def run_domain(tmp_path_factory: pytest.TempPathFactory, run: Run) -> Run:
    engines = bright_engine(tmp_path_factory.mktemp("domain"), threshold=0.2)
    return functools.partial(run, folder=engines)


def test_how_often_an_engine_abstains_is_told_by_set(run_domain: Run, seen: Path) -> None:
    sets = ["--thyroid", f"neck={seen / 'neck'}", "--other", f"lung={seen / 'lung/a.mp4'}", "--other"]
    code, out, _ = run_domain(
        "domain", *sets, f"hand={seen / 'hand'}", "--stride", 1, "--loss", 0.2, "--json", seen / "d.json"
    )
    assert code == 0
    assert "bright@1.0.0" in out
    assert "all without thyroid" in out
    report = json.loads((seen / "d.json").read_text())
    neck, lung, hand = (report["sets"][name] for name in ("neck", "lung", "hand"))
    assert (neck["inside"], neck["frames"], neck["cases"], neck["abstained"]["value"]) == (True, 5, 5, 0.2)
    assert (lung["inside"], lung["frames"], lung["cases"], lung["abstained"]["value"]) == (False, 30, 1, 1.0)
    assert (hand["frames"], hand["abstained"]["value"]) == (5, 0.8)
    assert report["pooled"]["outside"]["abstained"]["value"] == pytest.approx(34 / 35)
    assert neck["prob"]["p5"] < 0.2 < neck["prob"]["p50"]
    proposed = report["proposed"]
    assert proposed["threshold"] > 0.2
    assert proposed["pooled"]["inside"]["abstained"]["value"] == 0.2
    states = [row["state"] for row in csv.DictReader((seen / "d.csv").read_text().splitlines())]
    assert (states.count("abstained"), states.count("answered")) == (35, 5)
    assert cv2.imread(str(seen / "d.png")) is not None


def test_names_and_a_stride_choose_the_frames(run_domain: Run, seen: Path) -> None:
    (seen / "names.txt").write_text("0_1 4_1")
    arguments = ["--thyroid", f"neck={seen / 'neck'}", "--names", f"neck={seen / 'names.txt'}"]
    code, _, _ = run_domain("domain", *arguments, "--json", seen / "d.json")
    assert code == 0
    assert json.loads((seen / "d.json").read_text())["sets"]["neck"]["frames"] == 2
    code, _, _ = run_domain("domain", "--other", f"lung={seen / 'lung'}", "--stride", 10, "--json", seen / "d.json")
    assert code == 0
    report = json.loads((seen / "d.json").read_text())
    assert (report["sets"]["lung"]["frames"], report["proposed"]) == (3, None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "every set needs a name of its own, got no set"),
        (["--thyroid", "neck"], "is no set; write NAME=PATH"),
        (["--thyroid", "a={}/neck", "--other", "a={}/hand"], "every set needs a name of its own, got a, a"),
        (["--thyroid", "a={}/neck", "--names", "b={}/names.txt"], "--names b: there is no such set; use a"),
        (["--thyroid", "a={}/nothing"], "there is no folder"),
        (["--thyroid", "a={}"], "holds no image and no clip"),
    ],
)
def test_wrong_sets_are_refused_before_anything_runs(
    run_domain: Run, seen: Path, arguments: list[str], message: str
) -> None:
    (seen / "names.txt").write_text("0_1")
    (seen / "lung/a.mp4").unlink()
    code, _, err = run_domain("domain", *(item.format(seen) for item in arguments), "--json", seen / "o/d.json")
    assert code in (1, 2)
    assert message in " ".join(err.split())
    assert not (seen / "o/d.json").exists()


def test_an_engine_without_a_domain_is_refused(run: Run, seen: Path) -> None:
    code, _, err = run("domain", "--thyroid", f"neck={seen / 'neck'}", "--json", seen / "d.json")
    assert code == 2
    assert "has no table [domain]" in " ".join(err.split())


def test_a_nodule_on_a_frame_without_an_answer_is_missed_and_counted(run_domain: Run, data: Path) -> None:
    need_extra()
    image = cv2.imread(str(data / "images/2_1.png"), cv2.IMREAD_GRAYSCALE)
    cv2.imwrite(str(data / "images/2_1.png"), np.where(image < 230, image // 4, image))
    code, out, _ = run_domain("nodule", data / "images", data / "masks", "--json", data / "n.json")
    assert code == 0
    report = json.loads((data / "n.json").read_text())
    assert report["counts"]["frames_abstained"] == 1
    assert report["figures"]["sensitivity"] == {"value": 7 / 8, **_bounds(report["figures"]["sensitivity"]), "count": 8}
    rows = list(csv.DictReader((data / "n.csv").read_text().splitlines()))
    assert [row["name"] for row in rows if row["state"] == "abstained"] == ["2_1"]
    assert "frames abstained 1" in out
    code, out, err = run_domain("calibrate", data / "images", data / "masks", "--out", data / "scores/s.toml")
    assert code == 0, err
    (fitted,) = tomllib.loads((data / "scores/s.toml").read_text())["sets"]
    assert (fitted["frames"], fitted["abstained"], fitted["nodules"]) == (8, 1, 8)
    (balanced,) = (
        row for row in tomllib.loads((data / "scores/s.toml").read_text())["points"] if row["name"] == "balanced"
    )
    assert balanced["sensitivity"] == 7 / 8
    assert "abstained on 1 frames of nodules; nodules on them are missed" in out


def _bounds(figure: dict[str, float]) -> dict[str, float]:
    return {key: figure[key] for key in ("low", "high")}
