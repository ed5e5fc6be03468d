"""``usassist live``: start the processes of a live session, watch them, and end them in order.

The stream, the recorder, the page and the window are processes of their own. One that dies is replaced at once by one
that stands by, warm; the others go on. A stream that was replaced is a new session, and gets a new recorder with a new
folder: what was recorded before is closed and readable.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from usassist.app.processes import Child
from usassist.app.sockets import private_bus
from usassist.app.streaming import StreamOptions, new_session_id
from usassist.config import PanelConfig
from usassist.errors import UsAssistError

__all__ = ["LiveOptions", "LiveReport", "run_live"]

logger = logging.getLogger(__name__)

_READY_S = 60.0
_FINISH_S = 20.0
_LOOK_EVERY_S = 0.1
_CALM_S = 10.0  # a process that lived so long has not died at once
_PAUSES_S = (0.0, 1.0, 2.0, 5.0, 10.0)  # before one that dies again and again is replaced


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveOptions:
    """What runs in a live session.

    Attributes
    ----------
    stream : what to stream; an empty ``bus`` stands for sockets that are private to this run
    record_into : folder in which every session gets a folder; None = nothing is recorded
    panel : where the page listens; None = no page
    window : also show the overlay in a window
    """

    stream: StreamOptions
    record_into: Path | None
    panel: PanelConfig | None
    window: bool = False


@dataclass(slots=True, kw_only=True)
class LiveReport:
    """What happened.

    Attributes
    ----------
    sessions : ids in order; more than one where the stream had to be replaced
    folders : what was recorded
    restarts : name of a process → how often it was replaced
    summary : of the last session
    problems : lines that processes ended with
    """

    sessions: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    restarts: dict[str, int] = field(default_factory=dict)
    summary: dict[str, Any] | None = None
    problems: list[str] = field(default_factory=list)


class _Post:
    """One row of the table: a process that is kept running.

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
        self.over = False  # it ended by itself, as it may
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
        if self._keep_spare:
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

    def end(self) -> None:
        """End it and its spare."""
        for child in (self._spare, self.child):
            if child is not None:
                child.end()
        self._spare = self.child = None


class _Session:
    """The session that runs now: every stream that is started is another."""

    def __init__(self, options: LiveOptions, bus: str, report: LiveReport) -> None:
        self._options, self._bus, self._report = options, bus, report
        self._id = ""
        self._folders = 0

    def stream(self) -> dict[str, Any]:
        """Options of a new stream."""
        self._id, self._folders = new_session_id(), 0
        self._report.sessions.append(self._id)
        stream = dataclasses.replace(self._options.stream, bus=self._bus, session_id=self._id)
        return dataclasses.asdict(stream) | {"archives": int(self._options.record_into is not None)}

    def record(self) -> dict[str, Any]:
        """Options of a new recorder: each has a folder of its own."""
        assert self._options.record_into is not None
        self._folders += 1
        name = self._id if self._folders == 1 else f"{self._id}-{self._folders}"
        self._report.folders.append(str(self._options.record_into / name))
        return {"address": self._bus, "folder": self._report.folders[-1]}


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
        If a process cannot be started the first time: then the command, not the signal, is wrong.
    """
    report = LiveReport()
    say = on_event or (lambda line: None)
    with ExitStack() as stack:
        bus = options.stream.bus or stack.enter_context(private_bus())
        session = _Session(options, bus, report)
        posts = stack.enter_context(_posts(options, bus, session))
        url = _begin_all(posts)
        if on_ready is not None:
            on_ready(url)
        while not stop.wait(_LOOK_EVERY_S):
            posts["stream"].hear()
            _look_after(posts, report, say)
            if posts["stream"].summary is not None:  # the source has given all it was asked for
                break
        report.summary = posts["stream"].summary
        _end_in_order(posts, report)
    return report


@contextmanager
def _posts(options: LiveOptions, bus: str, session: _Session) -> Iterator[dict[str, _Post]]:
    posts: dict[str, _Post] = {}
    try:
        posts["stream"] = _Post("stream", session.stream, spare=True)
        if options.record_into is not None:
            posts["record"] = _Post("record", session.record, spare=True)
        if options.panel is not None:
            panel = dataclasses.asdict(options.panel)
            posts["panel"] = _Post("panel", lambda: {"address": bus, "panel": panel}, spare=False)
        if options.window:
            posts["overlay"] = _Post("overlay", lambda: {"address": bus}, spare=False)
        yield posts
    finally:
        for post in posts.values():
            post.end()


def _begin_all(posts: dict[str, _Post]) -> str:
    """Start everything for the first time; gives the address of the page."""
    url = ""
    for post in posts.values():  # the stream first: it names the session
        post.begin()
    for post in posts.values():
        assert post.child is not None
        said = post.child.wait_for("ready", timeout_s=_READY_S)
        url = said.get("url", url)
    return url


def _look_after(posts: dict[str, _Post], report: LiveReport, say: Callable[[str], None]) -> None:
    for post in posts.values():
        if not post.died():
            continue
        if post.over:
            say(f"the {post.name} has ended")
            continue
        report.restarts[post.name] = report.restarts.get(post.name, 0) + 1
        why = f": {post.problem}" if post.problem else ""
        report.problems.append(f"{post.name}{why}")
        say(f"the process {post.name} has died{why}; it is started again")
        if post.name == "stream" and "record" in posts:
            _close_recording(posts["record"])
    for post in posts.values():
        if post.due and not (post.name == "record" and posts["stream"].child is None):
            try:
                post.begin()
            except UsAssistError as error:
                logger.warning("%s", error)


def _close_recording(record: _Post) -> None:
    """What was recorded of a stream that has died is closed; the next stream gets another recorder."""
    child, record.child = record.child, None
    if child is not None:
        child.end()


def _end_in_order(posts: dict[str, _Post], report: LiveReport) -> None:
    """The stream says its last word, the recorder writes it down, then everything goes."""
    stream, record = posts["stream"].child, posts["record"].child if "record" in posts else None
    try:
        if stream is not None and stream.alive and report.summary is None:
            stream.ask_to_end()
            wanted = "ended" if record is not None else "done"
            report.summary = stream.wait_for(wanted, timeout_s=_FINISH_S)["summary"]
        if record is not None and record.alive:
            record.wait_for("done", timeout_s=_FINISH_S)
    except UsAssistError as error:
        report.problems.append(str(error))
