"""The overlay as a video file: every frame with its own result, for machines without a display and for sharing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from usassist.bus import EngineBody, Inbox, Message, Subscriber, frame_from, result_from
from usassist.common.clock import MonotonicClock
from usassist.records import Frame
from usassist.sinks.covering import Box, FindText, cover
from usassist.sinks.end_of_stream import POLL_MS, StreamEnd
from usassist.sinks.frame_result_join import EveryFrameJoin, FrameWithResult
from usassist.sinks.overlay.draw import Painter
from usassist.sinks.overlay.health import OverlayHealth
from usassist.sinks.pixels import USUAL_RATE_HZ
from usassist.sinks.text_cover import TextCover
from usassist.sinks.video import Coding, VideoWriter
from usassist.sinks.view import view_of_frame

__all__ = ["OverlayVideo"]

UInt8Array = npt.NDArray[np.uint8]

_TOPICS = ("frame", "result", "engine", "session")
_CODING = Coding(
    codec="mpeg4",
    container="matroska",
    grey="yuv420p",
    colour="yuv420p",
    options={"flags": "+qscale", "global_quality": str(5 * 118)},  # constant quality 5 of 2 to 31
    threads=2,
)


class OverlayVideo:
    """Writes the overlay of one stream into one file: MP4 where its name ends with ``.mp4``, else Matroska.

    Parameters
    ----------
    address : of the stream's bus
    path : a new file
    abandoned : True when the sender is gone; called while no message arrives
    find_text : finds burnt-in text, which is covered; None = only the boxes named by the frames are covered

    Raises
    ------
    SessionError
        If the file cannot be written.
    """

    def __init__(
        self, address: str, path: Path, abandoned: Callable[[], bool], *, find_text: FindText | None = None
    ) -> None:
        self._path = path
        self._painter = Painter()
        self._cover = TextCover(find_text)
        self._join = EveryFrameJoin()
        self._engine: EngineBody | None = None
        self._end = StreamEnd(abandoned)
        self._writer: VideoWriter | None = None
        self._canvas: UInt8Array = np.empty((0, 0, 3), np.uint8)
        self._published_ns: dict[int, int] = {}
        self.frames = 0
        self._inbox = Inbox(address)
        self._health = OverlayHealth(MonotonicClock(), self._inbox)
        self.subscriber = Subscriber(address, _TOPICS, "archive")

    def run(self) -> None:
        """Write until the stream has ended, or sends nothing more after its parent has gone.

        Raises
        ------
        SessionError
            If the file cannot be written; what was written before stays readable.
        """
        try:
            for _, message in self.subscriber.each(POLL_MS, self._end.reached):
                self._end.take(message)
                self._take(message)
                self._health.publish(sum(self.subscriber.gaps.values()))
            self._add(self._cover.flush())
            while (joined := self._join.rest()) is not None:
                self._write(joined)
        finally:
            self._cover.close()
            self.subscriber.close()
            self._inbox.close()
            if self._writer is not None:
                self._writer.close()

    def _take(self, message: Message) -> None:
        name = message.topic.name
        if name == "frame":
            session = self._end.session
            media_hz = None if session is None or session.realtime else session.rate_hz or USUAL_RATE_HZ
            self._add(self._cover.add(frame_from(message), media_hz))
            self._health.arrived(message.body.frame_id)
        elif name == "result":
            self._published_ns[message.body.frame_id] = message.t_publish_ns
            self._join.add_result(result_from(message))
            self._health.arrived(message.body.frame_id)
        elif name == "engine":
            self._engine = message.body
        while (joined := self._join.take()) is not None:
            self._write(joined)

    def _add(self, ready: Iterable[tuple[Frame, tuple[Box, ...]]]) -> None:
        """Frames that were searched for text; each is drawn as soon as its result has arrived."""
        for frame, boxes in ready:
            self._join.add_frame(dataclasses.replace(frame, image=cover(frame.image, boxes)) if boxes else frame)

    def _write(self, joined: FrameWithResult) -> None:
        # The age shown is that at publication; the time of writing has nothing to do with the stream.
        now_ns = self._published_ns.pop(joined.frame.frame_id, joined.frame.t_capture_ns)
        view = view_of_frame(joined.result, self._engine, self._end.session, now_ns, joined.frame.picture)
        painted = self._painter.paint(joined.frame, joined.result, view, self._engine)
        has_result = joined.result is not None
        self._health.drawn(joined.frame.frame_id, has_result=has_result, answered=view.state.is_answer)
        if self._writer is None:
            height, width = (side + side % 2 for side in painted.shape[:2])  # 4:2:0 needs even sides
            self._canvas = np.zeros((height, width, 3), np.uint8)
            session = self._end.session
            rate_hz = (session.rate_hz if session else None) or USUAL_RATE_HZ
            container = "mp4" if self._path.suffix == ".mp4" else _CODING.container
            coding = dataclasses.replace(_CODING, container=container)
            self._writer = VideoWriter(self._path, (height, width), rate_hz, coding)
        self._place(painted)
        self._writer.write(self._canvas, joined.frame.frame_id)
        self.frames += 1

    def _place(self, painted: UInt8Array) -> None:
        """Copy an image onto the canvas; one of another size than the first is scaled to fit."""
        height, width = self._canvas.shape[:2]
        scale = min(height / painted.shape[0], width / painted.shape[1])
        if painted.shape[0] > height or painted.shape[1] > width or scale > 1.05:
            size = (max(1, int(painted.shape[1] * scale)), max(1, int(painted.shape[0] * scale)))
            painted = np.asarray(cv2.resize(painted, size, interpolation=cv2.INTER_AREA), np.uint8)
        if painted.shape[:2] != (height, width):
            self._canvas[...] = 0
        self._canvas[: painted.shape[0], : painted.shape[1]] = painted
