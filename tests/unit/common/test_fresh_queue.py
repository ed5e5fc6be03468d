from __future__ import annotations

import pytest

from usassist.common.clock import FakeClock
from usassist.common.fresh_queue import FRESH_QUEUE_SIZE, FreshQueue


def _waiting(clock: FakeClock, *items: int) -> FreshQueue[int]:
    waiting: FreshQueue[int] = FreshQueue(clock)
    for item in items:
        waiting.put(item)
    return waiting


def test_one_too_many_pushes_the_oldest_out() -> None:
    waiting = _waiting(FakeClock(), *range(FRESH_QUEUE_SIZE))
    assert waiting.put(FRESH_QUEUE_SIZE) == 0
    assert len(waiting) == FRESH_QUEUE_SIZE
    assert waiting.clear() == [1, 2, 3]
    assert not waiting


def test_what_waits_alone_is_never_passed_over() -> None:
    clock = FakeClock()
    waiting = _waiting(clock, 7)
    clock.advance_ms(1e6)
    assert waiting.pass_over() == []
    assert waiting.take() == 7
    with pytest.raises(IndexError):
        waiting.take()


@pytest.mark.parametrize(("waited_ms", "passed"), [(20, []), (60, []), (89, []), (91, [1, 2])])
def test_a_first_moment_is_waited_for(waited_ms: float, passed: list[int]) -> None:
    clock = FakeClock(10**12)
    waiting = _waiting(clock, 1, 2, 3)
    clock.advance_ms(waited_ms)
    assert waiting.pass_over() == passed


def test_a_moment_soon_after_another_is_none() -> None:
    clock = FakeClock(10**12)
    waiting, passed = _waiting(clock), []
    for pause_ms in (0, 1000, 1000, 3000):
        clock.advance_ms(pause_ms)
        waiting.put(1)
        waiting.put(2)
        clock.advance_ms(60)
        passed.append(waiting.pass_over())
        waiting.clear()
    assert passed == [[], [1], [1], []]


def test_what_has_waited_elsewhere_counts_as_waiting() -> None:
    clock = FakeClock(10**9)
    waiting: FreshQueue[int] = FreshQueue(clock)
    for item, age_ms in enumerate((200, 100, 5)):
        waiting.put(item, clock.now_ns() - age_ms * 1_000_000)
    assert waiting.pass_over() == [0, 1]
    assert waiting.take() == 2
