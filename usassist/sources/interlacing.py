"""Detect interlaced video, whose frames hold two fields of different times, and deinterlace it on request."""

from __future__ import annotations

from collections import deque
from fractions import Fraction

from usassist.common.pyav import av

__all__ = ["DEINTERLACED", "INTERLACED", "Deinterlacer", "is_interlaced"]

INTERLACED = "interlaced: moving edges are torn; --deinterlace fixes that"
DEINTERLACED = "deinterlaced"
_FILTER = ("bwdif", "mode=send_frame:deint=all")  # one output frame per input frame, whatever its flags

_PROGRESSIVE = 1  # AV_FIELD_PROGRESSIVE; 0 = unknown

_Pending = tuple[int | None, Fraction | None, str]  # pts, time base, and why it is damaged


def is_interlaced(stream: av.VideoStream) -> bool:
    """True when the stream's header states it; single frames may be flagged as well."""
    return stream.codec_context.field_order > _PROGRESSIVE


class Deinterlacer:
    """Deinterlaces frames with FFmpeg's bwdif; each comes out one frame later.

    An output frame is computed from a frame and its two neighbours, so it is damaged when any of them is.
    """

    def __init__(self) -> None:
        self._graph: av.filter.Graph | None = None
        self._kind: tuple[int, int, str] | None = None
        self._pending: deque[_Pending] = deque()
        self._before = ""

    def feed(self, frame: av.VideoFrame | None, damage_reason: str = "") -> list[tuple[av.VideoFrame, str]]:
        """Put one frame in, and take the frames that are ready, each with why it is damaged; None flushes.

        Raises
        ------
        av.error.FFmpegError, ValueError
            If its pixel format cannot be deinterlaced.
        """
        done: list[tuple[av.VideoFrame, str]] = []
        kind = None if frame is None else (frame.width, frame.height, frame.format.name)
        if self._graph is not None and kind != self._kind:
            self._graph.vpush(None)
            done = self._pull(self._graph)
            self._graph, self._before = None, ""
            self._pending.clear()
        if frame is None:
            return done
        if self._graph is None:
            self._graph, self._kind = _make_graph(frame), kind
        self._pending.append((frame.pts, frame.time_base, damage_reason))
        frame.pts = None  # the filter halves the time base; frames come out in order, one for one
        self._graph.vpush(frame)
        return done + self._pull(self._graph)

    def _pull(self, graph: av.filter.Graph) -> list[tuple[av.VideoFrame, str]]:
        done = []
        while self._pending:
            try:
                frame = graph.vpull()
            except (av.error.BlockingIOError, av.error.EOFError):
                break
            frame.pts, time_base, own = self._pending.popleft()
            if time_base is not None:
                frame.time_base = time_base
            after = self._pending[0][2] if self._pending else ""
            done.append((frame, own or self._before or after))
            self._before = own
        return done


def _make_graph(frame: av.VideoFrame) -> av.filter.Graph:
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base or Fraction(1, 90000)
    )
    graph.link_nodes(source, graph.add(*_FILTER), graph.add("buffersink")).configure()
    return graph
