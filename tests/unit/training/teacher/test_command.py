"""The command of the teacher of outlines: a whole run on tiny sets, and what is refused before a run."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import cv2
import pytest

pytest.importorskip("torch", reason="training needs the extra `train`: pip install usassist[train]")

from tests.unit.training.teacher.test_nodules import HEADER, disc
from usassist.config import data_dir
from usassist.errors import ConfigError
from usassist.training.data.terms import load_terms
from usassist.training.network.encoder import START_WEIGHTS
from usassist.training.teacher import command as teacher
from usassist.training.teacher import sets


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--steps", "0"], "must be positive"), (["--size", "100"], "multiple of 32"), (["--phantom", "0"], "at least 1")],
)
def test_settings_out_of_range_are_one_line(tmp_path, capsys, arguments, message):
    assert teacher.main([*arguments, "--out", str(tmp_path)]) != 0
    assert message in capsys.readouterr().err


def test_missing_data_is_named_before_the_run(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("USASSIST_DATA", str(tmp_path))
    assert teacher.main(["--out", str(tmp_path / "run")]) != 0
    assert "thyroid_ddti is missing" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_set_without_stated_terms_is_refused_before_any_frame_is_read(tmp_path, capsys, monkeypatch):
    for name in (*sets._SETS, START_WEIGHTS["mobilenet_v2"]):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("USASSIST_DATA", str(tmp_path))
    terms = {name: entry for name, entry in load_terms().items() if name != "breast_busi"}
    monkeypatch.setattr(sets, "load_terms", lambda: terms)
    assert teacher.main(["--out", str(tmp_path / "run")]) == 2
    assert "no terms are stated for breast_busi" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def write_sets(root):
    """All sets of the command, with two synthetic frames each, beside the real weights of the encoder."""
    try:
        weights = data_dir() / START_WEIGHTS["mobilenet_v2"]
    except ConfigError as error:
        pytest.skip(str(error))
    if not weights.is_dir():
        pytest.skip(f"the data set {weights.name} is missing")
    (root / weights.name).symlink_to(weights)
    for number, (folder, names) in enumerate(
        {
            "thyroid_ddti": ("1_1", "2_1"),
            "breast_busi": ("benign_0001", "malignant_0001"),
            "thyroid_tn3k9": ("0000", "0001"),
            "thyroid_tn5000": ("000001", "000002"),
        }.items()
    ):
        (root / folder / "images").mkdir(parents=True)
        (root / folder / "masks").mkdir()
        for place, name in enumerate(names):
            nodule = disc(10 * number + place)
            cv2.imwrite(str(root / folder / "images" / f"{name}.jpg"), nodule.image)
            cv2.imwrite(str(root / folder / "masks" / f"{name}.png"), nodule.mask * 255)
            if folder == "thyroid_tn5000":
                sides = ",".join(f"{side:g}" for side in nodule.box_xyxy_px)
                with (root / folder / "boxes.csv").open("a", encoding="utf-8") as table:
                    table.write(HEADER if place == 0 else "")
                    table.write(f"{name},{('train', 'val')[place]},160,120,160,120,benign,{sides}\n")
    (root / "thyroid_ddti" / "train.txt").write_text("1_1\n", encoding="utf-8")
    (root / "thyroid_ddti" / "val.txt").write_text("2_1\n", encoding="utf-8")


@pytest.mark.timeout(120)
def test_the_command_trains_checks_outlines_and_says_what_it_used(tmp_path, monkeypatch):
    root, out = tmp_path / "data", tmp_path / "run"
    root.mkdir()
    write_sets(root)
    monkeypatch.setenv("USASSIST_DATA", str(root))
    arguments = ["--out", str(out), "--steps", "2", "--size", "64", "--phantom", "1", "--threads", "1"]
    assert teacher.main([*arguments, "--precision", "fp32"]) == 0
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["step"] == 2
    assert manifest["outlines"]["train"]["frames"] == manifest["outlines"]["val"]["frames"] == 1
    assert manifest["data_sha256"]["tn5000_train"]["nodules"] == 1
    assert {entry["name"] for entry in manifest["data_terms"]} >= {"thyroid_ddti", "thyroid_tn3k9", "phantom"}
    assert manifest["checks"]["ddti_val, true_boxes"]["ellipse"]["dice"] > 0.9
    kept = sum(part["kept"] for part in manifest["outlines"].values())
    assert len(list((out / "masks").glob("*.png"))) == kept
    checkpoint = (out / "teacher.pt").stat().st_mtime_ns
    assert teacher.main([*arguments, "--steps", "3"]) != 0  # other settings: the checkpoint is left alone
    assert (out / "teacher.pt").stat().st_mtime_ns == checkpoint


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_one_line_and_130_even_where_the_shell_ignores_it(tmp_path, capsys, monkeypatch, number):
    monkeypatch.setattr(teacher, "run", lambda *arguments, **options: signal.raise_signal(number))
    before = signal.signal(number, signal.SIG_IGN)
    try:
        assert teacher.main(["--out", str(tmp_path)]) == 130
        assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)
    assert capsys.readouterr().err.splitlines() == ["stopped; the same command starts again from what is in --out"]


def test_it_is_started_by_the_name_of_its_folder():
    words = [sys.executable, "-m", "usassist.training.teacher", "--steps", "0"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.strip() == "error: --steps and --minutes must be positive"
