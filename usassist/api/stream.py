"""The results of a stream, one frame at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from usassist.api.result import FrameResult
from usassist.common.closeable import Closeable
from usassist.records import Frame, SourceInfo
from usassist.sources import Source

__all__ = ["MediaClock", "ResultStream"]


_START_NS = 10**15  # a recorded frame was captured before it was due; no stamp may fall below 0


class MediaClock:
    """Time as it passes in the source: sleeping takes no time, and a frame is stamped with the time it is due at."""

    def __init__(self) -> None:
        self._t_ns = _START_NS

    def now_ns(self) -> int:
        """Time in the source, ns."""
        return self._t_ns

    def sleep_until(self, t_ns: int) -> None:
        """Jump to ``t_ns`` if that is ahead."""
        self._t_ns = max(self._t_ns, t_ns)


class ResultStream(Closeable):
    """Iterator over the results of a source, in order. Made by :meth:`usassist.Engine.stream`.

    A frame is read and answered when it is asked for, so a long clip takes no more memory than a short one. The source
    is closed at its end, when it breaks, and by :meth:`close`.

    Parameters
    ----------
    source : opened with a :class:`~usassist.api.stream.MediaClock`
    answer : called with each frame and its time in the source, ms
    """

    def __init__(self, source: Source, answer: Callable[[Frame, float], FrameResult]) -> None:
        self._source, self._answer = source, answer
        self._frames = source.frames()
        self._t_first_ns: int | None = None

    @property
    def info(self) -> SourceInfo:
        """What is known of the source: description, size, rate, and number of frames where the file states it."""
        return self._source.info

    @property
    def decode_errors(self) -> int:
        """How many frames of the source could not be decoded so far, and so have no result."""
        return self._source.decode_errors

    def __iter__(self) -> Iterator[FrameResult]:
        return self

    def __next__(self) -> FrameResult:
        """Read and answer the next frame.

        Raises
        ------
        SourceError
            If the source breaks off; all frames before that were given.
        UsageError
            If the engine has been closed.
        """
        try:
            frame = next(self._frames)
            if self._t_first_ns is None:
                self._t_first_ns = frame.t_capture_ns
            return self._answer(frame, (frame.t_capture_ns - self._t_first_ns) / 1e6)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the source. May be called twice."""
        self._source.close()
        end = getattr(self._frames, "close", None)  # of a generator, which keeps the file open
        if end is not None:
            end()
