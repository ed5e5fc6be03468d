"""A row of the table of processes that is kept running while a live session lasts."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from usassist.app.processes import Child

__all__ = ["Post"]

_CALM_S = 10.0  # a process that lived so long has not died at once
_UNDER_WAY_S = 5.0
_PAUSES_S = (0.0, 1.0, 2.0, 5.0, 10.0)  # before one that dies again and again is replaced


class Post:
    """A process that is kept running.

    Parameters
    ----------
    name : of the child
    options : gives what a new one begins with
    spare : keep one that has imported everything and waits
    """

    def __init__(self, name: str, options: Callable[[], dict[str, Any]], *, spare: bool) -> None:
        self.name = name
        self._options = options
        self._keep_spare = spare
        self._spare: Child | None = Child(name) if spare else None
        self.child: Child | None = None
        self.over = False  # it ended by itself, as it may, and is not replaced
        self.problem = ""
        self.summary: dict[str, Any] | None = None  # its last word, where it has one
        self._began_s = 0.0
        self._deaths = 0
        self._again_s = 0.0

    def begin(self) -> None:
        """Start it, or let the one that stands by take its place."""
        child, self._spare = self._spare, None
        self.child = child if child is not None and child.alive else Child(self.name)
        self._began_s, self.problem = time.monotonic(), ""
        self.child.begin(self._options())

    def stand_by(self) -> None:
        """Start the spare one, once this one is under way: it would only be in its way before."""
        if self._keep_spare and self._spare is None and time.monotonic() - self._began_s > _UNDER_WAY_S:
            self._spare = Child(self.name)

    def died(self) -> bool:
        """True once, when it has died; what it said last is kept."""
        child = self.child
        if child is None or child.alive:
            return False
        child.end(0.5)  # and with it what it said last has arrived
        self.hear()
        self.child = None
        self._deaths = 1 if time.monotonic() - self._began_s > _CALM_S else self._deaths + 1
        self._again_s = time.monotonic() + _PAUSES_S[min(self._deaths - 1, len(_PAUSES_S) - 1)]
        return True

    def hear(self) -> None:
        """Take in what it has said since."""
        while self.child is not None and (report := self.child.said()) is not None:
            if report.event == "error":
                self.problem = str(report.content["message"])
            self.over = self.over or report.event == "done"
            self.summary = report.content.get("summary", self.summary)

    @property
    def due(self) -> bool:
        """True when a new one is to be started."""
        return self.child is None and not self.over and time.monotonic() >= self._again_s

    def give_up(self) -> None:
        """It is not replaced any more."""
        self.over, self._keep_spare = True, False
        spare, self._spare = self._spare, None
        if spare is not None:
            spare.end()

    def end(self) -> None:
        """End it and its spare."""
        for child in (self._spare, self.child):
            if child is not None:
                child.end()
        self._spare = self.child = None
