"""The heartbeat of a process, by which its supervisor sees that it makes progress."""

from __future__ import annotations

__all__ = ["Heartbeat"]


class Heartbeat:
    """Counts the iterations of a process's main loop.

    Only that loop calls :meth:`beat`: a timer thread would go on while the loop hangs.
    ``usassist.app.runtime.worker`` sends the count to the supervisor.

    Attributes
    ----------
    count : iterations so far
    allowed_s : for how long the loop may stall from now on, s; None = the usual limit of this process
    """

    __slots__ = ("allowed_s", "count")

    def __init__(self) -> None:
        self.count = 0
        self.allowed_s: float | None = None

    def beat(self) -> None:
        """Count one iteration."""
        self.count += 1

    def allow(self, seconds: float | None) -> None:
        """Announce a step that may take this long, such as closing files on a slow disk; None = the usual limit."""
        self.allowed_s = seconds
        self.count += 1
