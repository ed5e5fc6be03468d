"""Real ultrasound through the command line. What lies outside the project is read in place, never copied."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from tests.replay.conftest import Usassist
from usassist.common.pyav import av
from usassist.sources import open_source

CLIPS = (
    "ultrasound_clips_itkpocus/butterfly-ocular-phantom.mp4",
    "ultrasound_clips_itkpocus/clarius-ocular-short.mp4",
    "ultrasound_clips_lung/convex/Reg_pat2Image_134240.mpeg",
    "ultrasound_clips_lung/linear/Pneu_prospective_file3.mp4",
)


@pytest.mark.parametrize("name", CLIPS)
def test_the_recording_of_a_real_clip_is_bit_identical_to_what_was_decoded(
    usassist: Usassist, tmp_path: Path, name: str
) -> None:
    data = os.environ.get("USASSIST_DATA", "")
    clip = Path(data) / name
    if not data or not clip.is_file():
        pytest.skip(f"USASSIST_DATA names no folder with {name}")
    (tmp_path / "settings.toml").write_text("[record]\ncover_text = false\n")
    run = usassist("replay", clip, "--out", "s", "--fast", "--count", 40, "--config", "settings.toml", "--json")
    assert run.returncode == 0, run.stderr
    document = json.loads(run.stdout)
    with open_source(f"session:{tmp_path / 's'}", session_id="again", fast=True) as source:
        recorded = list(source.frames())
    assert len(recorded) == document["frames"]
    with av.open(str(clip)) as container:
        for frame, decoded in zip(recorded, container.decode(video=0), strict=False):
            x1, y1, x2, y2 = frame.roi_xyxy_px
            expected = decoded.to_ndarray(format="rgb24")[y1:y2, x1:x2]
            shown = frame.image if frame.image.ndim == 3 else np.dstack([frame.image] * 3)  # without colour: one plane
            np.testing.assert_array_equal(shown, expected)
    text = (tmp_path / "s" / "session.toml").read_text() + (tmp_path / "s" / "results.jsonl").read_text()
    assert clip.stem not in text, "a recording does not say which file it came from"
