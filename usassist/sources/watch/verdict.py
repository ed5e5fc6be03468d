"""The verdict of a signal watch, and faults that are reported and cleared with a delay."""

from __future__ import annotations

from dataclasses import dataclass

from usassist.records import SignalState

__all__ = ["DebouncedFault", "SignalVerdict"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalVerdict:
    """State of the signal.

    Attributes
    ----------
    state : see ``SignalState``
    reason : one line, without any text from the screen; empty while live
    since_ns : monotonic ns of the first sign of this state
    """

    state: SignalState
    reason: str
    since_ns: int


class DebouncedFault:
    """One fault, debounced: raised when it has lasted long enough, cleared when it is gone for long enough.

    Parameters
    ----------
    confirm_s : how long it must last, over two checks at least
    clear_s : how long it must be gone

    Attributes
    ----------
    raised : whether it is reported
    reason : its newest reason
    since_ns : time of the first check that showed it
    """

    def __init__(self, confirm_s: float, clear_s: float) -> None:
        self._confirm_ns, self._clear_ns = round(confirm_s * 1e9), round(clear_s * 1e9)
        self._first_ns: int | None = None
        self._absent_ns: int | None = None
        self.raised = False
        self.reason = ""
        self.since_ns = 0

    def update(self, reason: str | None, t_ns: int) -> None:
        """Add the result of one check: why there is a fault, or None."""
        if reason is None:
            if self._absent_ns is None:
                self._absent_ns = t_ns
            if not self.raised:
                self._first_ns = None
            elif t_ns - self._absent_ns >= self._clear_ns:
                self.raised, self._first_ns = False, None
            return
        self._absent_ns = None
        if self._first_ns is None:
            self._first_ns = t_ns
        elif t_ns - self._first_ns >= self._confirm_ns and not self.raised:
            self.raised, self.since_ns = True, self._first_ns
        self.reason = reason
