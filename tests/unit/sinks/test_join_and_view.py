from __future__ import annotations

import msgspec
import pytest

from tests.samples import ENGINE, SESSION, make_frame, make_result
from usassist.bus import SessionBody, SessionState, SignalBody
from usassist.common.clock import FakeClock
from usassist.records import Cause, ResultState, SignalState
from usassist.sinks.frame_result_join import EveryFrameJoin, NewestFrameJoin
from usassist.sinks.view import STATE_COLOR_RGB, view_of_frame, view_of_silence


def test_a_viewer_gets_a_frame_with_its_own_result_and_only_once() -> None:
    pairs = NewestFrameJoin(FakeClock())
    pairs.add_frame(make_frame(1))
    assert pairs.take() is None
    pairs.add_result(make_result(1))
    pair = pairs.take()
    assert pair is not None
    assert pair.result is not None
    assert (pair.frame.frame_id, pair.result.frame_id) == (1, 1)
    assert pairs.take() is None


def test_a_result_of_another_frame_is_never_paired() -> None:
    clock = FakeClock()
    pairs = NewestFrameJoin(clock, hold_ms=50)
    pairs.add_frame(make_frame(5))
    pairs.add_result(make_result(4))
    pairs.add_result(make_result(6))
    assert pairs.take() is None
    clock.advance_ms(51)
    pair = pairs.take()
    assert pair is not None
    assert (pair.frame.frame_id, pair.result) == (5, None)


def test_a_newer_frame_whose_result_is_there_goes_before_one_that_waits() -> None:
    pairs = NewestFrameJoin(FakeClock())
    for number in (1, 2, 3):
        pairs.add_frame(make_frame(number))
    pairs.add_result(make_result(3))
    pair = pairs.take()
    assert pair is not None
    assert pair.frame.frame_id == 3


def test_frames_that_were_dropped_are_passed_over_while_the_engine_abstains() -> None:
    clock = FakeClock()
    pairs = NewestFrameJoin(clock)
    pairs.add_frame(make_frame(1))
    pairs.add_result(make_result(1, ResultState.NO_RESULT, cause=Cause.OUT_OF_DOMAIN))
    assert pairs.take() is not None
    pairs.add_frame(make_frame(2))
    pairs.add_result(make_result(2, ResultState.NO_RESULT))
    assert pairs.take() is None, "it would blink between two reasons"


def test_an_engine_that_abstains_is_said_to_and_never_looks_like_no_finding() -> None:
    reason = "not thyroid (0.03 < 0.50)"
    result = make_result(1, ResultState.NO_RESULT, cause=Cause.OUT_OF_DOMAIN, reason=reason)
    engine = msgspec.structs.replace(ENGINE, domain="thyroid")
    view = view_of_frame(result, engine, SESSION, 21_000_000)
    assert (view.state, view.headline, view.draw) == (ResultState.NO_RESULT, "NOT THYROID", False)
    assert (view.detail, view.age_ms) == (f"no result: {reason}", 20.0)
    for unknown in (None, ENGINE, msgspec.structs.replace(engine, engine_id="other@1+0")):
        view = view_of_frame(result, unknown, SESSION, 21_000_000)
        assert (view.state, view.headline, view.detail) == (ResultState.NO_RESULT, "NO RESULT", reason)


def test_after_a_frame_that_waited_in_vain_the_newest_gets_its_turn() -> None:
    clock = FakeClock()
    pairs = NewestFrameJoin(clock, hold_ms=50)
    pairs.add_frame(make_frame(1))
    pairs.add_frame(make_frame(2))
    pairs.add_frame(make_frame(3))
    clock.advance_ms(60)
    first = pairs.take()
    assert first is not None
    assert first.frame.frame_id == 1
    pairs.add_result(make_result(3))
    second = pairs.take()
    assert second is not None
    assert second.frame.frame_id == 3


def test_nothing_of_one_session_is_shown_in_the_next() -> None:
    pairs = NewestFrameJoin(FakeClock())
    pairs.add_result(make_result(1))
    pairs.add_frame(make_frame(1, session_id="another"))
    assert pairs.take() is None


def test_a_frame_that_a_busy_engine_missed_is_passed_over_only_while_answers_keep_coming() -> None:
    clock = FakeClock()
    pairs = NewestFrameJoin(clock)
    for number, state in enumerate((ResultState.NO_RESULT, ResultState.FINDING, ResultState.NO_RESULT)):
        pairs.add_frame(make_frame(number))
        pairs.add_result(make_result(number, state))
        assert (pairs.take() is not None) == (number < 2)
    clock.advance_ms(151)
    pairs.add_frame(make_frame(3))
    pairs.add_result(make_result(3, ResultState.NO_RESULT))
    pair = pairs.take()
    assert pair is not None
    assert pair.result is not None
    assert pair.result.state is ResultState.NO_RESULT


def test_memory_of_results_is_bounded() -> None:
    pairs = NewestFrameJoin(FakeClock())
    for number in range(1000):
        pairs.add_result(make_result(number, ResultState.NO_FINDING))
    assert len(pairs._results) <= 256


