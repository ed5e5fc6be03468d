"""What waits in real time: the newest is taken, and what came before it only while that is still fresh."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

from usassist.common.clock import Clock

__all__ = ["FRESH_QUEUE_SIZE", "STALL_REST_NS", "FreshQueue"]

FRESH_QUEUE_SIZE = 3
"""So many may wait; more would be a queue, and a queue makes everything late."""

STALL_REST_NS = 2_000_000_000
"""After a moment in which the machine was held up, before another one is believed, ns."""

_PATIENCE_NS = 25_000_000
_STALL_PATIENCE_NS = 90_000_000  # while the machine is held up for a moment
_STALL_NS = 200_000_000  # such a moment, with the time to make up for it

T = TypeVar("T")


class FreshQueue(Generic[T]):
    """Holds the newest of what came. It has no lock of its own.

    In real time the newest counts. Yet a moment in which the machine was busy with something else should cost nothing:
    up to three wait, and are taken in order, as long as the oldest of them has waited no more than 25 ms, and 90 ms
    where that was not exceeded for two seconds. Who is slower than what comes exceeds it every time, and then sees the
    newest alone.

    Parameters
    ----------
    clock : for the wait
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._items: deque[tuple[int, T]] = deque()
        self._stalled_ns: int | None = None  # when the last moment began in which something had to wait

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: T, since_ns: int | None = None) -> T | None:
        """Let it wait; gives the one that must go for it, if there is one.

        Parameters
        ----------
        since_ns : since when it has waited elsewhere, ns of the clock; None = from now on
        """
        self._items.append((self._clock.now_ns() if since_ns is None else since_ns, item))
        return self._items.popleft()[1] if len(self._items) > FRESH_QUEUE_SIZE else None

    def pass_over(self) -> list[T]:
        """Take out those that have waited too long, oldest first; never the newest."""
        if len(self._items) < 2:
            return []
        now_ns = self._clock.now_ns()
        oldest_ns = now_ns - self._patience_ns(now_ns)
        passed_over = []
        while len(self._items) > 1 and self._items[0][0] < oldest_ns:
            passed_over.append(self._items.popleft()[1])
        return passed_over

    def take(self) -> T:
        """Take out the oldest.

        Raises
        ------
        IndexError
            If nothing waits.
        """
        return self._items.popleft()[1]

    def clear(self) -> list[T]:
        """Take out everything, oldest first."""
        items = [item for _, item in self._items]
        self._items.clear()
        return items

    def _patience_ns(self, now_ns: int) -> int:
        """How long the oldest may have waited."""
        if now_ns - self._items[0][0] <= _PATIENCE_NS:
            return _PATIENCE_NS
        if self._stalled_ns is None or now_ns - self._stalled_ns > STALL_REST_NS:
            self._stalled_ns = now_ns
        is_new = now_ns - self._stalled_ns <= _STALL_NS
        if not is_new:
            self._stalled_ns = now_ns - _STALL_NS - 1  # it goes on: this is no moment
        return _STALL_PATIENCE_NS if is_new else _PATIENCE_NS
