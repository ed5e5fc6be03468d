from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from tests.samples import make_result
from usassist.bus import MarkKind, Plane, Side
from usassist.records import Cause, Result, ResultState
from usassist.sinks.panel.sweep.log import MarkAt
from usassist.sinks.panel.sweep.planes import MarkedPlanes
from usassist.sinks.panel.sweep.timeline import Timeline, columns_of
from usassist.sinks.panel.sweep.timeline_view import clock, draw_timeline
from usassist.words import load_words

PERIOD_NS = 20_000_000


def result(frame_id: int, state: ResultState = ResultState.NO_FINDING, **changes: Any) -> Result:
    return make_result(frame_id, state, t_capture_ns=7_000_000_000 + frame_id * PERIOD_NS, **changes)


def test_a_frame_is_found_again_with_what_it_came_to() -> None:
    timeline = Timeline()
    timeline.add(result(10, ResultState.FINDING))
    timeline.add(result(11))
    timeline.add(result(13, ResultState.NO_RESULT, cause=Cause.OUT_OF_DOMAIN))
    first, third = timeline.entry(10), timeline.entry(13)
    assert first is not None
    assert (first.state, first.t_s, first.found, first.frames) == ("finding", 0.0, 1, 1)
    assert first.score == pytest.approx(0.875, abs=0.006)
    assert third is not None
    assert (third.state, third.cause, third.score, third.t_s) == ("no_result", "out_of_domain", None, 0.06)
    assert timeline.entry(12) is None
    assert timeline.entry(9) is None
    assert timeline.entry(14) is None


def test_results_that_come_late_are_put_in_their_place() -> None:
    timeline = Timeline()
    for frame_id in (0, 1, 3, 2, 3):
        timeline.add(result(frame_id))
    assert timeline.snapshot()["frame_id"].tolist() == [0, 1, 2, 3]


def test_missing_frames_are_counted_and_never_look_like_frames() -> None:
    timeline = Timeline()
    for frame_id in (0, 1, 5, 6):
        timeline.add(result(frame_id))
    columns = columns_of(timeline.snapshot(), 1)
    assert (columns.frames, columns.missing, columns.no_finding) == (4, [3], [4])


def test_columns_add_up_to_the_frames() -> None:
    timeline = Timeline()
    states = [ResultState.FINDING, ResultState.NO_FINDING, ResultState.NO_RESULT, ResultState.STALE]
    for frame_id in range(1000):
        timeline.add(result(frame_id, states[frame_id % 4]))
    columns = columns_of(timeline.snapshot(), 300)
    assert len(columns.frame_id) == 300
    for counts in (columns.finding, columns.no_finding, columns.no_result, columns.stale):
        assert sum(counts) == 250
    assert columns.frame_id == sorted(columns.frame_id)


def test_a_long_session_stays_within_its_memory_and_loses_no_count() -> None:
    timeline = Timeline(max_rows=1024)
    base = result(0, ResultState.FINDING)
    for frame_id in range(10_000):
        timeline.add(dataclasses.replace(base, frame_id=frame_id, t_capture_ns=frame_id * PERIOD_NS))
    assert len(timeline) <= 1024
    assert timeline.nbytes <= 1024 * 24
    columns = columns_of(timeline.snapshot(), 100)
    assert (columns.frames, sum(columns.finding), sum(columns.missing)) == (10_000, 10_000, 0)
    newest, oldest = timeline.entry(9_999), timeline.entry(1)
    assert newest is not None
    assert newest.frames == 1
    assert oldest is not None
    assert oldest.frames > 1
    assert oldest.frame_id <= 1 < oldest.frame_id + oldest.frames


def test_an_answer_that_follows_no_other_is_a_cut_where_answers_follow() -> None:
    timeline = Timeline()
    cuts = [timeline.add(result(0)), timeline.add(result(1)), timeline.add(result(2, follows_frame_id=1))]
    cuts += [timeline.add(result(3)), timeline.add(result(4, follows_frame_id=3))]
    assert cuts == [False, False, False, True, False]


def test_planes_hold_until_the_next_or_the_end_of_the_image() -> None:
    planes = MarkedPlanes()
    planes.add(10, Plane.TRANSVERSE, Side.RIGHT)
    planes.add(30, Plane.LONGITUDINAL, None)
    planes.end(40)
    assert planes.at(9) == (None, None)
    assert planes.at(29) == (Plane.TRANSVERSE, Side.RIGHT)
    assert planes.at(39) == (Plane.LONGITUDINAL, None)
    assert planes.at(40) == (None, None)
    planes.add(10, None, Side.LEFT)
    assert planes.at(15) == (None, Side.LEFT)


@pytest.mark.parametrize(
    ("t_s", "text"), [(41.24, "0:41.2"), (59.96, "1:00.0"), (3723.4, "1:02:03.4"), (0.0, "0:00.0")]
)
def test_times_are_written_as_clocks(t_s: float, text: str) -> None:
    assert clock(t_s) == text


@pytest.mark.parametrize("language", ["en", "de", "ko"])
def test_the_drawing_says_in_words_what_it_shows(language: str) -> None:
    timeline = Timeline()
    for frame_id in range(50):
        timeline.add(result(frame_id, ResultState.NO_RESULT if frame_id == 20 else ResultState.FINDING))
    words = load_words(language, "sweep")
    mark = MarkAt(frame_id=5, kind=MarkKind.PLANE, plane=None, side=Side.LEFT, track_id=-1)
    html = draw_timeline(columns_of(timeline.snapshot(), 10), [(mark, 0.1)], words, selected_s=0.5)
    assert 'class="us-tl-no_result"' in html  # one frame of fifty is still drawn
    assert words("plane.none") in html
    assert 'class="us-tl-at"' in html
    assert draw_timeline(columns_of(np.zeros(0, timeline.snapshot().dtype), 10), [], words) == (
        f'<p class="us-tl-none">{words("sweep.none")}</p>'
    )
