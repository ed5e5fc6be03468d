"""The overlay as a video file: every frame with its own result, where there is no display and for sharing."""

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
    """Writes the overlay of one stream into one Matroska file.

    Parameters
    ----------
    address : of the stream's bus
    path : a new file
    abandoned : True when nobody is left who would send; asked while nothing comes
    find_text : looks for burnt-in text, which is covered; None = only what the frames name themselves is covered

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
        self._pairs = EveryFrameJoin()
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
        """Write until the stream has ended, or falls silent after its parent has gone.

        Raises
        ------
        SessionError
            If the file cannot be written; what was written before stays readable.
        """
        try:
            for _, message in self.subscriber.each(POLL_MS, self._end.reached):
                self._end.take(message)
                self._take(message)
                self._health.tell(sum(self.subscriber.gaps.values()))
            self._add(self._cover.flush())
            while (pair := self._pairs.rest()) is not None:
                self._write(pair)
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
            self._pairs.add_result(result_from(message))
            self._health.arrived(message.body.frame_id)
        elif name == "engine":
            self._engine = message.body
        while (pair := self._pairs.take()) is not None:
            self._write(pair)

    def _add(self, ready: Iterable[tuple[Frame, tuple[Box, ...]]]) -> None:
        """Frames in which text has been looked for; each is drawn as soon as its result is there."""
        for frame, boxes in ready:
            self._pairs.add_frame(dataclasses.replace(frame, image=cover(frame.image, boxes)) if boxes else frame)

    def _write(self, pair: FrameWithResult) -> None:
        # The age shown is that at publication: when the file is written says nothing about the stream.
        now_ns = self._published_ns.pop(pair.frame.frame_id, pair.frame.t_capture_ns)
        view = view_of_frame(pair.result, self._engine, self._end.session, now_ns, pair.frame.picture)
        picture = self._painter.paint(pair.frame, pair.result, view, self._engine)
        has_result = pair.result is not None
        self._health.drawn(pair.frame.frame_id, has_result=has_result, answered=view.state.is_answer)
        if self._writer is None:
            height, width = (side + side % 2 for side in picture.shape[:2])  # 4:2:0 needs even sides
            self._canvas = np.zeros((height, width, 3), np.uint8)
            session = self._end.session
            rate_hz = (session.rate_hz if session else None) or USUAL_RATE_HZ
            self._writer = VideoWriter(self._path, (height, width), rate_hz, _CODING)
        self._place(picture)
        self._writer.write(self._canvas, pair.frame.frame_id)
        self.frames += 1

    def _place(self, picture: UInt8Array) -> None:
        """Put the picture onto the canvas; one of another size than the first is scaled to fit."""
        height, width = self._canvas.shape[:2]
        scale = min(height / picture.shape[0], width / picture.shape[1])
        if picture.shape[0] > height or picture.shape[1] > width or scale > 1.05:
            size = (max(1, int(picture.shape[1] * scale)), max(1, int(picture.shape[0] * scale)))
            picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
        if picture.shape[:2] != (height, width):
            self._canvas[...] = 0
        self._canvas[: picture.shape[0], : picture.shape[1]] = picture
