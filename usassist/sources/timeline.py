"""Due times from the stamps of a file, which may be missing, repeated or fall back."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

__all__ = ["Timeline"]

_TOLD_GAP_NS = 10_000_000_000  # a longer pause is told
_LONGEST_GAP_NS = 600_000_000_000  # a longer one is a fault of the stamps


class Timeline:
    """Turns presentation stamps into due times that never fall.

    A pause is a pause, however long, and one of more than ten seconds is told. A stamp that is missing, does not
    advance, or leaps ahead by more than ten minutes counts as one nominal period after the picture before it, and the
    stamps that follow are measured from there; a leap is told, and so is the first stamp that falls back.

    Parameters
    ----------
    period_ns : nominal time between two pictures, ns
    tell : is told of pauses and leaps, in words
    """

    def __init__(self, period_ns: int, tell: Callable[[str], None] | None = None) -> None:
        self._period_ns = period_ns
        self._tell = tell or (lambda what: None)
        self._t_media_ns: int | None = None
        self._anchor_ns: int | None = None  # due time minus stamp
        self._fell_back = False

    def due_ns(self, pts: int | None, time_base: Fraction | None) -> int:
        """When the next picture is due, ns since the first."""
        stamp_ns = None if pts is None or time_base is None else round(pts * time_base * 1_000_000_000)
        before_ns = self._t_media_ns
        t_media_ns = 0 if before_ns is None else before_ns + self._period_ns
        if stamp_ns is not None:
            if self._anchor_ns is not None and before_ns is not None:
                stamped_ns = stamp_ns + self._anchor_ns
                if self._may_follow(stamped_ns - before_ns, before_ns / 1e9):
                    t_media_ns = stamped_ns
            self._anchor_ns = t_media_ns - stamp_ns
        self._t_media_ns = t_media_ns
        return t_media_ns

    def begin_again(self) -> None:
        """The stamps start over: the next picture is due one nominal period after the last."""
        self._anchor_ns = None

    def _may_follow(self, gap_ns: int, at_s: float) -> bool:
        if gap_ns > _LONGEST_GAP_NS:
            self._tell(f"its stamps leap ahead by {gap_ns / 1e9:.1f} s at {at_s:.1f} s, which is taken for a fault")
        elif gap_ns > _TOLD_GAP_NS:
            self._tell(f"a pause of {gap_ns / 1e9:.1f} s at {at_s:.1f} s")
        elif gap_ns < 0 and not self._fell_back:
            self._fell_back = True
            self._tell(f"its stamps fall back by {-gap_ns / 1e9:.1f} s at {at_s:.1f} s; played on without a pause")
        return 0 < gap_ns <= _LONGEST_GAP_NS
