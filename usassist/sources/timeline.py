"""Due times from the stamps of a file, which may be missing, repeated or fall back."""

from __future__ import annotations

from fractions import Fraction

__all__ = ["Timeline"]

_LONGEST_GAP_NS = 10_000_000_000  # a longer gap is a fault of the stamps, not a pause


class Timeline:
    """Turns presentation stamps into due times that never fall.

    A stamp that is missing, does not advance, or leaps ahead by more than ten seconds counts as one nominal period
    after the picture before it, and the stamps that follow are measured from there.

    Parameters
    ----------
    period_ns : nominal time between two pictures, ns
    """

    def __init__(self, period_ns: int) -> None:
        self._period_ns = period_ns
        self._t_media_ns: int | None = None
        self._anchor_ns: int | None = None  # due time minus stamp

    def due_ns(self, pts: int | None, time_base: Fraction | None) -> int:
        """When the next picture is due, ns since the first."""
        stamp_ns = None if pts is None or time_base is None else round(pts * time_base * 1_000_000_000)
        before_ns = self._t_media_ns
        t_media_ns = 0 if before_ns is None else before_ns + self._period_ns
        if stamp_ns is not None:
            if self._anchor_ns is not None and before_ns is not None:
                stamped_ns = stamp_ns + self._anchor_ns
                if before_ns < stamped_ns <= before_ns + _LONGEST_GAP_NS:
                    t_media_ns = stamped_ns
            self._anchor_ns = t_media_ns - stamp_ns
        self._t_media_ns = t_media_ns
        return t_media_ns

    def begin_again(self) -> None:
        """The stamps start over: the next picture is due one nominal period after the last."""
        self._anchor_ns = None
