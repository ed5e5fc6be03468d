"""The commands ``usassist pacs send`` and ``usassist pacs queue …``."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from usassist.app.commands.options import JsonOption, print_error
from usassist.app.commands.pacs_options import archive_of
from usassist.config import in_force, state_dir
from usassist.errors import ArchiveError, ArchiveRefusedError, DicomError, UsageError

if TYPE_CHECKING:
    from usassist.dicom.network.drain import Drained, Event
    from usassist.dicom.network.nodes import Instance
    from usassist.dicom.network.queue import Entry, SendQueue

__all__ = ["queue_app", "send"]

_SHORTEST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 60.0

queue_app = typer.Typer(help="What waits to be sent, and what an archive refused.", no_args_is_help=True)

ToOption = Annotated[
    str, typer.Option("--to", metavar="ARCHIVE", help="Of this archive alone; every archive where it is left out.")
]
UidsArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[SOP_UID]...", help="Objects, as `usassist pacs queue list` shows them.")
]


def send(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FILE|FOLDER]...", help="DICOM files; none = go on with what is queued."),
    ] = None,
    to: ToOption = "",
    wait: Annotated[
        bool,
        typer.Option(help="Keep trying until the archive has everything; or try once, and leave the rest queued."),
    ] = True,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Send the other files where some cannot be sent; else none is queued.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Queue DICOM files, and send what is queued. What is queued is not lost, whatever happens to either side."""
    if files and not to:
        raise UsageError("name the archive with --to")
    before = 0
    if files:
        queue = _queue(to)
        instances = _looked_at(files, skip_bad=skip_bad)
        queued, known = queue.add(instances)
        _say(f"{queued} objects queued for {to}{f', {known} were queued already' if known else ''}")
        uids = {instance.sop_instance_uid for instance in instances}
        before = sum(entry.state == "refused" and entry.sop_instance_uid in uids for entry in queue.entries())
        if before:
            _say(f"{before} of them were refused before and are not sent; let them with: usassist pacs queue retry")
        queues = [queue]
    else:
        queues = [queue for queue in _queues(to) if any(entry.state != "refused" for entry in queue.entries())]
        if not queues:
            _say(f"nothing waits to be sent{f' to {to}' if to else ''}")
    results = [_send_queue(queues[0], wait=wait)] if len(queues) == 1 else _send_queues(queues, wait=wait)
    if as_json:
        typer.echo(json.dumps(results, indent=2))
    if before or any(result["left"] or result["refused"] for result in results):
        raise typer.Exit(1)


def _looked_at(files: list[Path], *, skip_bad: bool) -> list[Instance]:
    from usassist.dicom.network.send_files import files_below, look_at

    looked = look_at(files_below(files))
    for line in looked.refused:
        print_error(line)
    if looked.refused and not (skip_bad and looked.instances):
        others = "; --skip-bad sends the others" if looked.instances else ""
        raise DicomError(f"{len(looked.refused)} files cannot be sent, nothing was queued{others}")
    if looked.with_private:
        _say(f"{looked.with_private} objects have private attributes, which are sent as they are")
    return looked.instances


def _send_queues(queues: list[SendQueue], *, wait: bool) -> list[dict[str, Any]]:
    """In turns, so that an archive that is down does not hold up the others."""
    results: dict[str, dict[str, Any]] = {
        queue.to: {"to": queue.to, "stored": 0, "present": 0, "refused": 0, "left": 0} for queue in queues
    }
    going, pause_s = list(queues), _SHORTEST_PAUSE_S
    while going:
        moved = 0
        for queue in list(going):
            total = results[queue.to]
            try:
                done = _send_queue(queue, wait=False)
            except (ArchiveError, DicomError) as error:
                print_error(str(error))
                total["left"] = sum(entry.state != "refused" for entry in queue.entries())
                going.remove(queue)
                continue
            for key in ("stored", "present", "refused"):
                total[key] += done[key]
                moved += done[key]
            total["left"] = done["left"]
            if not total["left"]:
                going.remove(queue)
        if not wait or not going:
            break
        pause_s = _SHORTEST_PAUSE_S if moved else min(2 * pause_s, _LONGEST_PAUSE_S)
        time.sleep(pause_s)
    return list(results.values())


