"""When a stream is complete: one rule for the recorder, the results file and the overlay video."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from usassist.bus import Message, SessionBody, SessionState

__all__ = ["POLL_MS", "StreamEnd"]

POLL_MS = 50
_PATIENCE_POLLS = 60  # how long messages may still arrive after the final session message


class StreamEnd:
    """Watches the messages of a stream for its end.

    Parameters
    ----------
    abandoned : True when the process that started the stream is gone; polled while nothing comes
    topics : whose last message is waited for

    Attributes
    ----------
    session : the last ``session`` message, None before the first
    """

    def __init__(self, abandoned: Callable[[], bool], topics: Sequence[str] = ("frame", "result")) -> None:
        self.session: SessionBody | None = None
        self._abandoned = abandoned
        self._last = dict.fromkeys(topics, -1)
        self._silent_polls = 0

    def take(self, message: Message) -> None:
        """A message has arrived."""
        self._silent_polls = 0
        name = message.topic.name
        if name in self._last:
            self._last[name] = max(self._last[name], message.body.frame_id)
        elif isinstance(message.body, SessionBody):
            self.session = message.body

    def reached(self) -> bool:
        """True when everything has arrived, or nothing more will. Call it once per poll without a message."""
        self._silent_polls += 1
        if self.session is not None and self.session.state is not SessionState.RUNNING:
            return min(self._last.values()) >= self.session.last_frame_id or self._silent_polls > _PATIENCE_POLLS
        return self._abandoned() and self._silent_polls > 2
