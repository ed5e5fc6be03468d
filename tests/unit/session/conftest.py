"""A session that was recorded once, and a copy of it for every test."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.recordings import record_session
from tests.samples import make_frame

COUNT = 12


@pytest.fixture(scope="session")
def _recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recorded") / "session"
    frames = [make_frame(i, channels=1 if i < 8 else 3, t_capture_ns=33_333_333 * i) for i in range(COUNT)]
    record_session(folder, frames, marks=[3, 5])
    return folder


@pytest.fixture
def recorded(_recorded: Path, tmp_path: Path) -> Path:
    """A whole session: 12 frames, the first 8 grey in frames.nut and the others in colour in frames_2.nut, 2 marks."""
    folder = tmp_path / "session"
    shutil.copytree(_recorded, folder)
    return folder


@pytest.fixture
def killed(recorded: Path) -> Path:
    """The same as a recorder leaves it that is killed in the middle of things."""
    manifest = (recorded / "session.toml").read_text()
    manifest = manifest[: manifest.index("[files")]
    manifest = manifest.replace('recording = "closed"', 'recording = "running"')
    manifest = manifest.replace('state = "ended"', 'state = "running"').replace("complete = true", "complete = false")
    (recorded / "session.toml").write_text(manifest)
    cut_off(recorded / "frames_2.nut", 1000)
    cut_off(recorded / "results.jsonl", 40)
    cut_off(recorded / "bus.log", 700)
    return recorded


def cut_off(path: Path, count: int) -> None:
    """Take the last bytes of a file away."""
    path.write_bytes(path.read_bytes()[:-count])