def _send_queue(queue: SendQueue, *, wait: bool) -> dict[str, Any]:
    from usassist.dicom.network.drain import drain

    teller = _Teller(wait=wait)
    archive = archive_of(queue.to)
    with queue.sending(wait=wait, on_wait=lambda: _say(f"another process is sending to {queue.to}; waiting")) as alone:
        if not alone:
            left = sum(entry.state != "refused" for entry in queue.entries())
            _say(f"another process is sending to {queue.to}")
            return {"to": queue.to, "stored": 0, "present": 0, "refused": 0, "left": left}
        try:
            done = drain(queue, archive, wait=wait, tell=teller.tell)
        except ArchiveRefusedError as error:
            left = sum(entry.state != "refused" for entry in queue.entries())
            raise ArchiveRefusedError(f"{error}; {left} objects stay queued") from error
    _report(queue, done)
    return {
        "to": queue.to,
        "stored": done.stored,
        "present": done.present,
        "refused": done.refused,
        "left": done.left,
    }


class _Teller:
    """Prints what happens, and each failure of the archive once until something else happens."""

    def __init__(self, *, wait: bool) -> None:
        self._goes_on = "; trying again, Ctrl-C leaves the rest queued" if wait else ""
        self._last = ""

    def tell(self, event: Event) -> None:
        """Print one line, on standard error."""
        if event.kind == "down":
            if event.detail != self._last:
                print_error(event.detail + self._goes_on)
            self._last = event.detail
            return
        self._last = ""
        if event.kind in ("refused", "later") or (event.kind == "stored" and event.detail):
            said = {"refused": "was refused", "later": "is tried again", "stored": "is stored"}[event.kind]
            print_error(f"{event.sop_instance_uid} {said}: {event.detail}")


def _report(queue: SendQueue, done: Drained) -> None:
    parts = [f"{done.stored} objects sent to {queue.to} and confirmed"]
    if done.present:
        parts.append(f"{done.present} were there already")
    if done.refused:
        parts.append(f"{done.refused} refused, see: usassist pacs queue list")
    if done.left:
        parts.append(f"{done.left} stay queued, go on with: usassist pacs send")
    _say("; ".join(parts))


@queue_app.command("list")
def list_queue(to: ToOption = "", as_json: JsonOption = False) -> None:
    """List what waits and what was refused. Objects that an archive has confirmed are not in the queue."""
    from usassist.app.commands.pacs_tables import print_entries

    rows = [(queue.to, entry) for queue in _queues(to) for entry in queue.entries()]
    if as_json:
        typer.echo(json.dumps([{"to": name, **msgspec.to_builtins(entry)} for name, entry in rows], indent=2))
    elif rows:
        print_entries(rows)
    else:
        typer.echo("nothing is queued")


@queue_app.command("retry")
def retry(uids: UidsArgument = None, to: ToOption = "") -> None:
    """Let objects that were refused be sent again, by the next `usassist pacs send`."""
    count = 0
    for queue, entries in _chosen(uids, to, state="refused"):
        for entry in entries:
            queue.put(msgspec.structs.replace(entry, state="waiting", attempts=0))
            count += 1
    typer.echo(f"{count} objects wait to be sent again; go on with: usassist pacs send")


@queue_app.command("drop")
def drop(
    uids: UidsArgument = None,
    to: ToOption = "",
    refused: Annotated[bool, typer.Option("--refused", help="All that were refused.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
) -> None:
    """Remove objects from the queue without sending them. Their copies in the queue are deleted."""
    if sum((bool(uids), refused, everything)) != 1:
        raise UsageError("name objects, or give --refused or --all")
    count = 0
    for queue, entries in _chosen(uids, to, state="refused" if refused else None):
        queue.drop(entries)
        count += len(entries)
    typer.echo(f"{count} objects removed from the queue")


def _chosen(uids: list[str] | None, to: str, *, state: str | None) -> Iterator[tuple[SendQueue, list[Entry]]]:
    """The entries that are meant, of each queue while nobody sends from it."""
    left = set(uids or [])
    for queue in _queues(to):
        with queue.sending(wait=False) as alone:
            if not alone:
                raise UsageError(f"another process is sending to {queue.to}; stop it first")
            entries = [
                entry
                for entry in queue.entries()
                if (state is None or entry.state == state) and (uids is None or entry.sop_instance_uid in left)
            ]
            left -= {entry.sop_instance_uid for entry in entries}
            yield queue, entries
    if left:
        raise UsageError(f"{len(left)} of these objects are not in the queue; see: usassist pacs queue list")


def _queue(to: str) -> SendQueue:
    from usassist.dicom.network.nodes import node_named
    from usassist.dicom.network.queue import SendQueue

    node_named(to, in_force().pacs)  # a name that is wrong must not get a queue
    return SendQueue(_folder(), to)


def _queues(to: str) -> list[SendQueue]:
    from usassist.dicom.network.queue import all_queues

    return [queue for queue in all_queues(_folder()) if to in ("", queue.to)]


def _folder() -> Path:
    return state_dir() / "pacs"


def _say(text: str) -> None:
    sys.stderr.write(f"usassist: {text}\n")
