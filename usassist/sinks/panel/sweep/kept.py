"""The frames of the last seconds as they were sent to the pages, in memory only and within a limit of bytes.

The newest few seconds are kept whole, older ones at a few frames a second. A page that holds a frame (because its user
froze it) asks that it is kept longer; the last few of these are. Of the very newest the pixels are kept as they came,
before they were made a JPEG.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict, deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["KeptFrame", "KeptFrames"]

_WHOLE_NS = 3_000_000_000
_THINNED_NS = 20_000_000_000
_THINNED_STEP_NS = 200_000_000
_MOST_BYTES = 48 * 2**20
_MOST_HELD = 4
_MOST_IMAGES = 16
_MOST_IMAGE_BYTES = 24 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptFrame:
    """One frame as it was sent.

    Attributes
    ----------
    frame_id : of the frame
    t_ns : when it was sent, monotonic
    packet : with the frame's own result and its JPEG; see ``packet.unpack``
    image : its pixels with text covered, uint8 (H, W) or (H, W, 3); None where only the JPEG is kept
    """

    frame_id: int
    t_ns: int
    packet: bytes
    image: npt.NDArray[np.uint8] | None = None


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
        self._with_image: deque[int] = deque()  # of the newest
        self._image_bytes = 0
        self.nbytes = 0

    def clear(self) -> None:
        """Forget everything, for a new session."""
        for frames in (self._newest, self._older, self._held):
            frames.clear()
        self._with_image.clear()
        self.nbytes = self._image_bytes = 0

    def __len__(self) -> int:
        """How many are kept, held ones not counted."""
        return len(self._newest) + len(self._older)

    def add(self, frame_id: int, t_ns: int, packet: bytes, image: npt.NDArray[np.uint8]) -> None:
        """Keep a frame; of one that is sent again, the later packet replaces the first.

        Parameters
        ----------
        frame_id, t_ns, packet, image : see :class:`KeptFrame`
        """
        for frames in (self._newest, self._older):
            before = frames.get(frame_id)
            if before is not None:
                self.nbytes += len(packet) - len(before.packet)
                frames[frame_id] = dataclasses.replace(before, packet=packet)
                return
        self._newest[frame_id] = KeptFrame(frame_id=frame_id, t_ns=t_ns, packet=packet, image=image)
        self.nbytes += len(packet)
        self._with_image.append(frame_id)
        self._image_bytes += image.nbytes
        while len(self._with_image) > _MOST_IMAGES or self._image_bytes > _MOST_IMAGE_BYTES:
            self._drop_image(self._with_image.popleft())
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

    @property
    def newest_id(self) -> int | None:
        """Number of the frame that was sent last; None where none is kept."""
        return next(reversed(self._newest), None)

    def within(self, first_id: int, last_id: int) -> list[int]:
        """Numbers of the kept frames from one number to another, both included, in order."""
        kept = {*self._newest, *self._older, *self._held}
        return sorted(number for number in kept if first_id <= number <= last_id)

    def _drop_image(self, frame_id: int) -> None:
        for frames in (self._newest, self._older):
            frame = frames.get(frame_id)
            if frame is not None and frame.image is not None:
                self._image_bytes -= frame.image.nbytes
                frames[frame_id] = dataclasses.replace(frame, image=None)

    def _thin(self, now_ns: int) -> None:
        """Of the frames that are no longer among the newest, keep a few a second."""
        while now_ns - (frame := next(iter(self._newest.values()))).t_ns > _WHOLE_NS:
            last = next(reversed(self._older.values())).t_ns if self._older else 0
            if frame.t_ns - last < _THINNED_STEP_NS:
                self._drop_first(self._newest)
            else:
                self._older[frame.frame_id] = self._newest.pop(frame.frame_id)

    def _drop_first(self, frames: OrderedDict[int, KeptFrame]) -> None:
        _, frame = frames.popitem(last=False)
        self.nbytes -= len(frame.packet)
        if frame.image is not None:
            self._image_bytes -= frame.image.nbytes
