"""``usassist live``: start the processes of a live session, supervise them, and stop them in order.

Stream, recorder, page and window are processes of their own. One that exits or hangs is restarted at once, stream and
recorder from a warm standby; the others go on. A restarted stream is a new session, and gets a new recorder with a new
folder: what was recorded before is closed and readable. A recorder that reports why it stops, as on a full disk, is not
restarted: the stream goes on without one, and recording does not resume automatically. Nothing waits for the page, and
nothing that happens to it, or to the window, ends the session.
"""

from __future__ import annotations

import dataclasses
import math
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from usassist.app.runtime.current_session import CurrentSession, LiveReport
from usassist.app.runtime.live_controls import LiveControls
from usassist.app.runtime.offered import Offered
from usassist.app.runtime.open_stream import StreamOptions
from usassist.app.runtime.private_bus import private_bus
from usassist.app.runtime.recording_switch import RecordingSwitch, wait_for
from usassist.app.runtime.supervised_process import PollClock, SupervisedProcess
from usassist.config import OpenIgtLinkConfig, OverlayConfig, PanelConfig, RecordConfig
from usassist.errors import UsAssistError
from usassist.sinks.openigtlink import check_port
from usassist.sinks.panel import check_panel, page_options

__all__ = ["LiveOptions", "LiveReport", "run_live"]

