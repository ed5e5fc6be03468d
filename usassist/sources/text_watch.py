"""Where text and measuring marks are burnt into a live picture, looked for beside the stream."""

from __future__ import annotations

import threading

import cv2
import numpy as np
import numpy.typing as npt

from usassist.frames.burnt_text import find_burnt_text
from usassist.usage import lower_priority

__all__ = ["Box", "TextWatch"]

Box = tuple[int, int, int, int]
UInt8Array = npt.NDArray[np.uint8]

_LOOKS = 5
_LOOK_EVERY_NS = 150_000_000


class TextWatch:
    """Finds it about once a second, in a thread, so that no frame waits for it.

    What was found the time before counts as well: a mark that is overlooked once is still covered.
    """

    def __init__(self) -> None:
        self._looks: list[UInt8Array] = []
        self._next_ns = 0
        self._found: tuple[Box, ...] = ()
        self._before: tuple[Box, ...] = ()
        self._thread: threading.Thread | None = None

    @property
    def boxes_xyxy_px(self) -> tuple[Box, ...]:
        """What is to be covered, px of the scan area; x2 and y2 exclusive."""
        return self._found + tuple(box for box in self._before if box not in self._found)

    def offer(self, crop: UInt8Array, t_ns: int) -> None:
        """A picture cropped to the scan area. At once."""
        if t_ns < self._next_ns:
            return
        self._next_ns = t_ns + _LOOK_EVERY_NS
        self._looks.append(crop)
        if len(self._looks) >= _LOOKS and (self._thread is None or not self._thread.is_alive()):
            looks, self._looks = self._looks[-_LOOKS:], []
            self._thread = threading.Thread(target=self._find, args=(looks,), name="burnt-text", daemon=True)
            self._thread.start()
        del self._looks[:-_LOOKS]

    def wait(self) -> None:
        """Wait for what goes on. For tests."""
        if self._thread is not None:
            self._thread.join()

    def _find(self, looks: list[UInt8Array]) -> None:
        lower_priority()
        if len({look.ndim for look in looks}) > 1:  # grey ones, and ones with colour in them
            looks = [look if look.ndim == 3 else np.dstack([look] * 3) for look in looks]
        marks = find_burnt_text(looks)
        _, _, stats, _ = cv2.connectedComponentsWithStats(marks.astype(np.uint8))
        boxes = tuple((int(x), int(y), int(x + width), int(y + height)) for x, y, width, height, _ in stats[1:])
        self._before, self._found = self._found, boxes
