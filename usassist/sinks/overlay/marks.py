"""Marks that are made in the window: sent to the stream, and confirmed when they come back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import msgspec

from usassist.bus import MarkBody, MarkKind, Plane, Side
from usassist.common.clock import Clock
from usassist.records import Frame
from usassist.sinks.overlay.notices import Notice
from usassist.sinks.overlay.status import place_in_words
from usassist.words import Words

__all__ = ["Outbox", "WindowMarks"]

_KEPT_WITHIN_NS = 2_000_000_000  # an accepted mark comes back over the bus, usually within a tenth of this


class Outbox(Protocol):
    """Takes messages for the stream, as ``bus.Inbox`` does."""

    def send(self, topic: str, body: msgspec.Struct) -> bool:
        """False where no stream takes it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    body: MarkBody
    until_ns: int


class WindowMarks:
    """Sends marks, and has a notice for each: kept, or why not.

    Parameters
    ----------
    outbox : to the stream; None = marks are not kept
    clock : for time stamps and time limits
    notice : says it
    words : of the part ``window``
    """

    def __init__(self, outbox: Outbox | None, clock: Clock, notice: Notice, words: Words) -> None:
        self._outbox, self._clock, self._notice, self._words = outbox, clock, notice, words
        self._requests: list[_Request] = []

    def make(
        self, frame: Frame | None, kind: MarkKind, *, plane: Plane | None = None, side: Side | None = None
    ) -> None:
        """Mark a frame; None = none is shown."""
        if frame is None:
            self._notice.say(self._words("said.mark_no_frame"))
            return
        now_ns = self._clock.now_ns()
        body = MarkBody(
            session_id=frame.session_id, frame_id=frame.frame_id, kind=kind, t_mark_ns=now_ns, plane=plane, side=side
        )
        if self._outbox is None or not self._outbox.send("mark", body):
            self._notice.say(self._words("said.mark_no_stream", frame=frame.frame_id))
            return
        self._requests.append(_Request(body=body, until_ns=now_ns + _KEPT_WITHIN_NS))

    def take(self, body: MarkBody) -> None:
        """A mark that the stream has published: only now is it in every recording."""
        kept = [request for request in self._requests if request.body == body]
        if kept:
            self._requests.remove(kept[0])
            self._notice.say(self._words("said.marked", frame=body.frame_id, what=self._what(body)))

    def poll(self) -> None:
        """Say which marks have had no answer."""
        now_ns = self._clock.now_ns()
        for request in [item for item in self._requests if now_ns > item.until_ns]:
            self._requests.remove(request)
            self._notice.say(self._words("said.mark_no_answer", frame=request.body.frame_id))

    def _what(self, body: MarkBody) -> str:
        if body.kind is MarkKind.PLANE:
            return place_in_words(body.side, body.plane, self._words)
        return self._words(f"said.{body.kind.value}")