def test_an_archive_gets_every_frame_in_order_whatever_the_order_of_arrival() -> None:
    pairs = EveryFrameJoin()
    pairs.add_result(make_result(0))
    pairs.add_frame(make_frame(0))
    pairs.add_frame(make_frame(1))
    pairs.add_frame(make_frame(2))
    pairs.add_result(make_result(1))
    taken = [pairs.take(), pairs.take(), pairs.take()]
    assert [pair.frame.frame_id for pair in taken if pair] == [0, 1]
    pairs.add_result(make_result(3))
    lost = pairs.take()
    assert lost is not None
    assert (lost.frame.frame_id, lost.result) == (2, None)
    pairs.add_frame(make_frame(4))
    last = pairs.rest()
    assert last is not None
    assert last.frame.frame_id == 4
    assert pairs.rest() is None


@pytest.mark.parametrize(
    ("state", "headline", "draw"),
    [
        (ResultState.FINDING, "1 FINDING", True),
        (ResultState.NO_FINDING, "NO FINDING", False),
        (ResultState.NO_RESULT, "NO RESULT", False),
        (ResultState.STALE, "STALE", False),
    ],
)
def test_each_state_is_shown_in_its_own_word(state: ResultState, headline: str, draw: bool) -> None:
    view = view_of_frame(make_result(1, state), ENGINE, SESSION, 2_000_000)
    assert (view.state, view.headline, view.draw) == (state, headline, draw)
    assert bool(view.detail) == (not state.is_answer)


def test_states_differ_in_colour() -> None:
    assert len(set(STATE_COLOR_RGB.values())) == len(ResultState)


def test_a_frame_without_result_an_unknown_engine_or_none_at_all_is_no_result() -> None:
    other = msgspec.structs.replace(ENGINE, engine_id="other@1.0.0+0")
    for result, engine in ((None, ENGINE), (make_result(), None), (make_result(), other)):
        view = view_of_frame(result, engine, SESSION, 0)
        assert view.state is ResultState.NO_RESULT
        assert not view.draw
        assert view.detail


def test_an_answer_that_has_grown_old_on_its_way_is_stale() -> None:
    result = make_result(0)
    assert view_of_frame(result, ENGINE, SESSION, 149_000_000).state is ResultState.FINDING
    old = view_of_frame(result, ENGINE, SESSION, 151_000_000)
    assert (old.state, old.draw) == (ResultState.STALE, False)
    assert "151 ms old, limit 150 ms" in old.detail


def test_age_means_nothing_in_a_run_that_does_not_keep_time() -> None:
    session = msgspec.structs.replace(SESSION, realtime=False)
    view = view_of_frame(make_result(0), ENGINE, session, 10**12)
    assert (view.state, view.age_ms) == (ResultState.FINDING, None)


def test_silence_is_no_result_and_says_since_when() -> None:
    assert view_of_silence(SESSION, 100.0) is None
    silent = view_of_silence(SESSION, 2300.0)
    assert silent is not None
    assert (silent.state, silent.detail) == (ResultState.NO_RESULT, "no frame for 2.3 s")
    waiting = view_of_silence(None, None)
    assert waiting is not None
    assert "waiting" in waiting.detail


@pytest.mark.parametrize("state", [state for state in SessionState if state is not SessionState.RUNNING])
def test_the_end_of_a_stream_is_said_at_once(state: SessionState) -> None:
    view = view_of_silence(msgspec.structs.replace(SESSION, state=state, reason="cable"), 1.0)
    assert view is not None
    assert view.state is ResultState.NO_RESULT
    assert ("cable" in view.detail) == (state is SessionState.FAILED)


def _with_signal(state: SignalState) -> SessionBody:
    return msgspec.structs.replace(SESSION, signal=SignalBody(state=state, reason="because"))


@pytest.mark.parametrize(
    ("state", "headline"),
    [
        (SignalState.FROZEN, "FROZEN"),
        (SignalState.LOST, "SIGNAL LOST"),
        (SignalState.CHANGED, "PICTURE CHANGED"),
        (SignalState.NOT_B_MODE, "NOT B-MODE"),
        (SignalState.DAMAGED, "FRAME DAMAGED"),
    ],
)
def test_a_picture_that_is_not_live_is_named_and_nothing_is_drawn_on_it(state: SignalState, headline: str) -> None:
    cause = Cause.DAMAGED if state is SignalState.DAMAGED else Cause.NOT_LIVE
    result = make_result(1, ResultState.NO_RESULT, cause=cause, reason="because")
    view = view_of_frame(result, ENGINE, SESSION, 0, state)
    assert (view.state, view.headline, view.detail, view.draw) == (ResultState.NO_RESULT, headline, "because", False)
    silent = view_of_silence(_with_signal(state), 5000.0)
    assert silent is not None
    assert (silent.headline, silent.detail) == (headline, "because")


def test_a_frozen_picture_that_comes_is_shown_and_a_lost_one_is_not() -> None:
    assert view_of_silence(_with_signal(SignalState.FROZEN), 20.0) is None
    assert view_of_silence(_with_signal(SignalState.NOT_B_MODE), 20.0) is None
    assert view_of_silence(_with_signal(SignalState.LOST), 20.0) is not None
    assert view_of_silence(_with_signal(SignalState.CHANGED), 20.0) is not None
    assert view_of_silence(_with_signal(SignalState.LIVE), 20.0) is None
