"""Which track ids of a recording and its rerun are compared, and how.

Track ids depend on more than the last few frames: a nodule keeps its id for seconds, and ids count on. Where a
recording lacks a frame that was answered, or holds it with covered text, a nodule may get its id on one side alone, and
all later ids are other numbers. So ids must be the same up to there. From there on they are left out until no nodule of
before can be remembered; after that they may be other numbers, but each of one side must stand for one of the other.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from usassist.bus import EngineBody, TrackingClock
from usassist.records import Result

__all__ = ["IdentityComparison", "why_not_compared"]

_MEMORY_NS, _MEMORY_FRAMES = 3_000_000_000, 90  # no tracker remembers a nodule for longer
_OTHER = np.iinfo(np.int32).max  # no nodule of the recording


def why_not_compared(recorded: Sequence[EngineBody], again: Sequence[EngineBody]) -> str:
    """Why track ids cannot be the same, for a reader; empty = they are compared, or neither side has any."""
    before, now = (side[-1].tracking if side else None for side in (recorded, again))
    if before is None:
        return "" if now is None else "the recording has no track ids, so they are not compared"
    if now is None:
        return "the rerun gives no track ids, so they are not compared"
    if before.rule != now.rule:
        return f"track ids were given by {before.rule}, now by {now.rule}, so they are not compared"
    if before.clock is TrackingClock.RECORDED_TIME:
        return "the recording is itself a rerun of one in real time, whose times it lacks; track ids are not compared"
    return ""


class IdentityComparison:
    """Makes track ids comparable, frame by frame in order.

    Parameters
    ----------
    compared : False: ids are left out of every frame
    by_time : the recording's tracker went by time; False = by frame numbers
    """

    def __init__(self, *, compared: bool = True, by_time: bool = False) -> None:
        self._compared, self._by_time = compared, by_time
        self._names: dict[int, int] | None = None  # of the rerun → of the recording; None = the same numbers
        self._parted = False
        self._apart_until = -1

    def part(self) -> None:
        """Both sides may differ from the next frame on."""
        self._names, self._parted = {}, True

    def align(self, recorded: Result, again: Result) -> tuple[Result, Result]:
        """The same results of one frame, with ids that differ only where that is a difference."""
        now = recorded.t_capture_ns if self._by_time else recorded.frame_id
        if self._parted:
            self._apart_until = now + (_MEMORY_NS if self._by_time else _MEMORY_FRAMES)
            self._parted = False
        if not (len(recorded.detections) or len(again.detections)):
            return recorded, again
        if not self._compared or now < self._apart_until:
            return _without_ids(recorded), _without_ids(again)
        if self._names is None or len(recorded.detections) != len(again.detections):
            return recorded, again
        names = self._names
        ids = zip(again.detections.track_id.tolist(), recorded.detections.track_id.tolist(), strict=True)
        named = []
        for number, recorded_number in ids:
            if number >= 0 and recorded_number >= 0 and recorded_number not in names.values():
                names.setdefault(number, recorded_number)
            named.append(names.get(number, number if number < 0 else _OTHER))
        return recorded, _with_ids(again, np.array(named, np.int32))


def _without_ids(result: Result) -> Result:
    return _with_ids(result, np.full(len(result.detections), -1, np.int32))


def _with_ids(result: Result, track_id: npt.NDArray[np.int32]) -> Result:
    return dataclasses.replace(result, detections=dataclasses.replace(result.detections, track_id=track_id))
