"""A bounded newest-first queue: it rides out a short stall, and drops its backlog under sustained overload."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

from usassist.common.clock import Clock

__all__ = ["FRESH_QUEUE_SIZE", "STALL_COOLDOWN_NS", "FreshQueue"]

FRESH_QUEUE_SIZE = 3
"""Capacity. Every further item would add its waiting time to the latency of all that follow."""

STALL_COOLDOWN_NS = 2_000_000_000
"""Time after a stall before a long wait counts as a new stall and not as overload, ns."""

_MAX_WAIT_NS = 25_000_000
_STALL_MAX_WAIT_NS = 90_000_000  # during a stall
_STALL_NS = 200_000_000  # duration of a stall, with the time to catch up after it

T = TypeVar("T")


class FreshQueue(Generic[T]):
    """A queue that prefers the newest item. Not thread-safe: the owner holds a lock.

    It holds up to three items, which are taken in order while the oldest has waited no more than 25 ms. A short stall
    (the machine was busy with something else) drops nothing: for up to 200 ms the limit is 90 ms, if 25 ms were not
    exceeded in the two seconds before. A consumer that is slower than the input exceeds 25 ms all the time, so that
    the backlog is dropped and only the newest item is left.

    Parameters
    ----------
    clock : measures the wait
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._items: deque[tuple[int, T]] = deque()
        self._stalled_ns: int | None = None  # start of the last stall

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: T, since_ns: int | None = None) -> T | None:
        """Append an item; returns the oldest if that had to be dropped for it.

        Parameters
        ----------
        since_ns : since when the item has waited elsewhere, ns of the clock; None = from now on
        """
        self._items.append((self._clock.now_ns() if since_ns is None else since_ns, item))
        return self._items.popleft()[1] if len(self._items) > FRESH_QUEUE_SIZE else None

    def drop_stale(self) -> list[T]:
        """Remove items that have waited too long, and return them, oldest first; never the newest."""
        if len(self._items) < 2:
            return []
        now_ns = self._clock.now_ns()
        oldest_ns = now_ns - self._max_wait_ns(now_ns)
        dropped = []
        while len(self._items) > 1 and self._items[0][0] < oldest_ns:
            dropped.append(self._items.popleft()[1])
        return dropped

    def take(self) -> T:
        """Remove and return the oldest item.

        Raises
        ------
        IndexError
            If the queue is empty.
        """
        return self._items.popleft()[1]

    def clear(self) -> list[T]:
        """Remove and return all items, oldest first."""
        items = [item for _, item in self._items]
        self._items.clear()
        return items

    def _max_wait_ns(self, now_ns: int) -> int:
        """How long the oldest item may have waited."""
        if now_ns - self._items[0][0] <= _MAX_WAIT_NS:
            return _MAX_WAIT_NS
        if self._stalled_ns is None or now_ns - self._stalled_ns > STALL_COOLDOWN_NS:
            self._stalled_ns = now_ns
        in_stall = now_ns - self._stalled_ns <= _STALL_NS
        if not in_stall:
            self._stalled_ns = now_ns - _STALL_NS - 1  # sustained overload: restart the cooldown
        return _STALL_MAX_WAIT_NS if in_stall else _MAX_WAIT_NS
