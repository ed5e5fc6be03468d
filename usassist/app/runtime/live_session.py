"""``usassist live``: start the processes of a live session, supervise them, and stop them in order.

Stream, recorder, page and window are processes of their own. One that exits or hangs is restarted at once, stream and
recorder from a warm standby; the others go on. A restarted stream is a new session, and gets a new recorder with a new
folder: what was recorded before is closed and readable. A recorder that reports why it stops, as on a full disk, is not
restarted: the stream goes on without one, and recording does not resume automatically. Nothing waits for the page.
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

from usassist.app.runtime.child_process import ChildProcess, ChildTimeoutError
from usassist.app.runtime.open_stream import StreamOptions, new_session_id
from usassist.app.runtime.private_bus import private_bus
from usassist.app.runtime.recording_facts import recording_facts
from usassist.app.runtime.supervised_process import POLL_S, PollClock, SupervisedProcess
from usassist.config import OverlayConfig, PanelConfig, RecordConfig
from usassist.errors import UsAssistError
from usassist.session import read_manifest
from usassist.sinks.disk_sync import mebibytes
from usassist.sinks.panel import check_panel, page_options

__all__ = ["LiveOptions", "LiveReport", "run_live"]

logger = logging.getLogger(__name__)

_FINISH_S = 20.0
_PAGE_LATE_S = 10.0
_MAX_PROBLEMS = 100
_LOG_SIZE_EVERY_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveOptions:
    """What runs in a live session.

    Attributes
    ----------
    stream : what to stream; with an empty ``bus`` over sockets that are private to this run
    record_into : folder in which every session gets a folder; None = no recording
    panel : where the page listens; None = no page
    window : also show the overlay in a window; None = do not
    record : how recordings are made
    memory_limit_mb : a process with more resident memory is killed and restarted, MiB; 0 = half of this machine's
    """

    stream: StreamOptions
    record_into: Path | None
    panel: PanelConfig | None
    window: OverlayConfig | None = None
    record: RecordConfig = field(default_factory=RecordConfig)
    memory_limit_mb: int = 0


@dataclass(slots=True, kw_only=True)
class LiveReport:
    """What came of a live session.

    Attributes
    ----------
    sessions : ids in order; more than one where the stream was restarted
    folders : of the recordings
    recorded_bytes : size of their files
    messages_lost : that never reached a recorder, frames or others
    recording_stopped : why recording stopped before the session did; empty where it did not
    restarts : name of a process → how often it was restarted
    summary : of the last session
    problems : why processes failed, one line each
    """

    sessions: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    recorded_bytes: int = 0
    messages_lost: int = 0
    recording_stopped: str = ""
    restarts: dict[str, int] = field(default_factory=dict)
    summary: dict[str, Any] | None = None
    problems: list[str] = field(default_factory=list)


class _CurrentSession:
    """The running session, from which child processes get their options; every stream that starts begins a new one."""

    def __init__(self, options: LiveOptions, bus: str, report: LiveReport) -> None:
        self._options, self._bus, self._report = options, bus, report
        self._id = ""
        self._folders = 0
        self._next_log_s = 0.0
        self._facts: dict[str, Any] | None = None

    def stream_options(self) -> dict[str, Any]:
        """Options of a new stream."""
        self._id, self._folders = new_session_id(), 0
        self._report.sessions.append(self._id)
        stream = dataclasses.replace(self._options.stream, bus=self._bus, session_id=self._id)
        return dataclasses.asdict(stream) | {"archives": int(self._records)}

    def recorder_options(self) -> dict[str, Any]:
        """Options of a new recorder, with a folder of its own."""
        assert self._options.record_into is not None
        if self._facts is None:  # here, while the stream opens
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

    def log_size(self, *, at_end: bool = False) -> None:
        """Log now and then how much is recorded."""
        if not self._report.folders or (time.monotonic() < self._next_log_s and not at_end):
            return
        self._next_log_s = time.monotonic() + _LOG_SIZE_EVERY_S
        if at_end:  # a recorder that found the disk full has made none
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
    on_event : called with one line for every process that fails or is restarted

    Raises
    ------
    UsAssistError
        If stream, recorder or window cannot be started the first time, or the page could not listen where it should:
        then the command is wrong. The stream does not depend on the page afterwards.
    KeyboardInterrupt
        If it is stopped before the stream runs. No files remain then.
    """
    report = LiveReport()
    log = on_event or (lambda line: None)
    if options.panel is not None:
        check_panel(options.panel)
    with ExitStack() as stack:
        stack.callback(_remove_empty, report)
        bus = options.stream.bus or stack.enter_context(private_bus())
        session = _CurrentSession(options, bus, report)
        processes = stack.enter_context(_supervised(options, bus, session))
        clock, page = PollClock(stop), _PageAnnouncement(processes, on_ready, log)
        _start_all(processes, clock)
        for elapsed_s in clock:
            page.poll()
            for process in processes.values():
                process.poll(elapsed_s)
            _restart_failed(processes, report, log)
            session.log_size()
            if processes["stream"].summary is not None:  # the source has delivered all frames that were asked for
                break
        report.summary = processes["stream"].summary
        _shut_down(processes, report)
        session.log_size(at_end=True)
    return report


