"""The interface and ``usassist replay`` give the same results, to the last bit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from usassist import Engine
from usassist.bus import decode, result_from
from usassist.records import Result
from usassist.session import open_session

COUNT = 60
ARRAYS = {
    "detections": ("xyxy_px", "score", "label_id", "track_id"),
    "segmentation": ("contour_xy_px", "contour_start"),
    "measurements": (
        "major_px",
        "minor_px",
        "area_px2",
        "major_mm",
        "minor_mm",
        "area_mm2",
        "major_u95_mm",
        "minor_u95_mm",
        "area_u95_mm2",
    ),
}


def _published(folder: Path) -> list[Result]:
    messages = (decode(record.data) for record in open_session(folder).messages() if not record.without_pixels)
    return [result_from(message) for message in messages if message.topic.name == "result"]


def _same(one: Result, other: Result, *, with_ids: bool = True) -> None:
    for name in ("frame_id", "state", "cause", "reason", "engine_id", "backend", "calibration_id", "image_hw_px"):
        assert getattr(one, name) == getattr(other, name), name
    assert one.descriptors == other.descriptors
    for record, names in ARRAYS.items():
        for name in names if with_ids else set(names) - {"track_id"}:
            left, right = (getattr(getattr(result, record), name) for result in (one, other))
            assert (left is None) == (right is None), name
            if left is not None:
                assert left.dtype == right.dtype
                np.testing.assert_array_equal(left, right, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--backend", "onnxruntime", "--precision", "fp32", "--point", "sensitive")])
def test_results_are_those_of_a_replay_to_the_last_bit(tmp_path: Path, options: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "usassist", "replay", "demo", "--fast", "--count", str(COUNT), *options]
    run = subprocess.run([*command, "--out", str(tmp_path / "s")], capture_output=True, text=True, timeout=100)
    assert run.returncode == 0, run.stderr
    published = _published(tmp_path / "s")
    named = dict(zip(options[::2], options[1::2], strict=True))
    with Engine(**{key.removeprefix("--"): value for key, value in named.items()}) as engine:
        clip = list(engine.stream("demo", count=COUNT))
        session = list(engine.stream(tmp_path / "s"))
        arrays = engine([result.image for result in clip])  # each alone: an array follows no other
    with Engine(each_frame_alone=True, **{key.removeprefix("--"): value for key, value in named.items()}) as engine:
        alone = list(engine.stream("demo", count=COUNT))
    assert len(published) == len(clip) == len(session) == COUNT
    assert {str(result.state) for result in clip} == {"finding", "no_finding"}
    for ours, theirs in zip(clip, published, strict=True):
        _same(ours.record, theirs)
    same_before = True  # which nodule is which depends on all frames before
    for recorded, theirs in zip(session, published, strict=True):  # frames are lossless, but text in them is covered
        if np.array_equal(recorded.image, clip[recorded.frame_id].image):
            _same(recorded.record, theirs, with_ids=same_before)
        else:
            same_before = False
    assert any((theirs.detections.track_id > 0).any() for theirs in published)
    assert all((result.record.detections.track_id == -1).all() for result in alone)
    for ours, again in zip(alone, arrays, strict=True):
        np.testing.assert_array_equal(ours.scores, again.scores)
        np.testing.assert_array_equal(ours.record.segmentation.contour_xy_px, again.record.segmentation.contour_xy_px)
