"""What is known of each study, built from the journal alone: a restart knows what the process before it knew."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from usassist.app.worklist.journal import Arrived, Begun, Ended, Event, Marked, Moved
from usassist.sinks.worklist import Version

__all__ = ["Entry", "Ledger", "boot_clock", "now_utc"]

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def now_utc() -> str:
    """The time by the wall clock, ISO 8601, ms."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def boot_clock() -> tuple[str, float]:
    """Which start of the machine this is, and the time since then, s; it goes on during sleep, and nobody sets it."""
    try:
        boot_id = _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        boot_id = ""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return boot_id, time.clock_gettime(clock)


@dataclass(slots=True)
class Entry:
    """One study.

    Attributes
    ----------
    study : pseudonym
    arrived : its event of arrival
    signature : of its files when they were scored last; empty = never
    versions : oldest first
    begun : how often scoring was started since it ended last
    present : its files are there
    read : newest mark; None = never marked, or marked unread
    """

    study: str
    arrived: Arrived
    signature: str = ""
    versions: list[Version] = field(default_factory=list)
    begun: int = 0
    present: bool = True
    read: Marked | None = None

    @property
    def read_version(self) -> int:
        """Newest version that was read; 0 = none."""
        return 0 if self.read is None else self.read.version

    def is_read(self, *, pending: bool) -> bool:
        """True when it was marked read, and nothing has come since; `pending`: its files are not scored yet."""
        return self.read is not None and len(self.versions) + pending <= self.read.version

    def waiting_s(self) -> float:
        """From arrival until now, s. By the clock of the machine's start where it is the same one; never negative."""
        boot_id, boot_s = boot_clock()
        if boot_id and boot_id == self.arrived.boot_id:
            return max(0.0, boot_s - self.arrived.boot_s)
        return max(0.0, (datetime.now(UTC) - datetime.fromisoformat(self.arrived.at_utc)).total_seconds())


class Ledger:
    """All studies by their pseudonym, in order of arrival.

    Attributes
    ----------
    entries : of the studies
    taken : names of the marks that are in the journal
    """

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self.entries: dict[str, Entry] = {}
        self.taken: set[str] = set()
        self._by_result: dict[str, str] = {}
        for event in events:
            self.apply(event)

    @property
    def next_number(self) -> int:
        """Number of the next arrival."""
        return 1 + max((entry.arrived.number for entry in self.entries.values()), default=0)

    def owner_of(self, result: str) -> str:
        """Pseudonym of the study that a result was computed for; empty = there is none."""
        return self._by_result.get(result, "")

    def apply(self, event: Event) -> None:
        """Take one event, which is in the journal already."""
        if isinstance(event, Arrived):
            self.entries.setdefault(event.study, Entry(study=event.study, arrived=event))
            return
        entry = self._entry(event.study)
        if isinstance(event, Begun):
            entry.begun += 1
        elif isinstance(event, Ended):
            entry.begun, entry.signature = 0, event.signature
            if event.scored is not None:
                entry.versions.append(event.scored)
                if event.scored.result:
                    self._by_result.setdefault(event.scored.result, event.study)
        elif isinstance(event, Moved):
            entry.present = event.present
        elif event.name not in self.taken:
            self.taken.add(event.name)
            entry.read = event if event.is_read else None

    def _entry(self, study: str) -> Entry:
        """The entry of a study; where the line of its arrival was damaged, it arrives now."""
        if study not in self.entries:
            boot_id, boot_s = boot_clock()
            lost = Arrived(study=study, number=self.next_number, at_utc=now_utc(), boot_id=boot_id, boot_s=boot_s)
            self.entries[study] = Entry(study=study, arrived=lost)
        return self.entries[study]
