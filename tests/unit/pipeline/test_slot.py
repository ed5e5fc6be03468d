"""Tests of the slot between capture and the loop."""

from __future__ import annotations

import threading
import weakref

import pytest

from tests.samples import make_frame
from usassist.common.clock import FakeClock
from usassist.pipeline import slot as slot_module
from usassist.pipeline.slot import DroppedFrame, Slot
from usassist.records import Frame


def left(frames: list[Frame]) -> list[DroppedFrame]:
    return [DroppedFrame.of(frame) for frame in frames]


def test_the_newest_is_taken_and_what_waited_too_long_is_handed_over_with_it() -> None:
    clock = FakeClock()
    slot = Slot(clock, lossless=False)
    frames = [make_frame(number) for number in range(3)]
    for frame in frames:
        slot.put(frame)
    clock.advance_ms(100)
    assert slot.take(0) == (frames[2], left(frames[:2]), True)
    assert slot.take(0) == (None, [], True)


def test_a_short_stall_of_the_machine_drops_no_frame() -> None:
    clock = FakeClock()
    slot = Slot(clock, lossless=False)
    frames = [make_frame(number) for number in range(3)]
    for frame in frames:
        slot.put(frame)
        clock.advance_ms(28)
    taken = []
    for _ in frames:
        taken.append(slot.take(0))
        clock.advance_ms(10)
    assert taken == [(frame, [], True) for frame in frames]


def _overrun(slot: Slot, clock: FakeClock, seconds: float) -> list[int]:
    """Frames come every 20 ms and each takes 50 ms: how many were dropped at each take."""
    drops, due_ms, number, now_ms = [], 0, 0, 0
    while now_ms < 1000 * seconds:
        while due_ms <= now_ms:
            slot.put(make_frame(number))
            due_ms, number = due_ms + 20, number + 1
        drops.append(len(slot.take(0)[1]))
        clock.advance_ms(50)
        now_ms += 50
    return drops


def test_an_engine_that_is_too_slow_sees_the_newest_frame_alone() -> None:
    clock = FakeClock()
    slot = Slot(clock, lossless=False)
    drops = _overrun(slot, clock, 6)
    assert sum(drops) >= 160  # of 300, at least what there was no time for
    assert all(drops[8:])  # sustained overload is not taken for another stall
    clock.advance_ms(3000)
    slot.take(0)
    for number in range(2):
        slot.put(make_frame(number))
    clock.advance_ms(60)
    assert slot.take(0)[1] == []  # after a rest, a stall is a stall again


def test_frames_of_one_short_stall_are_all_taken_in_order() -> None:
    clock = FakeClock()
    slot = Slot(clock, lossless=False)
    frames = [make_frame(number) for number in range(3)]
    for frame in frames[:2]:
        slot.put(frame)
    clock.advance_ms(10)
    assert slot.take(0) == (frames[0], [], True)
    slot.put(frames[2])
    assert [slot.take(0)[0] for _ in range(2)] == frames[1:]


def test_no_more_than_three_wait_however_fresh_they_are() -> None:
    slot = Slot(FakeClock(), lossless=False)
    frames = [make_frame(number) for number in range(5)]
    for frame in frames:
        slot.put(frame)
    assert slot.take(0) == (frames[2], left(frames[:2]), True)


def test_a_lone_frame_is_taken_however_long_it_waited() -> None:
    clock = FakeClock()
    slot = Slot(clock, lossless=False)
    frame = make_frame()
    slot.put(frame)
    clock.advance_ms(1e6)
    assert slot.take(0) == (frame, [], True)


def test_a_lossless_slot_makes_the_source_wait_and_drops_nothing() -> None:
    clock = FakeClock()
    slot = Slot(clock, lossless=True)
    frames = [make_frame(number) for number in range(8)]

    def put_all() -> None:
        for frame in frames:
            slot.put(frame)

    put = threading.Thread(target=put_all)
    put.start()
    taken: list[object] = []
    while len(taken) < len(frames):
        clock.advance_ms(1000)
        frame, overwritten, _ = slot.take(10)
        assert not overwritten
        taken.append(frame)
    put.join()
    assert taken == frames


def test_a_closed_slot_gives_what_it_has_and_then_reports_that_it_is_closed() -> None:
    slot = Slot(FakeClock(), lossless=False)
    frames = [make_frame(number) for number in range(2)]
    slot.put(frames[0])
    slot.close()
    assert slot.take(0) == (frames[0], [], True)
    assert slot.take(0) == (None, [], False)
    slot.put(frames[1])
    assert slot.drain() == left([frames[1]])
    assert slot.drain() == []


def test_while_nothing_is_taken_only_the_newest_pixels_are_kept() -> None:
    slot = Slot(FakeClock(), lossless=False)
    pixels = []
    for number in range(50):
        frame = make_frame(number, calibration_id="g", spacing_rc_mm=(0.1, 0.1), spacing_rel_sd=0.01)
        pixels.append(weakref.ref(frame.image))
        slot.put(frame)
    del frame
    assert sum(item() is not None for item in pixels) == 3
    _, dropped, _ = slot.take(0)
    assert [item.frame_id for item in dropped] == list(range(47))
    assert {(item.calibration_id, item.image_hw_px, item.source_id) for item in dropped} == {("g", (48, 64), "us0")}


def test_a_loop_that_stalls_for_ever_makes_capture_wait_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slot_module, "_MAX_DROPPED", 10)
    slot, put = Slot(FakeClock(), lossless=False), []

    def capture() -> None:
        for number in range(20):
            slot.put(make_frame(number))
            put.append(number)

    thread = threading.Thread(target=capture)
    thread.start()
    thread.join(0.2)
    assert put == list(range(13))
    frame, dropped, _ = slot.take(5)
    assert frame is not None
    seen = [*(item.frame_id for item in dropped), frame.frame_id]
    thread.join(20)
    seen += [item.frame_id for item in slot.drain()]
    assert seen == list(range(20))  # each of them once
