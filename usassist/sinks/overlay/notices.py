"""One line that tells what became of the last key, for some seconds."""

from __future__ import annotations

from usassist.common.clock import Clock

__all__ = ["Notice"]

_NOTICE_NS = 5_000_000_000


class Notice:
    """The line.

    Parameters
    ----------
    clock : for how long it is shown
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._text, self._until_ns = "", 0

    def say(self, text: str) -> None:
        """Show a text for some seconds."""
        self._text, self._until_ns = text, self._clock.now_ns() + _NOTICE_NS

    @property
    def text(self) -> str:
        """What is to be shown now; may be empty."""
        return self._text if self._clock.now_ns() <= self._until_ns else ""
