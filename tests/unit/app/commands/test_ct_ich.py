"""``usassist ct ich``: what it prints, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.ct_engine import NAME, install_ct_engine
from usassist.app.commands.main import app
from usassist.errors import EngineSpecError, StudyError, UsageError
from usassist.phantom.ct.head import HeadBleed, make_head
from usassist.phantom.ct.head_anatomy import Tissue
from usassist.sources.volumes import write_nifti


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ich")
    install_ct_engine(folder / "engines")
    bleed = HeadBleed(kind=Tissue.INTRAPARENCHYMAL, semi_mm=(18.0, 18.0, 24.0))
    hu, _, affine = make_head(3, (10, 128, 128), (12.0, 1.8, 1.8), [bleed])
    write_nifti(folder / "bleed.nii.gz", hu, affine)
    hu, _, affine = make_head(3, (10, 128, 128), (12.0, 1.8, 1.8))
    write_nifti(folder / "healthy.nii.gz", hu, affine)
    return folder


def _run(place: Path, name: str, out: Path, *more: str, engine: str = NAME) -> str:
    options = ["--engine", engine, "--engines", str(place / "engines"), "--backend", "onnxruntime", "--threads", "1"]
    run = CliRunner().invoke(
        app, ["ct", "ich", str(place / name), "--out", str(out), *options, *more], catch_exceptions=False
    )
    assert run.exit_code == 0
    return run.stdout


def test_finding_is_printed_with_its_volume_and_why_that_has_no_interval(place: Path, tmp_path: Path) -> None:
    text = _run(place, "bleed.nii.gz", tmp_path / "out")
    assert text.startswith("haemorrhage suspected: score 0.9")
    assert "haemorrhage volume: " in text
    assert "uncertainty of the spacing and of the engine's outlines was not measured" in text
    assert "intraventricular: 0.10, below its threshold" in text
    assert str(tmp_path / "out" / "result.json") in text
    assert "not a medical device" in text


def test_no_finding_says_found_and_never_that_there_is_none(place: Path, tmp_path: Path) -> None:
    text = _run(place, "healthy.nii.gz", tmp_path / "out")
    assert text.startswith("no haemorrhage found: score 0.0")
    assert "haemorrhage volume: not measured (nothing was outlined)" in text


def test_json_is_the_document_that_was_written(place: Path, tmp_path: Path) -> None:
    text = _run(place, "bleed.nii.gz", tmp_path / "out", "--json")
    assert json.loads(text) == json.loads((tmp_path / "out" / "result.json").read_text())


def test_wrong_use_is_an_error_and_leaves_nothing(place: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        _run(place, "none.nii.gz", tmp_path / "out")
    with pytest.raises(EngineSpecError, match="which is streamed; use usassist live"):
        CliRunner().invoke(
            app,
            ["ct", "ich", str(place / "bleed.nii.gz"), "--out", str(tmp_path / "out"), "--engine", "thyroid_nodule"],
            catch_exceptions=False,
        )
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "out").touch()
    with pytest.raises(StudyError, match="exists already"):
        _run(place, "bleed.nii.gz", tmp_path / "out")
