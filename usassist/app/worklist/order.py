"""The order of the list. A pure function of what is known; see ``docs/ct-worklist.md`` for the reasons.

=========== ============================================================= ==========================================
group       what stands in it                                             ordered by
=========== ============================================================= ==========================================
suspicious  a version that nobody has read is suspicious                  highest score, then arrival
not_scored  could not be scored: neither the machine nor a person looked  arrival
queue       unflagged, and what waits to be scored                        arrival, as without this program
read        marked read, and nothing new since                            arrival
=========== ============================================================= ==========================================

A study whose files have gone stays in its group.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from usassist.app.worklist.ledger import Entry
from usassist.sinks.worklist import Group, Row, State, Version

__all__ = ["GROUPS", "judged", "make_rows"]

GROUPS: tuple[Group, ...] = ("suspicious", "not_scored", "queue", "read")


def make_rows(entries: Iterable[Entry], *, busy: Mapping[str, State], threshold: float | None) -> tuple[Row, ...]:
    """The rows of the list, in its order.

    Parameters
    ----------
    entries : of the studies
    busy : pseudonym → ``arriving``, ``waiting`` or ``scoring``, of those that there is something to do for
    threshold : score from which a study is suspicious; None = as the engine decided
    """
    rows = sorted((_row(entry, busy.get(entry.study), threshold) for entry in entries), key=_key)
    return tuple(msgspec.structs.replace(row, place=place) for place, row in enumerate(rows, start=1))


def judged(version: Version, threshold: float | None) -> Version:
    """The version with the state that its score has at this threshold."""
    if threshold is None or version.state == "failed" or version.score is None:
        return version
    state: Literal["suspicious", "unflagged"] = "suspicious" if version.score >= threshold else "unflagged"
    return msgspec.structs.replace(version, state=state)


def _row(entry: Entry, busy: State | None, threshold: float | None) -> Row:
    versions = tuple(judged(version, threshold) for version in entry.versions)
    unread = versions[entry.read_version :]
    scores = [version.score for version in unread or versions if version.score is not None]
    newest: State = versions[-1].state if versions else "waiting"
    is_read = entry.is_read(pending=busy is not None)
    group: Group = "queue"
    if is_read:
        group = "read"
    elif any(version.state == "suspicious" for version in unread):
        group = "suspicious"
    elif (unread and unread[-1].state == "failed") or (not entry.present and not versions):
        group = "not_scored"
    return Row(
        study=entry.study,
        place=0,
        group=group,
        state=busy or newest,
        score=max(scores, default=None),
        arrival=entry.arrived.number,
        arrived_utc=entry.arrived.at_utc,
        waiting_s=round(entry.read.waited_s if is_read and entry.read else entry.waiting_s(), 1),
        present=entry.present,
        versions=versions,
        read_utc=entry.read.at_utc if is_read and entry.read else "",
        grown=len(versions) > 1 or (entry.read is not None and not is_read),
    )


def _key(row: Row) -> tuple[int, float, int]:
    group = GROUPS.index(row.group)
    if row.group == "suspicious":
        return group, -2.0 if row.score is None else -row.score, row.arrival  # without a score: first
    return group, 0.0, row.arrival
