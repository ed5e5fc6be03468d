"""``usassist bench codecs``."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from usassist.app.bench.codecs import candidates, measure_codecs
from usassist.app.commands.bench import bench_app
from usassist.errors import UsageError
from usassist.sinks.video import LOSSLESS, Coding


def _frames(*, colour: bool) -> list[np.ndarray]:
    shape = (48, 64, 3) if colour else (48, 64)
    return [np.random.default_rng(number).integers(0, 256, shape, np.uint8) for number in range(5)]


@pytest.mark.parametrize("colour", [False, True])
def test_every_codec_that_is_measured_is_lossless(colour: bool) -> None:
    figures = measure_codecs(_frames(colour=colour), candidates())
    assert {item.name for item in figures if not item.lossless} == set()
    assert {item.problem for item in figures} == {""}
    raw = next(item for item in figures if item.name == "raw")
    assert raw.frame_kb >= 48 * 64 * (3 if colour else 1) / 1e3


def test_a_lossy_or_missing_codec_is_reported() -> None:
    lossy = Coding(codec="mpeg4", container="matroska", grey="yuv420p", colour="yuv420p")
    missing = Coding(codec="zstdvideo", container="nut", grey="gray", colour="rgb24")
    lost, gone = measure_codecs(_frames(colour=False), {"lossy": lossy, "missing": missing})
    assert not lost.lossless
    assert gone.problem


def test_those_that_can_be_chosen_are_among_them() -> None:
    assert set(map(id, LOSSLESS.values())) <= set(map(id, candidates().values()))


def test_the_command_prints_one_document() -> None:
    result = CliRunner().invoke(bench_app, ["codecs", "--count", "5", "--size", "64x48", "--json"])
    assert result.exit_code == 0, result.output
    assert len(json.loads(result.stdout)) == len(candidates())


def test_a_source_without_frames_is_refused() -> None:
    result = CliRunner().invoke(bench_app, ["codecs", "demo", "--size", "large"])
    assert isinstance(result.exception, UsageError)
