"""``usassist live``: start the processes of a live session, watch them, and end them in order.

The stream, the recorder, the page and the window are processes of their own. One that dies is replaced at once by one
that stands by, warm; the others go on. A stream that was replaced is a new session, and gets a new recorder with a new
folder: what was recorded before is closed and readable. A recorder that has said why it stops, as it does on a full
disk, is not replaced: the stream goes on without one, and nothing begins to record again by itself.
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

from usassist.app.facts import recording_facts
from usassist.app.posts import Post
from usassist.app.sockets import private_bus
from usassist.app.streaming import StreamOptions, new_session_id
from usassist.config import PanelConfig, RecordConfig
from usassist.errors import UsAssistError
from usassist.session import read_manifest
from usassist.sinks.keeper import mebibytes

__all__ = ["LiveOptions", "LiveReport", "run_live"]

logger = logging.getLogger(__name__)

_READY_S = 60.0
_FINISH_S = 20.0
_LOOK_EVERY_S = 0.1
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
    """

    stream: StreamOptions
    record_into: Path | None
    panel: PanelConfig | None
    window: bool = False
    record: RecordConfig = field(default_factory=RecordConfig)


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
            session.tell_size()
            if posts["stream"].summary is not None:  # the source has given all it was asked for
                break
        report.summary = posts["stream"].summary
        _end_in_order(posts, report)
        session.tell_size(at_end=True)
    return report


@contextmanager
def _posts(options: LiveOptions, bus: str, session: _Session) -> Iterator[dict[str, Post]]:
    posts: dict[str, Post] = {}
    try:
        posts["stream"] = Post("stream", session.stream, spare=True)
        if options.record_into is not None:
            posts["record"] = Post("record", session.record, spare=True)
        if options.panel is not None:
            panel = dataclasses.asdict(options.panel)
            posts["panel"] = Post("panel", lambda: {"address": bus, "panel": panel}, spare=False)
        if options.window:
            posts["overlay"] = Post("overlay", lambda: {"address": bus}, spare=False)
        yield posts
    finally:
        for post in posts.values():
            post.end()


def _begin_all(posts: dict[str, Post]) -> str:
    """Start everything for the first time; gives the address of the page."""
    url = ""
    for post in posts.values():  # the stream first: it names the session
        post.begin()
    for post in posts.values():
        assert post.child is not None
        said = post.child.wait_for("ready", timeout_s=_READY_S)
        url = said.get("url", url)
    return url


def _look_after(posts: dict[str, Post], report: LiveReport, say: Callable[[str], None]) -> None:
    for post in posts.values():
        if not post.died():
            continue
        if post.name == "record" and post.problem:  # it has said why: another one would fail alike
            post.give_up()
            report.recording_stopped = post.problem
            report.problems.append(f"record: {post.problem}")
            say(f"nothing more is recorded, and the stream goes on: {post.problem}")
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
        post.stand_by()
        if post.due and not (post.name == "record" and posts["stream"].child is None):
            try:
                post.begin()
            except UsAssistError as error:
                logger.warning("%s", error)


def _close_recording(record: Post) -> None:
    """What was recorded of a stream that has died is closed; the next stream gets another recorder."""
    child, record.child = record.child, None
    if child is not None:
        child.end()


def _end_in_order(posts: dict[str, Post], report: LiveReport) -> None:
    """The stream says its last word, the recorder writes it down, then everything goes."""
    stream, record = posts["stream"].child, posts["record"].child if "record" in posts else None
    try:
        if stream is not None and stream.alive and report.summary is None:
            stream.ask_to_end()
            # "ended" comes from one that waits for recorders, "done" from one that never had any.
            report.summary = stream.wait_for("ended", "done", timeout_s=_FINISH_S)["summary"]
        if record is not None and record.alive:
            record.wait_for("done", timeout_s=_FINISH_S)
    except UsAssistError as error:
        report.problems.append(str(error))


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
