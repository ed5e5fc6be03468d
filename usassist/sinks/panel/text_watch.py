"""Background search for text and calipers burnt into the frames on the page."""

from __future__ import annotations

import threading

import numpy as np
import numpy.typing as npt

from usassist.common.process_tuning import lower_priority
from usassist.sinks.covering import Box, FindText

__all__ = ["TextWatch"]

UInt8Array = npt.NDArray[np.uint8]

_SAMPLES = 5
_SAMPLE_PERIOD_NS = 150_000_000


class TextWatch:
    """Searches about once a second in a thread, so that no frame waits; new text is visible for up to that long.

    The boxes of the previous search stay covered too, so that text missed once is still covered.

    Parameters
    ----------
    find : finds text
    """

    def __init__(self, find: FindText) -> None:
        self._find = find
        self._samples: list[UInt8Array] = []
        self._next_ns = 0
        self._found: tuple[Box, ...] = ()
        self._before: tuple[Box, ...] = ()
        self._thread: threading.Thread | None = None

    @property
    def boxes_xyxy_px(self) -> tuple[Box, ...]:
        """Boxes to cover, px of the image; x2 and y2 exclusive."""
        return self._found + tuple(box for box in self._before if box not in self._found)

    def offer(self, crop: UInt8Array, t_ns: int) -> None:
        """Take an image cropped to the scan area. Returns at once."""
        if self._samples and self._samples[-1].shape[:2] != crop.shape[:2]:
            self._samples, self._found, self._before = [], (), ()
        if t_ns < self._next_ns:
            return
        self._next_ns = t_ns + _SAMPLE_PERIOD_NS
        self._samples.append(crop)
        if len(self._samples) >= _SAMPLES and (self._thread is None or not self._thread.is_alive()):
            samples, self._samples = self._samples[-_SAMPLES:], []
            self._thread = threading.Thread(target=self._search, args=(samples,), name="burnt-text", daemon=True)
            self._thread.start()
        del self._samples[:-_SAMPLES]

    def wait(self) -> None:
        """Wait for the running search. For tests."""
        if self._thread is not None:
            self._thread.join()

    def _search(self, samples: list[UInt8Array]) -> None:
        lower_priority()
        self._before, self._found = self._found, self._find(samples)
