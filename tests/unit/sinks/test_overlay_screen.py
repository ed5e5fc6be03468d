from __future__ import annotations

import msgspec
import numpy as np

from tests.samples import ENGINE, SESSION, make_frame, make_result
from usassist.bus import TOPICS, HealthBody, Message, SessionState, decode
from usassist.bus.codec import encode, encode_frame, encode_result
from usassist.common.clock import FakeClock
from usassist.records import ResultState
from usassist.sinks.overlay.screen import OverlayScreen
from usassist.sinks.view import STATE_COLOR_RGB


def _event(name: str, body: msgspec.Struct) -> Message:
    return decode(encode(TOPICS[name], "us0", 0, 0, body, {}))


def _stripe(image: np.ndarray | None) -> tuple[int, ...]:
    """Colour of the mark at the left of the upper bar, which stands for the state."""
    assert image is not None
    return tuple(int(value) for value in image[5, 3])


def test_the_window_shows_a_frame_with_its_own_result_and_then_that_nothing_comes_any_more() -> None:
    clock = FakeClock()
    screen = OverlayScreen(clock)
    assert _stripe(screen.render()) == STATE_COLOR_RGB[ResultState.NO_RESULT], "nothing has come yet"
    assert screen.render() is None, "the same silence is painted once"
    screen.take(_event("engine", ENGINE))
    screen.take(_event("session", SESSION))
    screen.take(decode(encode_frame(make_frame(1), 0, 0)))
    screen.take(decode(encode_result(make_result(1), 0, 0)))
    assert _stripe(screen.render()) == STATE_COLOR_RGB[ResultState.FINDING]
    assert screen.render() is None, "nothing has changed"
    clock.advance_ms(400)
    assert _stripe(screen.render()) == STATE_COLOR_RGB[ResultState.NO_RESULT], "no frame for 0.4 s"


def test_the_end_of_the_stream_is_shown_at_once() -> None:
    screen = OverlayScreen(FakeClock())
    screen.take(_event("engine", ENGINE))
    screen.take(_event("session", SESSION))
    screen.take(decode(encode_frame(make_frame(1), 0, 0)))
    screen.take(decode(encode_result(make_result(1, ResultState.NO_FINDING), 0, 0)))
    assert _stripe(screen.render()) == STATE_COLOR_RGB[ResultState.NO_FINDING]
    screen.take(_event("session", msgspec.structs.replace(SESSION, state=SessionState.ENDED)))
    assert _stripe(screen.render()) == STATE_COLOR_RGB[ResultState.NO_RESULT]


def test_a_result_before_its_engine_is_known_is_no_result() -> None:
    screen = OverlayScreen(FakeClock())
    screen.take(_event("session", SESSION))
    screen.take(decode(encode_frame(make_frame(1), 0, 0)))
    screen.take(decode(encode_result(make_result(1), 0, 0)))
    assert _stripe(screen.render()) == STATE_COLOR_RGB[ResultState.NO_RESULT]


class Outlet:
    def __init__(self) -> None:
        self.posted: list[HealthBody] = []

    def send(self, topic: str, body: msgspec.Struct) -> bool:
        assert topic == "health"
        assert isinstance(body, HealthBody)
        self.posted.append(body)
        return True


def test_the_stage_draw_is_from_both_here_to_drawn() -> None:
    clock, outlet = FakeClock(10**9), Outlet()
    screen = OverlayScreen(clock, outlet)
    screen.take(_event("engine", ENGINE))
    screen.take(_event("session", SESSION))
    screen.take(decode(encode_frame(make_frame(1), 0, 0)))
    clock.advance_ms(40)
    screen.take(decode(encode_result(make_result(1), 0, 0)))
    clock.advance_ms(3)
    assert screen.render() is not None
    clock.advance_ms(2)
    screen.drawn()
    screen.drawn()  # the same image counts once
    screen.publish_health()
    (body,) = outlet.posted
    assert (body.process, body.frames, body.answered) == ("overlay", 1, 1)
    assert (body.stages["draw"].count, body.stages["draw"].max_ms) == (1, 5.0)


def test_a_frame_without_its_result_does_not_count_for_the_stage_and_frames_passed_over_are_told() -> None:
    clock, outlet = FakeClock(10**9), Outlet()
    screen = OverlayScreen(clock, outlet)
    for frame_id in (1, 4):
        screen.take(decode(encode_frame(make_frame(frame_id), 0, 0)))
        clock.advance_ms(101)
        assert screen.render() is not None
        screen.drawn()
    screen.publish_health()
    (body,) = outlet.posted
    assert (body.frames, body.answered, body.dropped, body.stages) == (2, 0, 2, {})


def test_the_overlay_says_how_it_is_once_a_second() -> None:
    clock, outlet = FakeClock(10**9), Outlet()
    screen = OverlayScreen(clock, outlet)
    for _ in range(30):
        screen.publish_health()
        clock.advance_ms(100)
    assert len(outlet.posted) == 3
    assert all(body.cpu_s is not None for body in outlet.posted)
