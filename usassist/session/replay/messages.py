"""The messages of a recorded session, in order and with their pixels, with their stamps shifted to now.

What is missing in the recording is missing here too: a frame whose pixels are lost is left out, and so is a result that
never arrived. All stamps of one round are shifted by the same time, so that every age and every latency is unchanged.
"""

from __future__ import annotations

import dataclasses
import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from usassist.bus import (
    ControlBody,
    EngineBody,
    HealthBody,
    LoggedMessage,
    MarkBody,
    Message,
    SessionBody,
    SessionState,
    frame_from,
    result_from,
)
from usassist.common.wire_fields import stamp_fields
from usassist.errors import MessageError
from usassist.records import Frame, Result
from usassist.session import RecordedSession, whole_message
from usassist.session.frame_images import FrameImage

__all__ = ["Item", "Shift", "Span", "read_items"]

_FRAME_STAMPS = stamp_fields(Frame)
_RESULT_STAMPS = stamp_fields(Result)
_LOOK_AHEAD = 256  # messages: frames and the rest reach a recorder on two sockets, in either order


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Item:
    """One message to send.

    Attributes
    ----------
    t_ns : when it was published, monotonic ns of the recording
    topic : its name
    content : a frame, a result, or the body of another message
    """

    t_ns: int
    topic: str
    content: Frame | Result | msgspec.Struct


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A part of a recording, in seconds from its first frame.

    Attributes
    ----------
    from_s, to_s : begin and end; None = to the end
    """

    from_s: float = 0.0
    to_s: float | None = None

    def holds(self, t_ns: int, t_first_ns: int) -> bool:
        """True when it holds a frame captured at that time."""
        since_s = (t_ns - t_first_ns) / 1e9
        return since_s >= self.from_s and (self.to_s is None or since_s < self.to_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """How the messages of one round are shifted to now.

    Attributes
    ----------
    shift_ns : added to every stamp
    id_offset : added to every frame number, because these rise from round to round
    source : description of the source in the session message
    keeps_time : False where it is played faster or slower than recorded, so that ages are meaningless
    frame_count : that the session will give, None where that is not known
    """

    shift_ns: int
    id_offset: int
    source: str
    keeps_time: bool
    frame_count: int | None

    def frame(self, frame: Frame) -> Frame:
        """A frame with its stamps and its number shifted."""
        return dataclasses.replace(
            frame, frame_id=frame.frame_id + self.id_offset, **self._shifted(frame, _FRAME_STAMPS)
        )

    def result(self, result: Result) -> Result:
        """A result likewise."""
        follows = result.follows_frame_id
        return dataclasses.replace(
            result,
            frame_id=result.frame_id + self.id_offset,
            follows_frame_id=None if follows is None else follows + self.id_offset,
            **self._shifted(result, _RESULT_STAMPS),
        )

    def _shifted(self, record: Frame | Result, names: tuple[str, ...]) -> dict[str, Any]:
        return {name: self._later(getattr(record, name)) for name in names}

    def session(self, body: SessionBody, last_frame_id: int) -> SessionBody:
        """The session message of the replay: described as a recording, and running until the replay has ended."""
        signal = body.signal
        if signal is not None:
            signal = msgspec.structs.replace(
                signal,
                t_since_ns=signal.t_since_ns + self.shift_ns,
                t_last_grab_ns=self._later(signal.t_last_grab_ns),
            )
        return msgspec.structs.replace(
            body,
            state=SessionState.RUNNING,
            reason="",
            source=self.source,
            replayed=True,
            realtime=body.realtime and self.keeps_time,
            frame_count=self.frame_count,
            last_frame_id=last_frame_id,
            signal=signal,
        )

    def mark(self, body: MarkBody) -> MarkBody:
        """A mark with the shifted number of its frame."""
        return msgspec.structs.replace(
            body, frame_id=body.frame_id + self.id_offset, t_mark_ns=body.t_mark_ns + self.shift_ns
        )

    def control(self, body: ControlBody) -> ControlBody:
        """A request, or its outcome, likewise."""
        return msgspec.structs.replace(body, t_control_ns=body.t_control_ns + self.shift_ns)

    def _later(self, stamp_ns: int | None) -> int | None:
        return None if stamp_ns is None else stamp_ns + self.shift_ns


@dataclass(slots=True)
class _Pixels:
    """Looks up the images of frames in order."""

    images: Iterator[tuple[int, FrameImage | None]]
    ahead: tuple[int, FrameImage | None] | None = field(default=None)

    def of(self, frame_id: int) -> FrameImage | None:
        while self.ahead is None or self.ahead[0] < frame_id:
            self.ahead = next(self.images, None)
            if self.ahead is None:
                return None
        return self.ahead[1] if self.ahead[0] == frame_id else None


def read_items(session: RecordedSession, span: Span, problems: list[str]) -> Iterator[Item]:
    """The messages of a part of a session, in the order of their publication.

    The last ``engine`` and ``session`` before the part come first, for late joiners. Of the health messages only those
    of the stream are sent: the recorder and the panel of the recording are not running now.

    Parameters
    ----------
    session : opened
    span : the part; results belong to it with their frames
    problems : gets one line per message that cannot be sent

    Raises
    ------
    SessionError
        If there are no messages.
    """
    if not session.frames:
        return
    t_first_ns = session.frames[0].t_capture_ns
    pixels = _Pixels((line.frame_id, image) for line, image in session.images(problems))
    before: dict[str, Item] = {}
    begun = False
    log = session.log()
    for record in _in_order(log, problems):
        message = whole_message(record)
        if not span.holds(_about_ns(message, t_first_ns, span), t_first_ns):
            if not begun and message.topic.name in ("engine", "session"):
                before[message.topic.name] = _item(message)
            continue
        if record.without_pixels:
            image = pixels.of(message.body.frame_id)
            if image is None:
                problems.append(f"frame {message.body.frame_id} has no pixels and is left out")
                continue
            try:
                message = whole_message(record, image)
            except MessageError as error:
                problems.append(f"frame {message.body.frame_id} is left out: {error}")
                continue
        if isinstance(message.body, HealthBody) and message.body.process != "stream":
            continue
        item = _item(message)
        if not begun:
            begun = True
            yield from (dataclasses.replace(known, t_ns=item.t_ns) for known in before.values())
        yield item
    problems += [f"bus.log is damaged at byte {position}" for position in log.damaged_at]


def _in_order(log: Iterable[LoggedMessage], problems: list[str]) -> Iterator[LoggedMessage]:
    """The readable messages, in the order of their publication."""
    waiting: list[tuple[int, int, LoggedMessage]] = []
    for number, record in enumerate(log):
        try:
            t_publish_ns = whole_message(record).t_publish_ns
        except MessageError as error:
            problems.append(f"bus.log: {error}")
            continue
        heapq.heappush(waiting, (t_publish_ns, number, record))
        if len(waiting) > _LOOK_AHEAD:
            yield heapq.heappop(waiting)[2]
    while waiting:
        yield heapq.heappop(waiting)[2]


def _about_ns(message: Message, t_first_ns: int, span: Span) -> int:
    """The time that decides whether a message belongs to a part: of a frame or result the capture.

    What was published before the first frame belongs to the beginning.
    """
    if message.topic.name in ("frame", "result"):
        return int(message.body.t_capture_ns)
    if isinstance(message.body, EngineBody | SessionBody | HealthBody | MarkBody | ControlBody) and span.from_s <= 0.0:
        return max(message.t_publish_ns, t_first_ns)
    return message.t_publish_ns


def _item(message: Message) -> Item:
    name = message.topic.name
    content = frame_from(message) if name == "frame" else result_from(message) if name == "result" else message.body
    return Item(t_ns=message.t_publish_ns, topic=name, content=content)
