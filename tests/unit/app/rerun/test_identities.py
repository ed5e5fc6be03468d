"""Track ids in the comparison of a recording with its rerun."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest

from tests.samples import CALIBRATED_ENGINE, make_result
from tests.unit.app.rerun.test_rerun import EXACT
from usassist.app.rerun.compare import compare_sessions
from usassist.app.rerun.identities import IdentityComparison, why_not_compared
from usassist.app.rerun.outcome import Comparison, Side
from usassist.bus import EngineBody, TrackingBody, TrackingClock
from usassist.records import Result

SECOND_NS = 1_000_000_000


def _result(number: int, track_id: int, follows: int | None) -> Result:
    result = make_result(number, follows_frame_id=follows, t_capture_ns=number * SECOND_NS // 10)
    detections = dataclasses.replace(result.detections, track_id=np.array([track_id], np.int32))
    return dataclasses.replace(result, detections=detections)


def _numbered(ids: Sequence[int], missing: Sequence[int] = ()) -> Side:
    """One nodule on each frame with these ids; frames that are missing have a result and are not in the recording."""
    results = tuple(_result(number, track_id, number - 1 if number else None) for number, track_id in enumerate(ids))
    frame_ids = tuple(number for number in range(len(ids)) if number not in missing)
    return Side(frame_ids=frame_ids, results=results, gaps={"frame": len(missing)})


def _compare(recorded: Side, again: Side, identities: IdentityComparison | None = None) -> Comparison:
    return compare_sessions(recorded, again, EXACT, EXACT, same_machine=True, memory_frames=1, identities=identities)


def _without(side: Side, numbers: Sequence[int]) -> Side:
    kept = tuple(result for result in side.results if result.frame_id not in numbers)
    return dataclasses.replace(side, results=kept, frame_ids=tuple(result.frame_id for result in kept))


def test_ids_must_be_the_same_where_nothing_is_missing() -> None:
    recorded = _numbered([1, 1, 1, 2])
    assert _compare(recorded, _numbered([1, 1, 1, 2])).identical
    assert [item.frame_id for item in _compare(recorded, _numbered([1, 1, 3, 2])).differences] == [2]
    assert [item.frame_id for item in _compare(recorded, _numbered([1, 1, -1, 2])).differences] == [2]


def test_ids_of_a_recording_from_before_there_were_any_are_no_difference() -> None:
    before, now = _numbered([-1, -1, -1]), _numbered([1, 1, 2])
    assert _compare(before, now, IdentityComparison(compared=False)).identical
    assert not _compare(before, now).ok


@pytest.mark.parametrize("by_time", [False, True])
def test_after_a_frame_that_is_missing_ids_count_again_once_no_nodule_can_be_remembered(by_time: bool) -> None:
    settled = 36 if by_time else 96  # three seconds of ten frames, or 90 frames; the frames before 5 are the same
    count = settled + 20
    recorded = _numbered([1] * 5 + [2] + [3] * (count - 6), missing=[5])
    for ids, expected in (
        ([1] * 5 + [2] * (count - 5), []),  # another number for the same nodule
        ([1] * 5 + [3] + [2, 4] * 4 + [2] * (count - 14), []),  # not compared so soon after it
        ([1] * 5 + [2] * (count - 10) + [7] * 5, list(range(count - 5, count))),  # another nodule in the middle of it
        ([1, 1, 6, 1, 1] + [2] * (count - 5), [2]),  # a difference before it
    ):
        again = _without(_numbered(ids), [5])
        outcome = _compare(recorded, again, IdentityComparison(by_time=by_time))
        assert [item.frame_id for item in outcome.differences] == expected, ids
        assert not outcome.faults


def test_two_nodules_of_the_recording_are_not_one_of_the_rerun() -> None:
    recorded = _numbered([1] * 3 + [2] * 100 + [3] * 10, missing=[2])
    again = _without(_numbered([1] * 3 + [2] * 110), [2])
    assert [item.frame_id for item in _compare(recorded, again).differences] == list(range(103, 113))


def test_ids_of_covered_frames_are_left_out() -> None:
    recorded = dataclasses.replace(_numbered([1, 1, 2, 2]), covered=frozenset({1}))
    assert _compare(recorded, _numbered([1, 4, 4, 4])).ok


def _engine(rule: str = "sweep-1", clock: TrackingClock = TrackingClock.CAPTURE_TIME) -> list[EngineBody]:
    fields = {name: getattr(CALIBRATED_ENGINE, name) for name in EngineBody.__struct_fields__}
    return [EngineBody(**(fields | {"tracking": TrackingBody(rule=rule, clock=clock)}))]


def test_it_is_said_why_ids_are_not_compared() -> None:
    again = _engine(clock=TrackingClock.RECORDED_TIME)
    assert why_not_compared(_engine(), again) == ""
    assert why_not_compared([CALIBRATED_ENGINE], [CALIBRATED_ENGINE]) == ""
    assert "no track ids" in why_not_compared([CALIBRATED_ENGINE], again)
    assert "gives no track ids" in why_not_compared(_engine(), [CALIBRATED_ENGINE])
    assert "by other-2, now by sweep-1" in why_not_compared(_engine("other-2"), again)
    assert "itself a rerun" in why_not_compared(again, again)
