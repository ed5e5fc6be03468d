"""Which plane and side people have marked, for every frame of the session."""

from __future__ import annotations

from bisect import bisect_right, insort

from usassist.bus import Plane, Side

__all__ = ["MarkedPlanes"]

_KEPT = 4096

_Statement = tuple[int, Plane | None, Side | None]


class MarkedPlanes:
    """Statements in the order of their frames; each holds until the next, see ``bus.MarkBody``."""

    def __init__(self) -> None:
        self._said: list[_Statement] = []

    def clear(self) -> None:
        """Forget everything, for a new session."""
        self._said.clear()

    def add(self, frame_id: int, plane: Plane | None, side: Side | None) -> None:
        """From this frame on, this plane and side; a later statement about the same frame replaces an earlier one."""
        self._said = [item for item in self._said if item[0] != frame_id]
        insort(self._said, (frame_id, plane, side), key=lambda item: item[0])
        del self._said[:-_KEPT]

    def end(self, frame_id: int) -> None:
        """From this frame on nothing is known: the image is another one."""
        if self.at(frame_id) != (None, None):
            self.add(frame_id, None, None)

    def at(self, frame_id: int) -> tuple[Plane | None, Side | None]:
        """Plane and side of a frame; None = not marked."""
        place = bisect_right(self._said, frame_id, key=lambda item: item[0])
        return self._said[place - 1][1:] if place else (None, None)
