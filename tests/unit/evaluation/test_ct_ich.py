"""``python -m usassist.evaluation.ct_ich`` on a small data set of simulated heads."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from usassist.evaluation.ct_ich import main
from usassist.phantom.ct.head import HeadBleed, render_planes
from usassist.phantom.ct.head_anatomy import Tissue

BLEED = HeadBleed(kind=Tissue.INTRAPARENCHYMAL, centre_mm=(30.0, -5.0, 8.0), semi_mm=(15.0, 18.0, 15.0), hu=65.0)


def _slice(seed: int, with_blood: bool) -> tuple[np.ndarray, np.ndarray]:
    bleeds = (BLEED,) if with_blood else ()
    hu, labels = next(iter(render_planes(seed, (1, 256, 256), (3.0, 0.9, 0.9), bleeds)))
    return hu, labels == Tissue.INTRAPARENCHYMAL


@pytest.fixture
def data_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two HU slices of two patients, two pictures with blood and two without."""
    slices, pictures = tmp_path / "ct_head_ich_hu", tmp_path / "ct_head_png"
    slices.mkdir()
    pictures.mkdir()
    for patient in (1, 2):
        hu, mask = _slice(patient, True)
        np.savez(slices / f"{patient:03d}_1.npz", hu=hu, mask=mask)
    rows = ["id, hemorrhage"]
    for number in range(4):
        hu, _ = _slice(10 + number, number < 2)
        grey = np.rint(np.clip(hu / 80.0, 0, 1) * 255).astype(np.uint8)
        cv2.imwrite(str(pictures / f"{number:03d}.png"), grey)
        rows.append(f"{number:03d},{int(number < 2)}")
    (pictures / "labels.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (tmp_path / "split.toml").write_text('held_out = [["000"], ["001"], ["002", "003"]]\n', encoding="utf-8")
    monkeypatch.setenv("USASSIST_DATA", str(tmp_path))
    return tmp_path


def test_the_figures_of_simulated_heads_are_printed_and_written(
    data_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report_path = data_root / "report.json"
    arguments = ["--split", str(data_root / "split.toml"), "--json", str(report_path), "--threads", "1"]
    assert main([*arguments, "--backend", "onnxruntime"]) == 0
    shown = capsys.readouterr().out
    assert "pictures: auc" in shown
    assert "slices: dice" in shown
    report = json.loads(report_path.read_text(encoding="utf-8"))
    assert report["pictures"]["auc"]["value"] == 1.0
    assert report["slices"]["dice"]["value"] > 0.8
    assert report["slices"]["dice"]["count"] == 2
    assert [item["group"] for item in report["each_picture"]] == [0, 1, 2, 2]
    assert str(data_root) not in report["command"]


@pytest.mark.parametrize("missing", ["split.toml", "ct_head_png/labels.csv", "ct_head_png/002.png"])
def test_a_missing_file_is_one_line(data_root: Path, missing: str, capsys: pytest.CaptureFixture[str]) -> None:
    (data_root / missing).unlink()
    assert main(["--split", str(data_root / "split.toml"), "--threads", "1", "--backend", "onnxruntime"]) == 2
    assert Path(missing).stem in capsys.readouterr().err
