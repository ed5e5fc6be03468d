"""Which plane and side each frame shows, as far as a person has marked it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from usassist.records import FrameLine, SignalState
from usassist.session.lines import MarkLine

__all__ = ["PlaneAt", "find_planes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaneAt:
    """What was marked of a frame; None = not marked."""

    plane: str | None = None
    side: str | None = None


_UNKNOWN = PlaneAt()


def find_planes(frames: Sequence[FrameLine], marks: Sequence[MarkLine], cuts: frozenset[int]) -> list[PlaneAt]:
    """Plane and side of every frame.

    A ``plane`` mark holds from its frame on until the next ``plane`` mark or a cut; see ``bus.MarkBody``. A frozen
    frame repeats the last live one, so a mark on it holds from that one on.

    Parameters
    ----------
    frames : lines, in order
    marks : in the order in which they were made; other kinds are ignored
    cuts : numbers of frames before which the image changed to another
    """
    last_live: dict[int, int] = {}
    live = None
    for line in frames:
        if line.picture is SignalState.LIVE:
            live = line.frame_id
        elif line.picture is SignalState.FROZEN and live is not None:
            last_live[line.frame_id] = live
        else:
            live = None
    made: dict[int, PlaneAt] = {}
    for mark in marks:
        if mark.kind == "plane":
            made[last_live.get(mark.frame_id, mark.frame_id)] = PlaneAt(plane=mark.plane, side=mark.side)
    found, current, waiting = [], _UNKNOWN, sorted(made, reverse=True)
    for line in frames:
        if line.frame_id in cuts:
            current = _UNKNOWN
        while waiting and waiting[-1] <= line.frame_id:  # also of a frame whose line is lost
            current = made[waiting.pop()]
        found.append(current)
    return found
