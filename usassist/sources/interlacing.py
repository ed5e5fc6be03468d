"""Interlaced video: two moments woven into one picture, line by line. Told, and on request taken apart."""

from __future__ import annotations

from collections import deque
from fractions import Fraction

from usassist.common.pyav import av

__all__ = ["DEINTERLACED", "INTERLACED", "Deinterlacer", "is_interlaced"]

INTERLACED = "interlaced: moving edges are torn; --deinterlace mends that"
DEINTERLACED = "deinterlaced"
_FILTER = ("bwdif", "mode=send_frame:deint=all")  # one picture for each that goes in, whatever is said of it

_PROGRESSIVE = 1  # AV_FIELD_PROGRESSIVE; 0 = unknown

_Waiting = tuple[int | None, Fraction | None, str]  # stamp, and why it is not whole


def is_interlaced(stream: av.VideoStream) -> bool:
    """Whether a stream says so of all its pictures; single pictures may say it, too."""
    return stream.codec_context.field_order > _PROGRESSIVE


class Deinterlacer:
    """Takes pictures with their state and gives them one later, deinterlaced (FFmpeg's bwdif).

    Each is made of itself and its two neighbours, so it is whole only where they are.
    """

    def __init__(self) -> None:
        self._graph: av.filter.Graph | None = None
        self._kind: tuple[int, int, str] | None = None
        self._waiting: deque[_Waiting] = deque()
        self._before = ""

    def feed(self, frame: av.VideoFrame | None, why: str = "") -> list[tuple[av.VideoFrame, str]]:
        """Put one picture in, and take what is ready; None gives the rest.

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
            self._waiting.clear()
        if frame is None:
            return done
        if self._graph is None:
            self._graph, self._kind = _make_graph(frame), kind
        self._waiting.append((frame.pts, frame.time_base, why))
        frame.pts = None  # the filter counts in halves; pictures come out in order, one for one
        self._graph.vpush(frame)
        return done + self._pull(self._graph)

    def _pull(self, graph: av.filter.Graph) -> list[tuple[av.VideoFrame, str]]:
        done = []
        while self._waiting:
            try:
                frame = graph.vpull()
            except (av.error.BlockingIOError, av.error.EOFError):
                break
            frame.pts, time_base, own = self._waiting.popleft()
            if time_base is not None:
                frame.time_base = time_base
            after = self._waiting[0][2] if self._waiting else ""
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
