"""Frames of a recorded session come back as what they were."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.recordings import record_session
from tests.samples import make_frame
from usassist.common.clock import FakeClock
from usassist.errors import SourceError, SourceFormatError, UsageError
from usassist.records import Frame, Pose, PoseStatus, SignalState
from usassist.sources import open_source

IDS = (0, 1, 2, 5, 6, 7, 8, 9)  # 3 and 4 were lost
FROZEN, TEXT, POSELESS = 6, 8, 7
T0_NS, PERIOD_NS = 7_000_000_000, 50_000_000


def _poses(frame_id: int) -> tuple[Pose, ...]:
    matrix = (1.0, 0.0, 0.0, float(frame_id), 0.0, 1.0, 0.0, 0.5, 0.0, 0.0, 1.0, -2.25)
    stamp_ns = 1_700_000_000_000_000_000 + frame_id
    return (
        Pose(name="ProbeToReference", status=PoseStatus.VALID, matrix_mm=matrix, sender_stamp_ns=stamp_ns),
        Pose(name="NeedleToReference", status=PoseStatus.STALE, sender_stamp_ns=stamp_ns - 1),
    )


def _frame(frame_id: int) -> Frame:
    t_ns = T0_NS + frame_id * PERIOD_NS
    words: dict[str, Any] = {"t_decoded_ns": t_ns + 2_000_000, "t_cropped_ns": t_ns + 3_000_000}
    if frame_id == FROZEN:
        words |= {"picture": SignalState.FROZEN, "picture_reason": "the scanner is frozen"}
    if frame_id == TEXT:
        words |= {"text_xyxy_px": ((4, 4, 20, 12),)}
    if frame_id != POSELESS:
        words |= {"poses": _poses(frame_id)}
    return make_frame(
        frame_id,
        channels=3 if frame_id >= 5 else 1,
        t_capture_ns=t_ns,
        spacing_rc_mm=(0.1, 0.2),
        spacing_rel_sd=0.01,
        calibration_id="geo",
        **words,
    )


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recorded") / "session"
    record_session(folder, [_frame(frame_id) for frame_id in IDS])
    return folder


def _frames(folder: Path, **options: Any) -> list[Frame]:
    with open_source(f"session:{folder}", session_id="again", **({"fast": True} | options)) as source:
        return list(source.frames())


def _copy(folder: Path, to: Path) -> Path:
    to.mkdir()
    for path in folder.iterdir():
        (to / path.name).write_bytes(path.read_bytes())
    return to


def test_frames_keep_their_numbers_so_that_gaps_stay_gaps(recorded: Path) -> None:
    assert [frame.frame_id for frame in _frames(recorded)] == list(IDS)


def test_pixels_scale_and_what_was_said_of_the_picture_come_back(recorded: Path) -> None:
    for after in _frames(recorded):
        before = _frame(after.frame_id)
        assert after.session_id == "again"
        assert (after.picture, after.picture_reason) == (before.picture, before.picture_reason)
        assert (after.spacing_rc_mm, after.spacing_rel_sd) == ((0.1, 0.2), 0.01)
        assert (after.calibration_id, after.roi_xyxy_px) == ("geo", before.roi_xyxy_px)
        if after.frame_id != TEXT:
            np.testing.assert_array_equal(after.image, before.image)


def test_every_frame_comes_back_with_its_own_poses(recorded: Path) -> None:
    assert [frame.poses for frame in _frames(recorded)] == [
        () if frame_id == POSELESS else _poses(frame_id) for frame_id in IDS
    ]


def test_text_that_the_recorder_covered_is_no_text_any_more(recorded: Path) -> None:
    (covered,) = [frame for frame in _frames(recorded) if frame.frame_id == TEXT]
    assert covered.text_xyxy_px == ()
    assert len(np.unique(covered.image[4:12, 4:20].reshape(-1, 3), axis=0)) == 1


def test_a_frame_is_given_when_it_was_ready_and_its_stamps_lie_before_that_as_they_did(recorded: Path) -> None:
    clock = FakeClock(50_000_000_000)
    with open_source(f"session:{recorded}", session_id="again", clock=clock) as source:
        given = [(frame, clock.now_ns()) for frame in source.frames()]
    for frame, now_ns in given:
        assert now_ns - given[0][1] == frame.frame_id * PERIOD_NS
        assert (frame.t_cropped_ns, frame.t_decoded_ns) == (now_ns, now_ns - 1_000_000)
        assert frame.t_capture_ns == now_ns - 3_000_000


def test_stamps_never_run_backwards_however_fast_frames_are_given(recorded: Path) -> None:
    stamps = [frame.t_capture_ns for frame in _frames(recorded, clock=FakeClock(10_000_000_000))]
    assert stamps == sorted(stamps)


def test_frame_numbers_go_on_rising_in_the_next_round(recorded: Path) -> None:
    frames = _frames(recorded, repeat=True, count=11)
    assert [frame.frame_id for frame in frames] == [*IDS, 10, 11, 12]
    np.testing.assert_array_equal(frames[8].image, frames[0].image)


def test_a_picture_that_is_damaged_is_left_out_and_counted_and_no_other_takes_its_place(
    recorded: Path, tmp_path: Path
) -> None:
    folder = _copy(recorded, tmp_path / "damaged")
    before = {frame.frame_id: frame.image for frame in _frames(folder)}
    video = bytearray((folder / "frames_2.nut").read_bytes())
    middle = len(video) // 2
    video[middle : middle + 40] = bytes(40)
    (folder / "frames_2.nut").write_bytes(video)
    with open_source(f"session:{folder}", session_id="again", fast=True) as source:
        after = {frame.frame_id: frame.image for frame in source.frames()}
        assert source.decode_errors == len(before) - len(after) == 1
    for frame_id, image in after.items():
        np.testing.assert_array_equal(image, before[frame_id])


def test_a_line_of_an_older_recording_says_less_and_is_read(recorded: Path, tmp_path: Path) -> None:
    folder = _copy(recorded, tmp_path / "old")
    lines = [json.loads(line) for line in (folder / "frames.jsonl").read_text().splitlines()]
    for line in lines:
        for name in ("t_decoded_ns", "t_cropped_ns", "picture", "picture_reason", "covered_xyxy_px"):
            line.pop(name, None)
    (folder / "frames.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    frames = _frames(folder)
    assert [frame.frame_id for frame in frames] == list(IDS)
    assert {(frame.picture, frame.t_decoded_ns, frame.t_cropped_ns) for frame in frames} == {
        (SignalState.LIVE, None, None)
    }


def test_numbers_that_do_not_rise_are_refused(recorded: Path, tmp_path: Path) -> None:
    folder = _copy(recorded, tmp_path / "wrong")
    lines = (folder / "frames.jsonl").read_text().splitlines(keepends=True)
    (folder / "frames.jsonl").write_text("".join([*lines[:3], lines[1], *lines[4:]]))
    with pytest.raises(SourceFormatError, match="frame numbers rise"):
        _frames(folder)


def test_what_is_no_session_is_an_error(tmp_path: Path, recorded: Path) -> None:
    with pytest.raises(SourceError, match="no recorded session"):
        _frames(tmp_path)
    with pytest.raises(UsageError, match="keeps its own crop"):
        _frames(recorded, crop=(0, 0, 8, 8))
