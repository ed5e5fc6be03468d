"""Time: monotonic nanoseconds everywhere, wall-clock time once per session.

Every timestamp in usassist is an integer of ``time.monotonic_ns()``. It is taken once, at the source, and copied to
everything made from that frame. The wall clock appears only in :func:`clock_pair`, which a recording stores so that
its monotonic timestamps can be converted to wall-clock time afterwards.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

__all__ = ["Clock", "ClockPair", "FakeClock", "MonotonicClock", "clock_pair"]


class Clock(Protocol):
    """A clock that the rest of the program reads and sleeps on."""

    def now_ns(self) -> int:
        """Monotonic time, ns."""
        ...

    def sleep_until(self, t_ns: int) -> None:
        """Return when ``now_ns() >= t_ns``."""
        ...


class MonotonicClock:
    """The machine's monotonic clock."""

    def now_ns(self) -> int:
        """Monotonic time, ns."""
        return time.monotonic_ns()

    def sleep_until(self, t_ns: int) -> None:
        """Sleep until ``t_ns``; return at once when that is past."""
        remaining_ns = t_ns - time.monotonic_ns()
        if remaining_ns > 0:
            time.sleep(remaining_ns / 1e9)


class FakeClock:
    """A clock for tests: it advances only by :meth:`advance_ms` and :meth:`sleep_until`."""

    def __init__(self, t_ns: int = 0) -> None:
        self._t_ns = t_ns

    def now_ns(self) -> int:
        """Monotonic time, ns."""
        return self._t_ns

    def advance_ms(self, duration_ms: float) -> None:
        """Advance by ``duration_ms``."""
        self._t_ns += int(duration_ms * 1e6)

    def sleep_until(self, t_ns: int) -> None:
        """Jump to ``t_ns`` if that is ahead."""
        self._t_ns = max(self._t_ns, t_ns)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockPair:
    """The same instant on both clocks."""

    t_monotonic_ns: int
    utc: str


def clock_pair() -> ClockPair:
    """Read both clocks as nearly at the same instant as Python can."""
    before_ns = time.monotonic_ns()
    utc = datetime.now(UTC)
    after_ns = time.monotonic_ns()
    return ClockPair(t_monotonic_ns=(before_ns + after_ns) // 2, utc=utc.isoformat(timespec="microseconds"))
