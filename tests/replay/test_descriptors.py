"""Descriptors of an engine's folder, through the main job into the recording."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from usassist.app.commands.progress import ProgressBar
from usassist.app.runtime.clip_session import replay
from usassist.app.runtime.open_stream import StreamOptions, open_stream
from usassist.config import resource_dir
from usassist.engine import find_engine
from usassist.errors import EngineSpecError

ENGINE = find_engine("thyroid_nodule")
FILE = f"""
schema = 1
engine_id = "{ENGINE.engine_id}"
made_by = "a test"

[[descriptors]]
name = "echogenicity"
classes = ["bright", "dark"]
features = ["rim_contrast"]
mean = [0.0]
scale = [0.1]
weights = [-1.0]
bias = 0.0
agreement = "kappa 0.50 (0.40 to 0.60)"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the engine, without descriptors."""
    copy = tmp_path / "engines" / ENGINE.name / ENGINE.version
    shutil.copytree(ENGINE.folder, copy)
    (copy / "descriptors.toml").unlink(missing_ok=True)
    return copy


def _options(folder: Path) -> StreamOptions:
    return StreamOptions(
        source=f"clip:{resource_dir('demo') / 'clip.mkv'}",
        bus="",
        engine=f"{ENGINE.name}@{ENGINE.version}",
        engines=str(folder.parent.parent),
        backend="onnxruntime",
        fast=True,
        count=60,
    )


def _nodules(folder: Path, out: Path) -> list[dict]:
    with ProgressBar(quiet=True) as progress:
        assert replay(_options(folder), out, overlay_video=False, window=None, progress=progress).error is None
    lines = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    return [nodule for line in lines for nodule in line["nodules"]]


def test_descriptors_beside_the_engine_are_recorded_with_their_agreement(folder: Path, tmp_path: Path) -> None:
    (folder / "descriptors.toml").write_text(FILE)
    nodules = _nodules(folder, tmp_path / "s")
    assert nodules
    for nodule in nodules:
        (descriptor,) = nodule["descriptors"]
        assert descriptor["value"] in ("bright", "dark")
        assert (descriptor["basis"], descriptor["agreement"]) == ("estimated", "kappa 0.50 (0.40 to 0.60)")


def test_without_the_file_nothing_is_described(folder: Path, tmp_path: Path) -> None:
    nodules = _nodules(folder, tmp_path / "s")
    assert nodules
    assert all(nodule["descriptors"] == [] for nodule in nodules)


def test_a_broken_file_stops_the_stream_before_it_begins(folder: Path) -> None:
    (folder / "descriptors.toml").write_text(FILE.replace("[0.1]", "[0.0]"))
    with (
        pytest.raises(EngineSpecError, match=r"descriptors\.toml: .*scale must be positive"),
        open_stream(_options(folder)),
    ):
        pass
