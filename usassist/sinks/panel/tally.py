"""What a panel counts of a stream."""

from __future__ import annotations

from collections import Counter

from usassist.bus import Message
from usassist.records import Cause

__all__ = ["Tally"]


class Tally:
    """Counts since this panel first saw the session, and a few since the panel was started.

    Attributes
    ----------
    shown, skipped : frames of this session that were shown, and that were passed over between them
    by_cause : frames of this session without an answer
    shown_in_all, answered_in_all, skipped_in_all : the same of all sessions
    malformed : messages that could not be read, of all sessions
    gaps : messages other than frames that never arrived (seen from ``seq``), of all sessions
    """

    def __init__(self) -> None:
        self.shown = self.skipped = 0
        self.by_cause: Counter[str] = Counter()
        self.shown_in_all = self.answered_in_all = self.skipped_in_all = 0
        self.malformed = 0
        self.gaps = 0
        self._next_seq: dict[str, int] = {}

    def enter_session(self) -> None:
        """Another session begins."""
        self.shown = self.skipped = 0
        self.by_cause.clear()

    def listen_anew(self) -> None:
        """What was not heard from here to the next message is no gap."""
        self._next_seq.clear()

    def follow(self, message: Message) -> None:
        """Look whether a message is the next of its topic. Frames are not looked at: a viewer takes the newest."""
        name = message.topic.name
        if message.topic.lane == "event":
            self.gaps += max(0, message.seq - self._next_seq.get(name, message.seq))
            self._next_seq[name] = message.seq + 1

    def show(self, passed_over: int, *, answered: bool, missing: bool) -> None:
        """A frame is shown.

        Parameters
        ----------
        passed_over : frames between the one before and this one
        answered : it has an answer
        missing : its result did not come in time
        """
        self.shown += 1
        self.shown_in_all += 1
        self.skipped += passed_over
        self.skipped_in_all += passed_over
        self.answered_in_all += answered
        if missing:
            self.by_cause[Cause.MISSING.value] += 1
