"""Marks that are made in the window: sent to the stream, and confirmed when they come back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import msgspec

from usassist.bus import MarkBody, MarkKind, Plane, Side
from usassist.common.clock import Clock
from usassist.records import Frame

__all__ = ["WindowMarks"]

_KEPT_WITHIN_NS = 2_000_000_000  # an accepted mark comes back over the bus, usually within a tenth of this
_NOTICE_NS = 4_000_000_000


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
    """

    def __init__(self, outbox: Outbox | None, clock: Clock) -> None:
        self._outbox, self._clock = outbox, clock
        self._requests: list[_Request] = []
        self._notice, self._until_ns = "", 0

    def make(
        self, frame: Frame | None, kind: MarkKind, *, plane: Plane | None = None, side: Side | None = None
    ) -> None:
        """Mark a frame; None = none is shown."""
        if frame is None:
            self.notify("not marked: no frame is shown")
            return
        now_ns = self._clock.now_ns()
        body = MarkBody(
            session_id=frame.session_id, frame_id=frame.frame_id, kind=kind, t_mark_ns=now_ns, plane=plane, side=side
        )
        if self._outbox is None or not self._outbox.send("mark", body):
            self.notify(f"frame {frame.frame_id}: not marked, no stream is running")
            return
        self._requests.append(_Request(body=body, until_ns=now_ns + _KEPT_WITHIN_NS))

    def take(self, body: MarkBody) -> None:
        """A mark that the stream has published: only now is it in every recording."""
        kept = [request for request in self._requests if request.body == body]
        if kept:
            self._requests.remove(kept[0])
            self.notify(f"frame {body.frame_id} marked: {_words(body)}")

    def notify(self, text: str) -> None:
        """Show a notice for some seconds."""
        self._notice, self._until_ns = text, self._clock.now_ns() + _NOTICE_NS

    def notice(self) -> str:
        """What is to be shown now; may be empty."""
        now_ns = self._clock.now_ns()
        for request in [item for item in self._requests if now_ns > item.until_ns]:
            self._requests.remove(request)
            self.notify(f"frame {request.body.frame_id}: not marked, no answer from the stream")
        return self._notice if now_ns <= self._until_ns else ""


def _words(body: MarkBody) -> str:
    if body.kind is MarkKind.PLANE:
        return " ".join(str(word) for word in (body.side, body.plane) if word is not None)
    return "missed nodule" if body.kind is MarkKind.MISSED else str(body.kind)
