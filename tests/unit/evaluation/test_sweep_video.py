"""The overlay video of a clip."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tests.unit.evaluation.test_sweep import NODULE, SPOT, followed
from usassist.common.pyav import av
from usassist.errors import SessionError, UsageError
from usassist.evaluation import sweep_video
from usassist.evaluation.sweep_video import draw_sweep_frame, open_video, plan_videos
from usassist.records import ResultState
from usassist.sinks.view import STATE_COLOR_RGB

BLUE, ORANGE = (60, 200, 255), (255, 150, 40)


def count(image, rgb):
    return int((np.abs(image.astype(int) - rgb).max(axis=-1) < 30).sum())


def test_every_frame_of_the_clip_is_in_its_video(tmp_path):
    path = tmp_path / "a.webm"
    with open_video(path, 3, 0.5, 25.0) as video:
        for outcome, item in followed("a", [([], 0), ([NODULE], 1), ([NODULE], 1)]):
            video.write(outcome, item)
    assert list(tmp_path.iterdir()) == [path]
    with av.open(str(path)) as container:
        frames = [item.to_ndarray(format="rgb24") for item in container.decode(video=0)]
        assert container.streams.video[0].average_rate == 25
    assert len(frames) == 3


def test_the_marked_outline_is_dashed_and_the_found_one_is_a_line():
    (empty, nodule, false) = [
        draw_sweep_frame(outcome, item, 0.5, "frame 0")[40:-40]
        for outcome, item in followed("a", [([], 0), ([NODULE], 1), ([SPOT], 0)])
    ]
    assert count(empty, BLUE) == count(empty, ORANGE) == 0
    assert count(nodule, ORANGE) > 200
    assert count(false, BLUE) == 0
    assert count(false, ORANGE) > 50
    (missed,) = [
        draw_sweep_frame(outcome, item, 0.5, "frame 0")[40:-40]
        for outcome, item in followed("a", [([NODULE], 1)], score=0.2)
    ]
    assert count(missed, ORANGE) == 0
    assert 0.3 < count(missed, BLUE) / count(nodule, ORANGE) < 0.75


def test_a_frame_on_which_the_engine_abstained_is_told_from_one_without_a_finding(monkeypatch):
    said = []
    monkeypatch.setattr(sweep_video, "draw_text", lambda image, text, place, size: said.append(text) or place[0])
    ((outcome, item),) = followed("a", [([NODULE], 1)], score=0.2)
    silent = dataclasses.replace(item, tally=dataclasses.replace(item.tally, abstained=True))
    shown = [
        draw_sweep_frame(outcome, one, 0.5, "frame 0", associated=associated, domain="thyroid")
        for one, associated in ((item, False), (silent, True))
    ]
    assert [text for text in said if text.isupper() or "no result" in text] == [
        "NO FINDING",
        "NOT THYROID - no result",
    ]
    assert [text.partition("   ")[2] for text in said if text.startswith("a_0")] == [
        "threshold 0.50",
        "associated, 0.50 or more",
    ]
    assert "Dice 0.00   missed" in said
    bars = [image[1, 5].astype(int) for image in shown]
    assert np.abs(bars[1] - STATE_COLOR_RGB[ResultState.NO_RESULT]).max() < 3 < np.abs(bars[0] - bars[1]).max()


def test_nothing_is_left_of_a_video_that_was_not_finished(tmp_path):
    def write_one():
        with open_video(tmp_path / "a.webm", 2, 0.5, None) as video:
            video.write(*next(followed("a", [([NODULE], 1)])))
            raise RuntimeError("the engine failed")

    with pytest.raises(RuntimeError, match="the engine failed"):
        write_one()
    assert not list(tmp_path.iterdir())


def test_a_video_that_exists_is_only_replaced_when_asked_for(tmp_path):
    assert set(plan_videos(tmp_path / "new", ["a", "b"], (), overwrite=False)) == {"a", "b"}
    (tmp_path / "b.webm").write_text("x")
    assert list(plan_videos(tmp_path, ["a", "b"], ["a"], overwrite=False)) == ["a"]
    with pytest.raises(UsageError, match=r"b\.webm exists.*--overwrite"):
        plan_videos(tmp_path, ["a", "b"], (), overwrite=False)
    assert plan_videos(tmp_path, ["a", "b"], ["b"], overwrite=True) == {"b": tmp_path / "b.webm"}


def test_a_wrong_clip_and_a_wrong_folder_are_named(tmp_path):
    with pytest.raises(UsageError, match="no clip c"):
        plan_videos(tmp_path, ["a", "b"], ["c"], overwrite=False)
    (tmp_path / "file").write_text("x")
    with pytest.raises(SessionError, match="cannot be made"):
        plan_videos(tmp_path / "file", ["a"], (), overwrite=False)
    gone = open_video(tmp_path / "gone" / "a.webm", 1, 0.5, None)
    with pytest.raises(SessionError, match=r"a\.webm cannot be written.*--videos"), gone as video:
        video.write(*next(followed("a", [([NODULE], 1)])))
