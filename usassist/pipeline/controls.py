"""Requests to change the running session, between the stream that receives them and the process that carries them out.

The stream cannot replace itself: another engine or source is another stream, and a recorder is another process. So it
publishes a request, hands it on, and publishes the outcome when that comes back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

import msgspec

from usassist.bus import ControlBody, ControlState
from usassist.common.clock import Clock

__all__ = ["ControlDesk", "Controls", "answer_to"]

_BURST = 10
_PER_S = 2.0
_UNSUPERVISED = "nothing supervises this stream, so that nothing of it can be changed; start it with usassist live"


class Controls(Protocol):
    """Carries out requests, elsewhere."""

    def ask(self, request: ControlBody) -> None:
        """Hand a request on; never blocks."""

    def outcomes(self) -> Iterator[ControlBody]:
        """What has come back since the last call; never blocks."""


def answer_to(request: ControlBody, state: ControlState, reason: str = "") -> ControlBody:
    """The outcome of a request; a reason that is too long is cut, and put into one line."""
    return msgspec.structs.replace(request, state=state, reason=" ".join(reason.split())[:500])


class ControlDesk:
    """The stream's side. Used by the stream's loop.

    Parameters
    ----------
    publish : publishes an event
    clock : of the stream
    controls : carries requests out; None = every request is refused

    Attributes
    ----------
    dropped : requests beyond ten at once and two a second; they are not answered, so that a flood of requests does not
        become a flood of answers
    """

    def __init__(self, publish: Callable[[str, ControlBody], None], clock: Clock, controls: Controls | None) -> None:
        self._publish, self._clock, self._controls = publish, clock, controls
        self._left, self._counted_ns = float(_BURST), clock.now_ns()
        self.dropped = 0

    def take(self, request: ControlBody) -> None:
        """Publish a request, and hand it on or refuse it."""
        now_ns = self._clock.now_ns()
        self._left = min(float(_BURST), self._left + (now_ns - self._counted_ns) / 1e9 * _PER_S)
        self._counted_ns = now_ns
        if self._left < 1.0:
            self.dropped += 1
            return
        self._left -= 1.0
        self._publish("control", request)
        if self._controls is None:
            self._publish("control", answer_to(request, ControlState.REFUSED, _UNSUPERVISED))
        else:
            self._controls.ask(request)

    def publish_outcomes(self) -> None:
        """Publish what has come back."""
        if self._controls is not None:
            for outcome in self._controls.outcomes():
                self._publish("control", outcome)
