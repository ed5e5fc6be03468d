"""Reads ``worklist.json`` again when it has changed, and judges whether the process that writes it is alive.

The judgement rests on the count of the heartbeat and on this machine's monotonic clock: a clock that was set makes no
list look live or stale. The time in the file is used once, for the first look at it.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec

from usassist.errors import UsageError
from usassist.sinks.worklist import Worklist, read_worklist

__all__ = ["ListWatch", "Seen"]

Alive = Literal["live", "stale", "ended", "unreadable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The list as it is now.

    Attributes
    ----------
    alive : ``live``; ``stale``: its process has not written it for too long; ``ended``: it ended in order;
        ``unreadable``: there is no list that can be read, and the one before is shown
    age_s : since the list was written, as far as this process knows
    revision : another one when the list says something else than its times
    worklist : None = none was ever read
    problem : why it is unreadable
    """

    alive: Alive
    age_s: float
    revision: str
    worklist: Worklist | None
    problem: str = ""


@dataclass(slots=True)
class ListWatch:
    """Looks at the file of a list.

    Parameters
    ----------
    path : of ``worklist.json``
    now_s : monotonic clock, s
    utc : wall clock
    """

    path: Path
    now_s: Callable[[], float] = time.monotonic
    utc: Callable[[], datetime] = lambda: datetime.now(UTC)
    _stamp: tuple[int, ...] = ()
    _list: Worklist | None = None
    _revision: str = ""
    _problem: str = ""
    _beat_s: float = field(default=0.0)

    def look(self) -> Seen:
        """The list, read again where the file has changed."""
        try:
            status = self.path.stat()
            stamp = (status.st_ino, status.st_size, status.st_mtime_ns)
            if stamp != self._stamp or self._problem:
                self._take(read_worklist(self.path))
                self._stamp, self._problem = stamp, ""
        except UsageError as error:
            self._problem = str(error)
        except OSError as error:
            self._problem = f"the list cannot be read: {(error.strerror or type(error).__name__).lower()}"
        age_s = self.now_s() - self._beat_s if self._list is not None else 0.0
        return Seen(
            alive=self._alive(age_s),
            age_s=age_s,
            revision=self._revision,
            worklist=self._list,
            problem=self._problem,
        )

    def _alive(self, age_s: float) -> Alive:
        if self._problem or self._list is None:
            return "unreadable"
        beat = self._list.heartbeat
        if beat.state == "ended":
            return "ended"
        return "stale" if age_s > beat.stale_after_s else "live"

    def _take(self, found: Worklist) -> None:
        before = self._list
        if before is None:
            written = datetime.fromisoformat(found.heartbeat.written_utc)
            self._beat_s = self.now_s() - max(0.0, (self.utc() - written).total_seconds())
        elif found.heartbeat.count != before.heartbeat.count:
            self._beat_s = self.now_s()
        self._list = found
        said = [
            found.heartbeat.state,
            found.heartbeat.problem,
            [msgspec.structs.replace(row, waiting_s=0.0) for row in found.studies],
            found.left_out,
            found.engine,
            found.threshold,
        ]
        self._revision = hashlib.sha256(msgspec.json.encode(said)).hexdigest()[:16]
