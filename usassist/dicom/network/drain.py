"""Send what is queued until the archive has confirmed all of it, whatever happens in between.

An object is marked as in flight before its first byte leaves, and as sent when the archive has confirmed it, both on
the disk. What was in flight when a connection, the archive or this process ended may have arrived: the archive is
asked before it is sent again. So is everything else, once for each series: what is there already is not sent.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import msgspec

from usassist.dicom.network.nodes import Archive, Instance
from usassist.dicom.network.queue import Entry, SendQueue
from usassist.errors import ArchiveDownError

__all__ = ["MAX_ATTEMPTS", "Drained", "Event", "drain"]

MAX_ATTEMPTS = 8  # of one object; then it is kept as refused, so that it does not hold up the others for ever
_SHORTEST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened, for the person who waits.

    Attributes
    ----------
    kind : ``stored``: confirmed now; ``present``: it was there already; ``refused``: kept, and not tried again;
        ``later``: tried again later; ``down``: the archive could not be reached or ended the connection
    detail : why, in one line
    sop_instance_uid : of the object; empty = of the archive
    """

    kind: Literal["stored", "present", "refused", "later", "down"]
    detail: str = ""
    sop_instance_uid: str = ""


@dataclass(slots=True, kw_only=True)
class Drained:
    """What became of the queue.

    Attributes
    ----------
    stored, present, refused : objects that were confirmed, were there already, were refused, in this run
    left : objects that still wait
    """

    stored: int = 0
    present: int = 0
    refused: int = 0
    left: int = 0


def drain(
    queue: SendQueue,
    archive: Archive,
    *,
    wait: bool,
    tell: Callable[[Event], None],
    sleep: Callable[[float], None] = time.sleep,
) -> Drained:
    """Send what waits. The caller is the only sender: :meth:`SendQueue.sending`.

    Parameters
    ----------
    wait : try again, with pauses that double from 1 s to 1 minute while nothing gets through, until nothing waits
        any more; else go through the queue once
    tell : called for everything that happens
    sleep : for the pauses, s

    Raises
    ------
    ArchiveRefusedError
        If the archive will not talk to us as we are; what waits stays queued.
    """
    queue.tidy()
    drained = Drained()
    pause_s = _SHORTEST_PAUSE_S
    while True:
        moved = _once(queue, archive, drained, tell)
        drained.left = len(_waiting(queue))
        if not drained.left or not wait:
            return drained
        pause_s = _SHORTEST_PAUSE_S if moved else pause_s
        sleep(pause_s)
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


def _waiting(queue: SendQueue) -> list[Entry]:
    """What is to be sent; what failed most often comes last."""
    return sorted((entry for entry in queue.entries() if entry.state != "refused"), key=lambda entry: entry.attempts)


def _once(queue: SendQueue, archive: Archive, drained: Drained, tell: Callable[[Event], None]) -> bool:
    """One pass. Returns whether anything left the queue."""
    in_flight: dict[str, Entry] = {}
    before = (drained.stored, drained.present, drained.refused)
    try:
        entries = {entry.sop_instance_uid: entry for entry in _not_there(queue, archive, drained, tell)}

        def begin(instance: Instance) -> None:
            entry = msgspec.structs.replace(entries[instance.sop_instance_uid], state="sending")
            in_flight[entry.sop_instance_uid] = entry
            queue.put(entry)

        if entries:
            for outcome in archive.send([queue.instance(entry) for entry in entries.values()], begin):
                uid = outcome.instance.sop_instance_uid
                in_flight.pop(uid, None)
                if outcome.state == "stored":
                    queue.done(entries[uid], outcome.detail)
                    drained.stored += 1
                    tell(Event(kind="stored", detail=outcome.detail, sop_instance_uid=uid))
                elif outcome.state == "refused":
                    _refuse(queue, entries[uid], outcome.detail, drained, tell)
                else:
                    _later(queue, entries[uid], outcome.detail, drained, tell)
    except ArchiveDownError as error:
        tell(Event(kind="down", detail=str(error)))
        for entry in in_flight.values():  # one that ends every connection must not hold up the others for ever
            _later(queue, entry, "the connection ended while it was sent", drained, tell, in_flight=True)
    return (drained.stored, drained.present, drained.refused) != before


def _not_there(queue: SendQueue, archive: Archive, drained: Drained, tell: Callable[[Event], None]) -> Iterable[Entry]:
    """The entries that the archive does not have; the others are done."""
    there: dict[tuple[str, str], set[str] | None] = {}
    sent_before = queue.sent_before()
    for entry in _waiting(queue):
        series = (entry.study_instance_uid, entry.series_instance_uid)
        if series not in there:
            there[series] = archive.present(*series)
        known = there[series]
        uid = entry.sop_instance_uid
        if known is None and entry.state == "waiting" and uid in sent_before:
            detail = f"it was confirmed on {sent_before[uid]}"  # and this archive cannot be asked
        elif known is not None and uid in known:
            detail = "it was there already" if entry.state == "waiting" else "it had arrived"
        else:
            yield entry
            continue
        queue.done(entry, detail)
        drained.present += 1
        tell(Event(kind="present", detail=detail, sop_instance_uid=uid))


def _refuse(queue: SendQueue, entry: Entry, detail: str, drained: Drained, tell: Callable[[Event], None]) -> None:
    queue.put(msgspec.structs.replace(entry, state="refused", attempts=entry.attempts + 1, detail=detail))
    drained.refused += 1
    tell(Event(kind="refused", detail=detail, sop_instance_uid=entry.sop_instance_uid))


def _later(
    queue: SendQueue,
    entry: Entry,
    detail: str,
    drained: Drained,
    tell: Callable[[Event], None],
    *,
    in_flight: bool = False,
) -> None:
    attempts = entry.attempts + 1
    if attempts >= MAX_ATTEMPTS:
        _refuse(queue, entry, f"{detail}, {attempts} times", drained, tell)
        return
    state = "sending" if in_flight else "waiting"
    queue.put(msgspec.structs.replace(entry, state=state, attempts=attempts, detail=detail))
    if not in_flight:
        tell(Event(kind="later", detail=detail, sop_instance_uid=entry.sop_instance_uid))
