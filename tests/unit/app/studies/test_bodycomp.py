"""``usassist ct bodycomp`` from a file to a folder with measures, pictures and cut-offs."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from usassist.app.commands.main import app
from usassist.modalities.ct.body.tissues import label_tissues
from usassist.phantom.ct.abdomen import make_abdomen
from usassist.sources.volumes import read_labelmap, write_nifti

pytest.importorskip("nibabel")

SHAPE, SPACING = (3, 150, 190), (8.0, 2.4, 2.4)


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray, np.ndarray]:
    hu, labels, _, affine = make_abdomen(2_000_003, SHAPE, SPACING, body_type="overweight")
    path = tmp_path_factory.mktemp("series") / "abdomen.nii.gz"
    write_nifti(path, hu, affine)
    return path, hu, labels


def _run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["ct", "bodycomp", *map(str, arguments)])
    return result.exit_code, result.output + ("" if result.exception is None else str(result.exception))


def test_measures_pictures_and_cutoffs_are_written(series: tuple[Path, np.ndarray, np.ndarray], tmp_path: Path) -> None:
    path, hu, truth = series
    out = tmp_path / "out"
    code, text = _run(
        path, "--level", "L3", "--slice", 2, "--height-m", 1.7, "--sex", "F", "--cutoffs", "martin", "--cutoffs",
        "prado", "--out", out, "--backend", "onnxruntime", "--threads", 1,
    )  # fmt: skip
    assert code == 0, text
    document = json.loads((out / "bodycomp.json").read_text())
    (level,) = document["levels"]
    assert (level["level"], level["slice"], level["confidence"]) == ("L3", 2, None)
    wanted = label_tissues(truth[1], hu[1])
    for label, name in ((1, "skeletal_muscle"), (2, "subcutaneous_fat"), (3, "visceral_fat")):
        area_cm2 = (wanted == label).sum() * 2.4**2 / 100
        assert level["areas"][name]["value"] == pytest.approx(area_cm2, rel=0.15), name
    assert level["skeletal_muscle_index"]["value"] == pytest.approx(
        level["areas"]["skeletal_muscle"]["value"] / 1.7**2, rel=1e-4
    )
    martin, prado = level["cutoffs"]
    assert "body mass index" in martin["reason"]
    assert prado["is_low"] == (level["skeletal_muscle_index"]["value"] <= 38.5)
    assert document["patient"]["height_m"] == {"value": 1.7, "origin": "option"}
    with (out / "measures.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert float(row["skeletal_muscle_cm2"]) == pytest.approx(level["areas"]["skeletal_muscle"]["value"], abs=1e-2)
    labels, _ = read_labelmap(out / "labelmap.nii.gz")
    assert (labels[1] == 1).sum() * 2.4**2 / 100 == pytest.approx(level["areas"]["skeletal_muscle"]["value"], abs=1e-2)
    picture = cv2.imread(str(out / "overlay_l3.png"))
    assert picture is not None
    assert picture.shape[1] > 800
    assert "Prado 2008" in text
    assert "not applied: the body mass index is not known" in text


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--level", "L9"], "no level"),
        (["--level", "L3", "--slice", "9"], "no slice 9"),
        (["--level", "L3..L4", "--slice", "2"], "one level"),
        (["--level", "L3", "--slice", "2", "--cutoffs", "nobody"], "no set of cut-offs"),
        (["--level", "L3", "--slice", "2", "--height-m", "170"], "height"),
    ],
)
def test_wrong_use_leaves_nothing_behind(
    series: tuple[Path, np.ndarray, np.ndarray], tmp_path: Path, arguments: list[str], reason: str
) -> None:
    code, text = _run(series[0], *arguments, "--out", tmp_path / "out")
    assert code != 0
    assert reason in text
    assert list(tmp_path.iterdir()) == []
