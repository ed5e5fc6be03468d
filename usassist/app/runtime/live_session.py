"""``usassist live``: start the processes of a live session, watch them, and end them in order.

The stream, the recorder, the page and the window are processes of their own. One that dies or hangs is replaced at once
by one that stands by, warm; the others go on. A stream that was replaced is a new session, and gets a new recorder with
a new folder: what was recorded before is closed and readable. A recorder that has said why it stops, as it does on a
full disk, is not replaced: the stream goes on without one, and nothing begins to record again by itself. The page may
come later than the stream, or not at all: nothing waits for it.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from usassist.app.runtime.child_process import Child, ChildSilentError
from usassist.app.runtime.open_stream import StreamOptions, new_session_id
from usassist.app.runtime.private_bus import private_bus
from usassist.app.runtime.recording_facts import recording_facts
from usassist.app.runtime.supervised_process import LOOK_EVERY_S, SupervisedProcess, Ticks
from usassist.config import PanelConfig, RecordConfig
from usassist.errors import UsAssistError
from usassist.session import read_manifest
from usassist.sinks.disk_sync import mebibytes
from usassist.sinks.panel import check_panel

__all__ = ["LiveOptions", "LiveReport", "run_live"]

logger = logging.getLogger(__name__)

_FINISH_S = 20.0
_PAGE_LATE_S = 10.0
_MAX_PROBLEMS = 100
_SIZE_EVERY_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveOptions:
    """What runs in a live session.

    Attributes
    ----------
    stream : what to stream; an empty ``bus`` stands for sockets that are private to this run
    record_into : folder in which every session gets a folder; None = nothing is recorded
    panel : where the page listens; None = no page
    window : also show the overlay in a window
    record : how recordings are made
    memory_limit_mb : a process with more resident memory is ended and replaced, MiB; 0 = half of this machine's
    """

    stream: StreamOptions
    record_into: Path | None
    panel: PanelConfig | None
    window: bool = False
    record: RecordConfig = field(default_factory=RecordConfig)
    memory_limit_mb: int = 0


@dataclass(slots=True, kw_only=True)
class LiveReport:
    """What happened.

    Attributes
    ----------
    sessions : ids in order; more than one where the stream had to be replaced
    folders : what was recorded
    recorded_bytes : size of what lies in them
    messages_lost : that never reached a recorder, frames or others
    recording_stopped : why nothing more was recorded before the end; empty where that did not happen
    restarts : name of a process → how often it was replaced
    summary : of the last session
    problems : lines that processes ended with
    """

    sessions: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    recorded_bytes: int = 0
    messages_lost: int = 0
    recording_stopped: str = ""
    restarts: dict[str, int] = field(default_factory=dict)
    summary: dict[str, Any] | None = None
    problems: list[str] = field(default_factory=list)


class _Session:
    """The session that runs now: every stream that is started is another."""

    def __init__(self, options: LiveOptions, bus: str, report: LiveReport) -> None:
        self._options, self._bus, self._report = options, bus, report
        self._id = ""
        self._folders = 0
        self._next_size_s = 0.0
        self._facts: dict[str, Any] | None = None

    def stream(self) -> dict[str, Any]:
        """Options of a new stream."""
        self._id, self._folders = new_session_id(), 0
        self._report.sessions.append(self._id)
        stream = dataclasses.replace(self._options.stream, bus=self._bus, session_id=self._id)
        return dataclasses.asdict(stream) | {"archives": int(self._records)}

    def record(self) -> dict[str, Any]:
        """Options of a new recorder: each has a folder of its own."""
        assert self._options.record_into is not None
        if self._facts is None:  # here, because the stream is being opened meanwhile
            self._facts = recording_facts(self._options.stream)
        self._folders += 1
        name = self._id if self._folders == 1 else f"{self._id}-{self._folders}"
        self._report.folders.append(str(self._options.record_into / name))
        return {
            "address": self._bus,
            "folder": self._report.folders[-1],
            "facts": self._facts,
            "record": dataclasses.asdict(self._options.record),
        }

    @property
    def _records(self) -> bool:
        return self._options.record_into is not None and not self._report.recording_stopped

    def tell_size(self, *, at_end: bool = False) -> None:
        """Look now and then how much is recorded, and log it."""
        if not self._report.folders or (time.monotonic() < self._next_size_s and not at_end):
            return
        self._next_size_s = time.monotonic() + _SIZE_EVERY_S
        if at_end:  # a recorder that found no room has made none
            self._report.folders = [folder for folder in self._report.folders if Path(folder).is_dir()]
            self._report.messages_lost = sum(_lost(Path(folder)) for folder in self._report.folders)
        self._report.recorded_bytes = sum(_size(Path(folder)) for folder in self._report.folders)
        logger.info("recorded so far: %s", mebibytes(self._report.recorded_bytes))


def run_live(
    options: LiveOptions,
    stop: threading.Event,
    *,
    on_ready: Callable[[str], None] | None = None,
    on_event: Callable[[str], None] | None = None,
) -> LiveReport:
    """Run a live session until `stop` is set, or until the source has given ``count`` frames.

    Parameters
    ----------
    options : what runs
    stop : set it to end
    on_ready : called with the address of the page, or with an empty text where there is none
    on_event : told in one line what dies and what takes its place

    Raises
    ------
    UsAssistError
        If stream, recorder or window cannot be started the first time, or the page could not listen where it should:
        then the command, not the signal, is wrong. Whatever happens to the page later, the stream goes on.
    KeyboardInterrupt
        If it is stopped before the stream runs; nothing is left behind.
    """
    report = LiveReport()
    say = on_event or (lambda line: None)
    if options.panel is not None:
        check_panel(options.panel)
    with ExitStack() as stack:
        stack.callback(_remove_empty, report)
        bus = options.stream.bus or stack.enter_context(private_bus())
        session = _Session(options, bus, report)
        posts = stack.enter_context(_posts(options, bus, session))
        ticks, announced = Ticks(stop), _Announcement(posts, on_ready, say)
        _begin_all(posts, ticks)
        for elapsed_s in ticks:
            announced.look()
            for post in posts.values():
                post.watch(elapsed_s)
            _look_after(posts, report, say)
            session.tell_size()
            if posts["stream"].summary is not None:  # the source has given all it was asked for
                break
        report.summary = posts["stream"].summary
        _end_in_order(posts, report)
        session.tell_size(at_end=True)
    return report


class _Announcement:
    """Tells once where the page is."""

    def __init__(
        self,
        posts: dict[str, SupervisedProcess],
        on_ready: Callable[[str], None] | None,
        say: Callable[[str], None],
    ) -> None:
        self._page = posts.get("panel")
        self._on_ready, self._say = on_ready, say
        self._late_s = time.monotonic() + _PAGE_LATE_S

    def look(self) -> None:
        """Look whether the page is there."""
        if self._on_ready is not None and (self._page is None or self._page.ready is not None):
            self._on_ready("" if self._page is None or self._page.ready is None else self._page.ready["url"])
            self._on_ready = None
        elif self._on_ready is not None and time.monotonic() > self._late_s:
            self._late_s = math.inf
            self._say("the stream runs; the page is still being started")


@contextmanager
def _posts(options: LiveOptions, bus: str, session: _Session) -> Iterator[dict[str, SupervisedProcess]]:
    posts: dict[str, SupervisedProcess] = {}
    try:
        limit_mb = options.memory_limit_mb
        posts["stream"] = SupervisedProcess("stream", session.stream, spare=True, memory_limit_mb=limit_mb)
        if options.record_into is not None:
            posts["record"] = SupervisedProcess("record", session.record, spare=True, memory_limit_mb=limit_mb)
        if options.panel is not None:
            page = {"address": bus, "panel": dataclasses.asdict(options.panel)}
            posts["panel"] = SupervisedProcess("panel", lambda: page, spare=False, memory_limit_mb=limit_mb)
        if options.window:
            window = {"address": bus}
            posts["overlay"] = SupervisedProcess("overlay", lambda: window, spare=False, memory_limit_mb=limit_mb)
        yield posts
    finally:
        for post in posts.values():  # all at once, and then one after the other
            post.leave()
        for post in posts.values():
            post.end()


def _begin_all(posts: dict[str, SupervisedProcess], ticks: Ticks) -> None:
    """Start everything for the first time, and wait for all but the page."""
    for post in posts.values():  # the stream first: it names the session
        post.begin()
    needed = [post for post in posts.values() if post.name != "panel"]
    for elapsed_s in ticks:
        for post in posts.values():
            post.watch(elapsed_s)
        for post in needed:
            post.raise_if_died()
        if all(post.ready is not None or post.over for post in needed):
            return
    raise KeyboardInterrupt


def _look_after(posts: dict[str, SupervisedProcess], report: LiveReport, say: Callable[[str], None]) -> None:
    for post in posts.values():
        if not post.died():
            continue
        if post.name == "record" and post.reported:  # it has said why: another one would fail alike
            post.give_up()
            report.recording_stopped = post.problem
            report.problems.append(f"record: {post.problem}")
            say(f"nothing more is recorded, and the stream goes on: {post.problem}")
            continue
        if post.over:
            say(f"the {post.name} has ended")
            continue
        report.restarts[post.name] = report.restarts.get(post.name, 0) + 1
        how = "was killed" if post.killed else "has died"
        why = f": {post.problem}" if post.problem else ""
        if len(report.problems) < _MAX_PROBLEMS:
            report.problems.append(f"{post.name}{why}")
        say(f"the process {post.name} {how}{why}; it is started again")
        if post.name == "stream" and "record" in posts:
            _close_recording(posts["record"])
    for post in posts.values():
        post.stand_by()
        if post.due and not (post.name == "record" and posts["stream"].child is None):
            post.begin()


def _close_recording(record: SupervisedProcess) -> None:
    """What was recorded of a stream that has died is closed; the next stream gets another recorder.

    The next stream is being started meanwhile; a recorder that does not end in a few seconds is killed.
    """
    child, record.child = record.child, None
    if child is not None:
        threading.Thread(target=child.end, name="close-recording").start()


def _end_in_order(posts: dict[str, SupervisedProcess], report: LiveReport) -> None:
    """The stream publishes its end, the recorder writes it down, then everything goes."""
    stream, record = posts["stream"], posts.get("record")
    try:
        if stream.child is not None and stream.child.alive and report.summary is None:
            stream.child.ask_to_end()
            # "ended" comes from one that waits for recorders, "done" from one that never had any.
            report.summary = _wait_for(stream.child, "ended", "done")["summary"]
        if record is not None and record.child is not None and record.child.alive:
            _wait_for(record.child, "done")
    except UsAssistError as error:
        report.problems.append(str(error))


def _wait_for(child: Child, *events: str) -> dict[str, Any]:
    """Wait for what a child reports at its end; one that hangs meanwhile is not waited for."""
    ticks = Ticks(threading.Event())
    deadline_s = time.monotonic() + _FINISH_S
    while time.monotonic() < deadline_s and not (reason := child.why_hung(ticks.elapsed_s())):
        try:
            return child.wait_for(*events, timeout_s=LOOK_EVERY_S)
        except ChildSilentError:
            continue
    child.kill()
    raise UsAssistError(f"the process {child.name} was killed at the end: {reason or f'{_FINISH_S:.0f} s are over'}")


def _lost(folder: Path) -> int:
    """Messages that never reached the recorder of a session, as far as it lived to say so."""
    try:
        return sum(read_manifest(folder).gaps.values())
    except UsAssistError:
        return 0


def _size(folder: Path) -> int:
    try:
        return sum(path.stat().st_size for path in folder.iterdir())
    except OSError:
        return 0


def _remove_empty(report: LiveReport) -> None:
    """Remove recordings that were ended before they had a frame; their recorders are gone."""
    for folder in map(Path, report.folders):
        frames = folder / "frames.jsonl"
        if report.summary is None and frames.exists() and not frames.stat().st_size:
            shutil.rmtree(folder, ignore_errors=True)
