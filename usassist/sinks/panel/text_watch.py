"""Where text and measuring marks are burnt into the picture on the page, looked for beside it."""

from __future__ import annotations

import threading

import numpy as np
import numpy.typing as npt

from usassist.common.process_tuning import lower_priority
from usassist.sinks.covering import Box, FindText

__all__ = ["TextWatch"]

UInt8Array = npt.NDArray[np.uint8]

_LOOKS = 5
_LOOK_EVERY_NS = 150_000_000


class TextWatch:
    """Finds it about once a second, in a thread, so that no frame waits for it: a new text shows for up to that long.

    What was found the time before counts as well: a mark that is overlooked once is still covered.

    Parameters
    ----------
    find : looks for text
    """

    def __init__(self, find: FindText) -> None:
        self._find = find
        self._looks: list[UInt8Array] = []
        self._next_ns = 0
        self._found: tuple[Box, ...] = ()
        self._before: tuple[Box, ...] = ()
        self._thread: threading.Thread | None = None

    @property
    def boxes_xyxy_px(self) -> tuple[Box, ...]:
        """What is to be covered, px of the picture; x2 and y2 exclusive."""
        return self._found + tuple(box for box in self._before if box not in self._found)

    def offer(self, crop: UInt8Array, t_ns: int) -> None:
        """A picture cropped to the scan area. At once."""
        if self._looks and self._looks[-1].shape[:2] != crop.shape[:2]:
            self._looks, self._found, self._before = [], (), ()
        if t_ns < self._next_ns:
            return
        self._next_ns = t_ns + _LOOK_EVERY_NS
        self._looks.append(crop)
        if len(self._looks) >= _LOOKS and (self._thread is None or not self._thread.is_alive()):
            looks, self._looks = self._looks[-_LOOKS:], []
            self._thread = threading.Thread(target=self._look, args=(looks,), name="burnt-text", daemon=True)
            self._thread.start()
        del self._looks[:-_LOOKS]

    def wait(self) -> None:
        """Wait for what goes on. For tests."""
        if self._thread is not None:
            self._thread.join()

    def _look(self, looks: list[UInt8Array]) -> None:
        lower_priority()
        self._before, self._found = self._found, self._find(looks)