class _PageAnnouncement:
    """Calls ``on_ready`` once, when the page is up or there is none."""

    def __init__(
        self,
        processes: dict[str, SupervisedProcess],
        on_ready: Callable[[str], None] | None,
        log: Callable[[str], None],
    ) -> None:
        self._page = processes.get("panel")
        self._on_ready, self._log = on_ready, log
        self._late_s = time.monotonic() + _PAGE_LATE_S

    def poll(self) -> None:
        """Check whether the page is up."""
        if self._on_ready is not None and (self._page is None or self._page.ready is not None):
            self._on_ready("" if self._page is None or self._page.ready is None else self._page.ready["url"])
            self._on_ready = None
        elif self._on_ready is not None and time.monotonic() > self._late_s:
            self._late_s = math.inf
            self._log("the stream runs; the page is still starting")


@contextmanager
def _supervised(options: LiveOptions, bus: str, session: _CurrentSession) -> Iterator[dict[str, SupervisedProcess]]:
    processes: dict[str, SupervisedProcess] = {}
    try:

        def supervise(name: str, make_options: Callable[[], dict[str, Any]], *, standby: bool) -> None:
            limit_mb = options.memory_limit_mb
            processes[name] = SupervisedProcess(name, make_options, standby=standby, memory_limit_mb=limit_mb)

        supervise("stream", session.stream_options, standby=True)
        if options.record_into is not None:
            supervise("record", session.recorder_options, standby=True)
        if options.panel is not None:
            page = page_options(bus, options.panel)
            supervise("panel", lambda: page, standby=False)
        if options.window is not None:
            window = {"address": bus, "overlay": dataclasses.asdict(options.window)}
            supervise("overlay", lambda: window, standby=False)
        yield processes
    finally:
        for process in processes.values():  # all first, so that they exit at the same time
            process.release()
        for process in processes.values():
            process.stop()


def _start_all(processes: dict[str, SupervisedProcess], clock: PollClock) -> None:
    """Start everything for the first time, and wait for all but the page."""
    for process in processes.values():  # the stream first: it names the session
        process.start()
    needed = [process for process in processes.values() if process.name != "panel"]
    for elapsed_s in clock:
        for process in processes.values():
            process.poll(elapsed_s)
        for process in needed:
            process.raise_if_failed()
        if all(process.ready is not None or process.finished for process in needed):
            return
    raise KeyboardInterrupt


def _restart_failed(processes: dict[str, SupervisedProcess], report: LiveReport, log: Callable[[str], None]) -> None:
    for process in processes.values():
        if not process.reap():
            continue
        if process.name == "record" and process.error_reported:  # a new recorder would fail alike
            process.stop_restarting()
            report.recording_stopped = process.problem
            report.problems.append(f"record: {process.problem}")
            log(f"recording has stopped, the stream goes on: {process.problem}")
            continue
        if process.finished:
            log(f"the process {process.name} has finished")
            continue
        report.restarts[process.name] = report.restarts.get(process.name, 0) + 1
        how = "was killed" if process.killed else "has died"
        why = f": {process.problem}" if process.problem else ""
        if len(report.problems) < _MAX_PROBLEMS:
            report.problems.append(f"{process.name}{why}")
        log(f"the process {process.name} {how}{why}; it is restarted")
        if process.name == "stream" and "record" in processes:
            _close_recording(processes["record"])
    for process in processes.values():
        process.start_standby()
        if process.restart_due and not (process.name == "record" and processes["stream"].child is None):
            process.start()


def _close_recording(record: SupervisedProcess) -> None:
    """Let the recorder of a stream that has died close its files; the next stream gets a new recorder.

    It runs in a thread while the next stream starts; a recorder that takes longer than a few seconds is killed.
    """
    child, record.child = record.child, None
    if child is not None:
        threading.Thread(target=child.stop, name="close-recording").start()


def _shut_down(processes: dict[str, SupervisedProcess], report: LiveReport) -> None:
    """The stream publishes its final session message, the recorder writes it, then all processes stop."""
    stream, record = processes["stream"], processes.get("record")
    try:
        if stream.child is not None and stream.child.alive and report.summary is None:
            stream.child.terminate()
            # A stream with recorders reports "ended" and waits for them, one without reports "done".
            report.summary = _wait_for(stream.child, "ended", "done")["summary"]
        if record is not None and record.child is not None and record.child.alive:
            _wait_for(record.child, "done")
    except UsAssistError as error:
        report.problems.append(str(error))


def _wait_for(child: ChildProcess, *events: str) -> dict[str, Any]:
    """Wait for the final report of a child; kill it where it hangs."""
    clock = PollClock(threading.Event())
    deadline_s = time.monotonic() + _FINISH_S
    while time.monotonic() < deadline_s and not (reason := child.hang_reason(clock.elapsed_s())):
        try:
            return child.wait_for(*events, timeout_s=POLL_S)
        except ChildTimeoutError:
            continue
    child.kill()
    raise UsAssistError(
        f"the process {child.name} was killed at the end: {reason or f'it took more than {_FINISH_S:.0f} s'}"
    )


def _lost(folder: Path) -> int:
    """Messages that never reached the recorder of a session, by its manifest; 0 where it could not write them."""
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
    """Remove recordings without a frame; their recorders have exited."""
    for folder in map(Path, report.folders):
        frames = folder / "frames.jsonl"
        if report.summary is None and frames.exists() and not frames.stat().st_size:
            shutil.rmtree(folder, ignore_errors=True)
