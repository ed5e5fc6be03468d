"""Some frames of a recording, without decoding the others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.recordings import record_session
from tests.samples import make_frame
from usassist.session import open_session
from usassist.sinks.video import LOSSLESS


def test_only_the_frames_that_are_wanted_come_and_they_are_the_same(recorded: Path) -> None:
    session = open_session(recorded)
    every = {line.frame_id: image for line, image in session.images()}
    problems: list[str] = []
    found = {line.frame_id: image for line, image in session.wanted_images({2, 7, 8, 11, 99}, problems)}
    assert list(found) == [2, 7, 8, 11]  # of both files; there is no frame 99
    assert problems == []
    for frame_id, image in found.items():
        np.testing.assert_array_equal(image, every[frame_id])


def test_a_recording_in_the_other_codec_gives_the_same_frames(tmp_path: Path) -> None:
    frames = [make_frame(i, t_capture_ns=33_333_333 * i) for i in range(8)]
    record_session(tmp_path / "s", frames, coding=LOSSLESS["small"])
    problems: list[str] = []
    found = list(open_session(tmp_path / "s").wanted_images({1, 5}, problems))
    assert [line.frame_id for line, _ in found] == [1, 5]
    assert problems == []
    for line, image in found:
        np.testing.assert_array_equal(image, frames[line.frame_id].image)


@pytest.mark.parametrize(("wanted", "told"), [({0, 1, 2, 3, 4, 5, 6, 7}, True), ({0}, False)])
def test_damage_is_told_of_frames_that_are_wanted_alone(recorded: Path, wanted: set[int], told: bool) -> None:
    path = recorded / "frames.nut"
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 20] = bytes(byte ^ 0xFF for byte in content[middle : middle + 20])
    path.write_bytes(bytes(content))
    problems: list[str] = []
    found = [line.frame_id for line, _ in open_session(recorded).wanted_images(wanted, problems)]
    assert bool(problems) is told
    assert (found == sorted(wanted)) is not told
