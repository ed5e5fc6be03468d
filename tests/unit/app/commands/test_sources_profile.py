from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from usassist.app.commands.main import app
from usassist.calibrate import load_geometry
from usassist.errors import ScanAreaError, UsageError
from usassist.phantom import PhantomConfig, PhantomScanner


def _profile(*arguments: object) -> object:
    return CliRunner().invoke(app, ["sources", "profile", *map(str, arguments), "--valid-for", "a test"])


def test_the_scan_area_of_a_screen_becomes_a_file_that_can_be_used(tmp_path: Path) -> None:
    run = _profile("phantom:seed=3,seconds=2", tmp_path / "sim.toml")
    assert run.exit_code == 0, run.output  # type: ignore[attr-defined]
    geometry = load_geometry(str(tmp_path / "sim.toml"))
    scanner = PhantomScanner(PhantomConfig(seed=3))
    assert geometry.crop_xyxy_px == scanner.scan_xyxy_px
    assert geometry.grab_hw_px == scanner.config.screen_hw_px
    assert geometry.spacing_rc_mm is None


def test_a_file_that_is_there_is_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "sim.toml"
    path.write_text("mine")
    run = _profile("phantom:seed=3,seconds=2", path)
    assert isinstance(run.exception, UsageError)  # type: ignore[attr-defined]
    assert path.read_text() == "mine"


def test_a_source_without_frames_gives_no_file(tmp_path: Path) -> None:
    run = _profile("udp://127.0.0.1:9", tmp_path / "x.toml", "--wait", "1")
    assert isinstance(run.exception, ScanAreaError)  # type: ignore[attr-defined]
    assert not (tmp_path / "x.toml").exists()


@pytest.mark.parametrize("options", [("x.txt",), ("x.toml", "--crop", "none")])
def test_wrong_use_is_refused(options: tuple[str, ...], tmp_path: Path) -> None:
    run = _profile("phantom:seed=3,seconds=2", tmp_path / options[0], *options[1:])
    assert isinstance(run.exception, UsageError)  # type: ignore[attr-defined]
