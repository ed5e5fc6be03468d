from __future__ import annotations

import pytest

from usassist.common.clock import FakeClock
from usassist.common.fresh_queue import FRESH_QUEUE_SIZE, FreshQueue


def _queue(clock: FakeClock, *items: int) -> FreshQueue[int]:
    queue: FreshQueue[int] = FreshQueue(clock)
    for item in items:
        queue.put(item)
    return queue


def test_a_full_queue_drops_the_oldest() -> None:
    queue = _queue(FakeClock(), *range(FRESH_QUEUE_SIZE))
    assert queue.put(FRESH_QUEUE_SIZE) == 0
    assert len(queue) == FRESH_QUEUE_SIZE
    assert queue.clear() == [1, 2, 3]
    assert not queue


def test_a_lone_item_is_never_stale() -> None:
    clock = FakeClock()
    queue = _queue(clock, 7)
    clock.advance_ms(1e6)
    assert queue.drop_stale() == []
    assert queue.take() == 7
    with pytest.raises(IndexError):
        queue.take()


@pytest.mark.parametrize(("waited_ms", "dropped"), [(20, []), (60, []), (89, []), (91, [1, 2])])
def test_a_first_stall_drops_nothing(waited_ms: float, dropped: list[int]) -> None:
    clock = FakeClock(10**12)
    queue = _queue(clock, 1, 2, 3)
    clock.advance_ms(waited_ms)
    assert queue.drop_stale() == dropped


def test_a_stall_within_the_cooldown_drops_the_backlog() -> None:
    clock = FakeClock(10**12)
    queue, dropped = _queue(clock), []
    for pause_ms in (0, 1000, 1000, 3000):
        clock.advance_ms(pause_ms)
        queue.put(1)
        queue.put(2)
        clock.advance_ms(60)
        dropped.append(queue.drop_stale())
        queue.clear()
    assert dropped == [[], [1], [1], []]


def test_time_waited_elsewhere_counts() -> None:
    clock = FakeClock(10**9)
    queue: FreshQueue[int] = FreshQueue(clock)
    for item, age_ms in enumerate((200, 100, 5)):
        queue.put(item, clock.now_ns() - age_ms * 1_000_000)
    assert queue.drop_stale() == [0, 1]
    assert queue.take() == 2
