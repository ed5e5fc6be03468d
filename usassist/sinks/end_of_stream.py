"""When an archive has everything: one rule for the recorder and the overlay video."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from usassist.bus import Message, SessionBody, SessionState

__all__ = ["POLL_MS", "StreamEnd"]

POLL_MS = 50
_PATIENCE_POLLS = 60  # how long messages may still be on their way after the stream has said that it ended


class StreamEnd:
    """Watches the messages of a stream for its end.

    Parameters
    ----------
    abandoned : True when nobody is left who would send; asked while nothing comes
    topics : of which the last message is waited for

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
        """True when everything is here, or nothing more will come. To be asked once per silent poll."""
        self._silent_polls += 1
        if self.session is not None and self.session.state is not SessionState.RUNNING:
            return min(self._last.values()) >= self.session.last_frame_id or self._silent_polls > _PATIENCE_POLLS
        return self._abandoned() and self._silent_polls > 2
