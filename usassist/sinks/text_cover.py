"""Holds frames until burnt-in text has been detected in them.

Text is detected on several frames together (``frames/burnt_text.py``), so a text that has just appeared is detected
half a second later. Frames are grouped by half seconds, and a group is released only after the next one has been
searched too: what is found in one is also covered in its neighbours, so that a text that appears or disappears within a
group is covered from its first frame to its last. A text that is shown for less than a second may be missed.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from usassist.errors import SessionError
from usassist.records import Frame
from usassist.sinks.covering import Box, FindText

__all__ = ["TextCover"]

_GROUP_NS = 500_000_000
_LOOKS = 5  # of a group
_MAX_BYTES = 96 * 2**20


@dataclass(slots=True)
class _Group:
    frames: list[Frame] = field(default_factory=list)
    looks: list[npt.NDArray[np.uint8]] = field(default_factory=list)
    boxes: tuple[Box, ...] = ()
    size_bytes: int = 0  # of the frames
    error: Exception | None = None
    looked: threading.Event = field(default_factory=threading.Event)


class TextCover:
    """Delays frames by about a second, in which a thread searches them for text.

    Parameters
    ----------
    find : detects text; None = nothing is held, and the boxes that come with the frames are covered
    most_bytes : of held frames; where a second of them takes more, groups are shorter
    """

    def __init__(self, find: FindText | None, most_bytes: int = _MAX_BYTES) -> None:
        self._find = find
        self._most_bytes = most_bytes
        self._open = _Group()
        self._closed: deque[_Group] = deque()
        self._giving: deque[Frame] = deque()
        self._before: tuple[Box, ...] = ()
        self._jobs: queue.SimpleQueue[_Group | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    @property
    def held(self) -> list[Frame]:
        """Frames that are held, in order."""
        return [*self._giving, *(frame for group in (*self._closed, self._open) for frame in group.frames)]

    def add(self, frame: Frame, media_hz: float | None = None) -> Iterator[tuple[Frame, tuple[Box, ...]]]:
        """Add a frame, and yield those that are ready, each with the boxes to cover.

        Parameters
        ----------
        frame : the next one
        media_hz : frames per second of a clip that is not played in real time; None = real time

        Raises
        ------
        SessionError
            If the search for text fails: frames that were not searched are not released.
        """
        if self._find is None:
            yield frame, frame.text_xyxy_px
            return
        if self._open.frames and self._open.frames[0].image_hw_px != frame.image_hw_px:
            yield from self.flush()
        if self._open.frames and self._is_full(frame, media_hz):
            self._close_group()
        group = self._open
        if len(group.looks) <= _LOOKS * self._share(frame, media_hz):
            group.looks.append(frame.image)
        group.frames.append(frame)
        group.size_bytes += frame.image.nbytes
        while len(self._closed) > 1 and self._held_bytes > self._most_bytes * 2 // 3:
            yield from self._give(self._closed.popleft())  # waits until it was searched
        while len(self._closed) > 1 and self._closed[0].looked.is_set() and self._closed[1].looked.is_set():
            yield from self._give(self._closed.popleft())

    def flush(self) -> Iterator[tuple[Frame, tuple[Box, ...]]]:
        """Yield all held frames, after they were searched; the next frame begins a new group.

        Raises
        ------
        SessionError
            As :meth:`add`.
        """
        if self._open.frames:
            last = self._open.frames[-1].image
            self._close_group()
            self._look(_Group(looks=[last]))  # for a text that has just appeared
        while self._closed:
            yield from self._give(self._closed.popleft())
        self._before = ()

    def close(self) -> None:
        """Stop the thread. May be called twice."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._jobs.put(None)
            thread.join()

    @property
    def _held_bytes(self) -> int:
        """Of the groups that are closed."""
        return sum(item.size_bytes for item in self._closed)

    def _share(self, frame: Frame, media_hz: float | None) -> float:
        """Share of a group's duration that has passed before a frame."""
        frames = self._open.frames
        if not frames:
            return 0.0
        if media_hz is not None:
            return len(frames) / (media_hz * _GROUP_NS / 1e9)
        return (frame.t_capture_ns - frames[0].t_capture_ns) / _GROUP_NS

    def _is_full(self, frame: Frame, media_hz: float | None) -> bool:
        size_bytes = self._open.size_bytes + frame.image.nbytes
        return self._share(frame, media_hz) >= 1.0 or size_bytes > self._most_bytes // 3

    def _close_group(self) -> None:
        group, self._open = self._open, _Group()
        self._look(group)

    def _look(self, group: _Group) -> None:
        """Queue a group for the search."""
        self._closed.append(group)
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="burnt-text", daemon=True)
            self._thread.start()
        self._jobs.put(group)

    def _work(self) -> None:
        while (group := self._jobs.get()) is not None:
            try:
                group.boxes = self._find(group.looks) if self._find is not None else ()
            except Exception as error:  # noqa: BLE001 - raised where its frames are released
                group.error = error
            group.looks = []
            group.looked.set()

    def _give(self, group: _Group) -> Iterator[tuple[Frame, tuple[Box, ...]]]:
        after = self._closed[0] if self._closed else None
        for item in (group, after):
            if item is not None:
                item.looked.wait()
                if item.error is not None:
                    self._closed.appendleft(group)  # its frames are still held
                    raise SessionError(f"the search for text failed, so nothing more is recorded: {item.error!r}")
        found = (*self._before, *group.boxes, *(() if after is None else after.boxes))
        self._before = group.boxes
        self._giving.extend(group.frames)
        while self._giving:
            frame = self._giving.popleft()
            yield frame, tuple(dict.fromkeys((*frame.text_xyxy_px, *found)))
