"""The frames of the last seconds as they were sent to the pages, in memory only and within a limit of bytes.

The newest few seconds are kept whole, older ones at a few frames a second. A page that holds a frame (because its user
froze it) asks that it is kept longer; the last few of these are.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from dataclasses import dataclass

__all__ = ["KeptFrame", "KeptFrames"]

_WHOLE_NS = 3_000_000_000
_THINNED_NS = 20_000_000_000
_THINNED_STEP_NS = 200_000_000
_MOST_BYTES = 48 * 2**20
_MOST_HELD = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptFrame:
    """One frame as it was sent.

    Attributes
    ----------
    frame_id : of the frame
    t_ns : when it was sent, monotonic
    packet : with the frame's own result and its JPEG; see ``packet.unpack``
    """

    frame_id: int
    t_ns: int
    packet: bytes


class KeptFrames:
    """A ring of frames of one session. Not thread-safe.

    Parameters
    ----------
    most_bytes : of all packets together, held ones not counted

    Attributes
    ----------
    nbytes : of all packets, held ones not counted
    """

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._newest: OrderedDict[int, KeptFrame] = OrderedDict()
        self._older: OrderedDict[int, KeptFrame] = OrderedDict()
        self._held: OrderedDict[int, KeptFrame] = OrderedDict()
        self.nbytes = 0

    def clear(self) -> None:
        """Forget everything, for a new session."""
        for frames in (self._newest, self._older, self._held):
            frames.clear()
        self.nbytes = 0

    def __len__(self) -> int:
        """How many are kept, held ones not counted."""
        return len(self._newest) + len(self._older)

    def add(self, frame_id: int, t_ns: int, packet: bytes) -> None:
        """Keep a frame; of one that is sent again, the later packet replaces the first.

        Parameters
        ----------
        frame_id, t_ns, packet : see :class:`KeptFrame`
        """
        for frames in (self._newest, self._older):
            before = frames.get(frame_id)
            if before is not None:
                self.nbytes += len(packet) - len(before.packet)
                frames[frame_id] = dataclasses.replace(before, packet=packet)
                return
        self._newest[frame_id] = KeptFrame(frame_id=frame_id, t_ns=t_ns, packet=packet)
        self.nbytes += len(packet)
        self._thin(t_ns)
        while self._older and (
            self.nbytes > self._most_bytes or t_ns - next(iter(self._older.values())).t_ns > _THINNED_NS
        ):
            self._drop_first(self._older)
        while len(self._newest) > 1 and self.nbytes > self._most_bytes:
            self._drop_first(self._newest)

    def hold(self, frame_id: int) -> bool:
        """Keep a frame beyond the others, in place of the one that was held longest.

        Returns
        -------
        held : False where it is no longer kept
        """
        frame = self.get(frame_id)
        if frame is None:
            return False
        self._held[frame_id] = frame
        self._held.move_to_end(frame_id)
        while len(self._held) > _MOST_HELD:
            self._held.popitem(last=False)
        return True

    def get(self, frame_id: int) -> KeptFrame | None:
        """A frame; None where it is no longer kept, or never was."""
        return self._newest.get(frame_id) or self._older.get(frame_id) or self._held.get(frame_id)

    def within(self, first_id: int, last_id: int) -> list[int]:
        """Numbers of the kept frames from one number to another, both included, in order."""
        kept = {*self._newest, *self._older, *self._held}
        return sorted(number for number in kept if first_id <= number <= last_id)

    def _thin(self, now_ns: int) -> None:
        """Of the frames that are no longer among the newest, keep a few a second."""
        while now_ns - (frame := next(iter(self._newest.values()))).t_ns > _WHOLE_NS:
            last = next(reversed(self._older.values())).t_ns if self._older else 0
            if frame.t_ns - last < _THINNED_STEP_NS:
                self._drop_first(self._newest)
            else:
                self._older[frame.frame_id] = self._newest.pop(frame.frame_id)

    def _drop_first(self, frames: OrderedDict[int, KeptFrame]) -> None:
        self.nbytes -= len(frames.popitem(last=False)[1].packet)
