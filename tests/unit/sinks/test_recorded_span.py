from __future__ import annotations

from usassist.sinks.recorded_span import RecordedSpan


def test_a_recording_from_the_beginning_keeps_everything() -> None:
    span = RecordedSpan(on_request=False)
    assert all(span.keeps(topic, number) for number in range(3) for topic in ("frame", "result"))
    assert not span.is_over


def test_one_that_begins_later_keeps_nothing_that_may_lack_its_counterpart() -> None:
    span = RecordedSpan(on_request=True)
    assert not span.keeps("frame", 7)
    assert not span.keeps("result", 7)  # nothing is announced yet
    span.is_announced = True
    assert not span.keeps("frame", 8)  # both are known now: 9 is the first
    assert not span.keeps("result", 8)
    assert span.keeps("frame", 9)
    assert span.keeps("result", 9)


def test_one_that_ends_on_request_waits_for_the_result_of_its_last_frame() -> None:
    span = RecordedSpan(on_request=False)
    span.keeps("frame", 4)
    span.finish()
    assert not span.keeps("frame", 5)
    assert not span.is_over
    assert span.keeps("result", 4)
    assert span.is_over
    assert not span.keeps("result", 5)
    span.finish()
    assert span.is_over


def test_one_whose_results_came_before_their_frames_waits_for_these() -> None:
    span = RecordedSpan(on_request=False)
    assert span.keeps("frame", 4)
    assert span.keeps("result", 4)
    assert span.keeps("result", 5)
    span.finish()
    assert not span.is_over
    assert span.keeps("frame", 5)
    assert span.is_over
    assert not span.keeps("frame", 6)


def test_one_without_a_frame_ends_at_once() -> None:
    span = RecordedSpan(on_request=True)
    span.finish()
    assert span.is_over