_PAGE_LATE_S = 10.0
_PAGE_SETTLED_S = 60.0
_MAX_PROBLEMS = 100
_TOLD = 4  # failures in a row


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveOptions:
    """What runs in a live session.

    Attributes
    ----------
    stream : what to stream; with an empty ``bus`` over sockets that are private to this run
    record_into : folder in which every recording gets a folder; None = nothing can be recorded
    panel : where the page listens; None = no page
    record_at_start : record from the beginning; else a recording begins when somebody asks for it
    record_refusal : why nothing can be recorded, where that is so
    sources : addresses that may be changed to, beside the one of `stream` and the frame grabbers of this machine
    window : also show the overlay in a window; None = do not
    openigtlink : also send images and outlines to OpenIGTLink clients; None = do not
    record : how recordings are made
    memory_limit_mb : a process with more resident memory is killed and restarted, MiB; 0 = half of this machine's
    """

    stream: StreamOptions
    record_into: Path | None
    panel: PanelConfig | None
    record_at_start: bool = True
    record_refusal: str = ""
    sources: tuple[str, ...] = ()
    window: OverlayConfig | None = None
    openigtlink: OpenIgtLinkConfig | None = None
    record: RecordConfig = field(default_factory=RecordConfig)
    memory_limit_mb: int = 0


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
        If stream or recorder cannot be started the first time, or the page could not listen where it should: then the
        command is wrong. Neither depends on page and window.
    KeyboardInterrupt
        If it is stopped before the stream runs. No files remain then.
    """
    report = LiveReport()
    log = on_event or (lambda line: None)
    if options.panel is not None:
        check_panel(options.panel)
    if options.openigtlink is not None:
        check_port(options.openigtlink)
    with ExitStack() as stack:
        stack.callback(_remove_empty, report)
        bus = options.stream.bus or stack.enter_context(private_bus())
        records = options.record_into is not None and options.record_at_start
        session = CurrentSession(
            options.stream,
            bus,
            record_into=options.record_into,
            records=records,
            record=options.record,
            report=report,
        )
        offered = Offered(options.stream, options.sources)
        processes, switch = stack.enter_context(_supervised(options, bus, session, offered, report))
        controls = LiveControls(processes["stream"], switch, offered, session, report, log)
        clock, viewers = PollClock(stop), _Viewers(processes, on_ready, log)
        _start_all(processes, clock)
        for elapsed_s in clock:
            viewers.poll()
            for process in processes.values():
                process.poll(elapsed_s)
            controls.poll()
            _restart_failed(processes, switch, report, log)
            if viewers.is_settled:  # earlier they would delay the first picture on a busy machine
                for process in processes.values():
                    process.start_standby()
            session.log_size()
            if processes["stream"].summary is not None:  # the source has delivered all frames that were asked for
                break
        report.summary = processes["stream"].summary
        _shut_down(processes, report)
        switch.join()
        session.log_size(at_end=True)
    return report


class _Viewers:
    """Calls ``on_ready`` once, when the page is up or there is none, and tells which viewers start slowly."""

    def __init__(
        self,
        processes: dict[str, SupervisedProcess],
        on_ready: Callable[[str], None] | None,
        log: Callable[[str], None],
    ) -> None:
        self._page = processes.get("panel")
        self._starting = {
            words: processes[name] for name, words in (("panel", "page"), ("overlay", "window")) if name in processes
        }
        self._on_ready, self._log = on_ready, log
        self._late_s = time.monotonic() + _PAGE_LATE_S
        self._settled_s = time.monotonic() + _PAGE_SETTLED_S

    @property
    def is_settled(self) -> bool:
        """The page is up, there is none, or it takes so long that nothing waits for it any longer."""
        return self._page is None or self._page.is_ready or time.monotonic() > self._settled_s

    def poll(self) -> None:
        """Check whether the page is up."""
        if self._on_ready is not None and (self._page is None or self._page.ready is not None):
            self._on_ready("" if self._page is None or self._page.ready is None else self._page.ready["url"])
            self._on_ready = None
        if time.monotonic() > self._late_s:
            self._late_s = math.inf
            for words, process in self._starting.items():
                if process.ready is None and not process.finished:
                    self._log(f"the stream runs; the {words} is still starting")


@contextmanager
def _supervised(
    options: LiveOptions, bus: str, session: CurrentSession, offered: Offered, report: LiveReport
) -> Iterator[tuple[dict[str, SupervisedProcess], RecordingSwitch]]:
    processes: dict[str, SupervisedProcess] = {}
    try:

        def supervise(
            name: str, make_options: Callable[[], dict[str, Any]], *, standby: bool, idle: bool = False
        ) -> None:
            limit_mb = options.memory_limit_mb
            processes[name] = SupervisedProcess(
                name, make_options, standby=standby, memory_limit_mb=limit_mb, idle=idle
            )

        supervise("stream", session.stream_options, standby=True)
        if options.record_into is not None:
            supervise(
                "record",
                lambda: session.recorder_options(on_request=switch.on_request),
                standby=session.records,
                idle=not session.records,
            )
        switch = RecordingSwitch(processes.get("record"), session, report, options.record_refusal)
        if options.panel is not None:
            page = page_options(bus, options.panel)
            supervise(
                "panel",
                lambda: page | {"choices": dataclasses.asdict(offered.choices(session.stream))},
                standby=False,
            )
        if options.window is not None:
            window = {"address": bus, "overlay": dataclasses.asdict(options.window)}
            supervise("overlay", lambda: window, standby=False)
        if options.openigtlink is not None:
            link = {"address": bus, "openigtlink": dataclasses.asdict(options.openigtlink)}
            supervise("openigtlink", lambda: link, standby=False)
        yield processes, switch
    finally:
        for process in processes.values():  # all first, so that they exit at the same time
            process.release()
        for process in processes.values():
            process.stop()


def _start_all(processes: dict[str, SupervisedProcess], clock: PollClock) -> None:
    """Start everything for the first time, and wait for stream and recorder."""
    for process in processes.values():  # the stream first: it names the session
        if not process.finished:
            process.start()
    needed = [process for process in processes.values() if process.name in ("stream", "record")]
    for elapsed_s in clock:
        for process in processes.values():
            process.poll(elapsed_s)
        for process in needed:
            process.raise_if_failed()
        if all(process.ready is not None or process.finished for process in needed):
            return
    raise KeyboardInterrupt


def _restart_failed(
    processes: dict[str, SupervisedProcess], switch: RecordingSwitch, report: LiveReport, log: Callable[[str], None]
) -> None:
    for process in processes.values():
        if not process.reap():
            continue
        if process.name == "record" and process.error_reported:  # a new recorder would fail alike
            process.stop_restarting()
            report.recording_stopped = process.problem
            report.problems.append(f"record: {process.problem}")
            log(f"recording has stopped, the stream goes on: {process.problem}")
            continue
        if process.name == "record" and switch.is_ending:
            process.stop_restarting()
        if process.finished:
            if process.name == "overlay":  # by its user, so it stays closed
                log("the window was closed; the session goes on")
            elif process.name != "record":
                log(f"the process {process.name} has finished")
            continue
        report.restarts[process.name] = report.restarts.get(process.name, 0) + 1
        how = "was killed" if process.killed else "has died"
        why = f": {process.problem}" if process.problem else ""
        if len(report.problems) < _MAX_PROBLEMS:
            report.problems.append(f"{process.name}{why}")
        if process.failures <= _TOLD:
            more = ", again and again; it is not told any more" if process.failures == _TOLD else ""
            log(f"the process {process.name} {how}{why}; it is restarted{more}")
        if process.name == "stream":
            switch.close()
    for process in processes.values():
        if process.restart_due and not (process.name == "record" and processes["stream"].child is None):
            process.start()


def _shut_down(processes: dict[str, SupervisedProcess], report: LiveReport) -> None:
    """The stream publishes its final session message, the recorder writes it, then all processes stop."""
    stream, record = processes["stream"], processes.get("record")
    try:
        if stream.child is not None and stream.child.alive and report.summary is None:
            stream.child.terminate()
            # A stream with recorders reports "ended" and waits for them, one without reports "done".
            report.summary = wait_for(stream.child, "ended", "done")["summary"]
        if record is not None and record.child is not None and record.child.alive:
            wait_for(record.child, "done")
    except UsAssistError as error:
        report.problems.append(str(error))


def _remove_empty(report: LiveReport) -> None:
    """Remove recordings without a frame; their recorders have exited."""
    for folder in map(Path, report.folders):
        frames = folder / "frames.jsonl"
        if report.summary is None and frames.exists() and not frames.stat().st_size:
            shutil.rmtree(folder, ignore_errors=True)
