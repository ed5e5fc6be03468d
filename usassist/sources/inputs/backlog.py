"""Which pictures waited in a buffer while the caller was away: they are old, and the newest one is wanted."""

from __future__ import annotations

from usassist.common.fresh_queue import FRESH_QUEUE_SIZE, STALL_COOLDOWN_NS

__all__ = ["Backlog"]

_WAITED_NS = 1_000_000  # a read that takes longer than this had to wait for its data, so nothing was left in a buffer
_DEFAULT_RATE_HZ = 30.0


class Backlog:
    """Says of each picture whether newer ones were already waiting when it was read.

    A caller that was away for n periods has about n pictures waiting: all but the last of them are old, as long as they
    can be read without waiting. A short stall of the machine should cost none, though: where no more wait than
    :class:`usassist.common.fresh_queue.FreshQueue` would hold, and the caller was not away in the two seconds before,
    none is old.

    Parameters
    ----------
    rate_hz : nominal rate; None where it is not known
    """

    def __init__(self, rate_hz: float | None) -> None:
        self._period_ns = 1e9 / (rate_hz or _DEFAULT_RATE_HZ)
        self._old = 0
        self._away_ns: int | None = None

    def away(self, duration_ns: int, now_ns: int) -> None:
        """Note that nothing was read for this time until now, ns."""
        periods = int(duration_ns / self._period_ns)
        if periods <= 1:
            return
        is_new = self._away_ns is None or now_ns - self._away_ns > STALL_COOLDOWN_NS
        self._away_ns = now_ns
        if not is_new or periods > FRESH_QUEUE_SIZE:
            self._old += periods - 1

    def is_old(self, waited_ns: int) -> bool:
        """Say whether a picture is old.

        Parameters
        ----------
        waited_ns : how long the reading of it took
        """
        if not self._old:
            return False
        if waited_ns > _WAITED_NS:
            self._old = 0
            return False
        self._old -= 1
        return True
