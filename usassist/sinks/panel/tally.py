"""Counters of a panel."""

from __future__ import annotations

from collections import Counter

from usassist.bus import Message
from usassist.records import Cause

__all__ = ["Tally"]


class Tally:
    """Counts since this panel joined the session, and a few since the panel started.

    Attributes
    ----------
    shown, skipped : frames of this session that were shown, and that were skipped between them
    by_cause : frames of this session without an answer
    shown_total, answered_total, skipped_total : the same over all sessions
    malformed : messages that could not be decoded, over all sessions
    gaps : messages other than frames that never arrived (gaps in ``seq``), over all sessions
    """

    def __init__(self) -> None:
        self.shown = self.skipped = 0
        self.by_cause: Counter[str] = Counter()
        self.shown_total = self.answered_total = self.skipped_total = 0
        self.malformed = 0
        self.gaps = 0
        self._next_seq: dict[str, int] = {}

    def enter_session(self) -> None:
        """Reset the counts of the session."""
        self.shown = self.skipped = 0
        self.by_cause.clear()

    def reset_sequence(self) -> None:
        """Do not count a gap before the next message."""
        self._next_seq.clear()

    def count_gaps(self, message: Message) -> None:
        """Check the sequence number of an event. Frames are exempt: a viewer takes only the newest."""
        name = message.topic.name
        if message.topic.lane == "event":
            self.gaps += max(0, message.seq - self._next_seq.get(name, message.seq))
            self._next_seq[name] = message.seq + 1

    def show(self, skipped: int, *, answered: bool, missing: bool) -> None:
        """Count a frame that is shown.

        Parameters
        ----------
        skipped : frames between the previous one and this one
        answered : it has an answer
        missing : its result did not arrive in time
        """
        self.shown += 1
        self.shown_total += 1
        self.skipped += skipped
        self.skipped_total += skipped
        self.answered_total += answered
        if missing:
            self.by_cause[Cause.MISSING.value] += 1
