from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import pytest
from typer.testing import CliRunner

from tests.unit.sources.ruler_screens import ROI, draw_ruler, speckle
from usassist.app.commands.main import app
from usassist.calibrate import load_geometry
from usassist.errors import CalibrationError, UsageError

CROP = ",".join(map(str, ROI))


def _calibrate(*arguments: object, answer: str | None = None) -> Any:
    words = ["calibrate", "geometry", *map(str, arguments), "--valid-for", "a test", "--crop", CROP]
    return CliRunner().invoke(app, words, input=answer)


@pytest.fixture
def screens(tmp_path: Path) -> Path:
    folder = tmp_path / "screens"
    folder.mkdir()
    for number in range(3):
        screen = speckle(number)
        draw_ruler(screen, 72.0)
        cv2.imwrite(str(folder / f"{number}.png"), screen)
    return folder


def test_the_scale_on_the_screens_becomes_a_file_once_it_is_confirmed(screens: Path, tmp_path: Path) -> None:
    run = _calibrate(screens, tmp_path / "sim.toml", answer="y\n")
    assert run.exit_code == 0, run.output
    geometry = load_geometry(str(tmp_path / "sim.toml"))
    assert (geometry.crop_xyxy_px, geometry.grab_hw_px) == (ROI, (480, 640))
    assert geometry.spacing_rc_mm == pytest.approx((10 / 72.0, 10 / 72.0), rel=0.003)
    assert geometry.spacing_rel_sd == pytest.approx(0.01, abs=0.001)
    picture = cv2.imread(str(tmp_path / "sim.png"))
    assert picture is not None
    assert picture.shape == (ROI[3] - ROI[1], ROI[2] - ROI[0], 3)
    assert (picture[72, 40:60] == (80, 220, 255)).all()  # 10 mm below the upper edge


def test_without_a_yes_there_is_only_the_picture(screens: Path, tmp_path: Path) -> None:
    run = _calibrate(screens, tmp_path / "sim.toml", answer="n\n")
    assert run.exit_code == 0, run.output
    assert "nothing was written" in run.output
    assert not (tmp_path / "sim.toml").exists()
    assert (tmp_path / "sim.png").is_file()


def test_frames_of_two_depths_are_refused(screens: Path, tmp_path: Path) -> None:
    other = speckle(9)
    draw_ruler(other, 60.0)
    cv2.imwrite(str(screens / "9.png"), other)
    run = _calibrate(screens, tmp_path / "sim.toml", "--yes")
    assert isinstance(run.exception, CalibrationError)
    assert not (tmp_path / "sim.toml").exists()


def test_a_screen_without_a_scale_gives_no_file(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "bare.png"), speckle())
    run = _calibrate(tmp_path / "bare.png", tmp_path / "sim.toml", "--yes")
    assert isinstance(run.exception, CalibrationError)
    assert not (tmp_path / "sim.toml").exists()


@pytest.mark.parametrize("name", ["sim.txt", "there.toml", "drawn.toml"])
def test_names_that_exist_or_are_no_toml_are_refused(name: str, screens: Path, tmp_path: Path) -> None:
    (tmp_path / "there.toml").write_text("mine")
    (tmp_path / "drawn.png").write_bytes(b"mine")
    run = _calibrate(screens, tmp_path / name, "--yes")
    assert isinstance(run.exception, UsageError)
    assert (tmp_path / "there.toml").read_text() == "mine"
    assert (tmp_path / "drawn.png").read_bytes() == b"mine"
