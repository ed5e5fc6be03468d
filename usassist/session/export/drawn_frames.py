"""The frames of a session with their own results drawn on them, as the overlay shows them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from usassist.bus import EngineBody, SessionBody
from usassist.records import Frame, Result
from usassist.session.opening import RecordedSession
from usassist.session.replay.messages import Span, read_items
from usassist.sinks.frame_result_join import EveryFrameJoin, FrameWithResult
from usassist.sinks.overlay.draw import Painter
from usassist.sinks.view import view_of_frame

__all__ = ["draw_frames"]

UInt8Array = npt.NDArray[np.uint8]


def draw_frames(session: RecordedSession, problems: list[str]) -> Iterator[tuple[int, UInt8Array]]:
    """Every frame whose pixels are there, in order: its number, and uint8 (H, W, 3) RGB with its result drawn on it.

    A frame without an answer is hatched along its border and says why. The array is overwritten by the next frame.

    Parameters
    ----------
    session : opened
    problems : gets one line per message that cannot be read

    Raises
    ------
    SessionError
        If there are no messages.
    """
    painter, join = Painter(), EveryFrameJoin()
    engine: EngineBody | None = None
    told: SessionBody | None = None
    published_ns: dict[int, int] = {}

    def draw(joined: FrameWithResult) -> tuple[int, UInt8Array]:
        frame, result = joined.frame, joined.result
        now_ns = published_ns.pop(frame.frame_id, frame.t_capture_ns)  # the age is that at publication
        view = view_of_frame(result, engine, told, now_ns, frame.picture)
        return frame.frame_id, painter.paint(frame, result, view, engine)

    for item in read_items(session, Span(), problems):
        content = item.content
        if isinstance(content, Frame):
            join.add_frame(content)
        elif isinstance(content, Result):
            published_ns[content.frame_id] = item.t_ns
            join.add_result(content)
        elif isinstance(content, EngineBody):
            engine = content
        elif isinstance(content, SessionBody):
            told = content
        while (joined := join.take()) is not None:
            yield draw(joined)
    while (joined := join.rest()) is not None:
        yield draw(joined)
