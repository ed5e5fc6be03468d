from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser import chromium
from tests.browser.chromium import MISSING, find_chromium


def _program(path: Path, exit_code: int) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\nexit {exit_code}\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture(autouse=True)
def _nothing_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(chromium, "FOLDERS", (str(tmp_path / "snap"),))


def test_a_snap_off_the_path_is_found_behind_the_script_that_asks_for_it(tmp_path: Path) -> None:
    _program(tmp_path / "usr" / "chromium-browser", 1)  # as Ubuntu has it
    snap = _program(tmp_path / "snap" / "chromium", 0)
    assert find_chromium(environment={"PATH": str(tmp_path / "usr")}) == snap


def test_the_path_comes_before_what_playwright_has_and_that_before_the_rest(tmp_path: Path) -> None:
    _program(tmp_path / "snap" / "chromium", 0)
    bundled = _program(tmp_path / "playwright" / "chrome", 0)
    assert find_chromium(bundled, {"PATH": ""}) == bundled
    google = _program(tmp_path / "bin" / "google-chrome", 0)
    assert find_chromium(bundled, {"PATH": str(tmp_path / "bin")}) == google


def test_without_one_the_skip_names_what_to_install(tmp_path: Path) -> None:
    assert find_chromium(str(tmp_path / "nothing"), {"PATH": ""}) is None
    assert "apt-get install chromium" in MISSING
    assert "snap install chromium" in MISSING
