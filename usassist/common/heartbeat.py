"""Progress of the work of a process, as whoever supervises it sees it."""

from __future__ import annotations

__all__ = ["Heartbeat"]


class Heartbeat:
    """Counts how often the main loop of a process has come round.

    Only that loop beats: a thread beside it that ticked by itself would go on while the work hangs. What counts here is
    sent on by ``usassist.app.runtime.worker``.

    Attributes
    ----------
    count : turns so far
    allowed_s : for how long the loop may stand still from now on, s; None = as usual for this process
    """

    __slots__ = ("allowed_s", "count")

    def __init__(self) -> None:
        self.count = 0
        self.allowed_s: float | None = None

    def beat(self) -> None:
        """The loop has come round."""
        self.count += 1

    def allow(self, seconds: float | None) -> None:
        """What comes now may take so long, such as closing files on a slow disk; None = as usual again."""
        self.allowed_s = seconds
        self.count += 1
