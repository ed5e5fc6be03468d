"""The main job: a clip through the live path, with recorder and overlay, into a folder.

The stream runs in a process of its own, as in a live session: one that hangs, even in code that holds the interpreter
lock, is detected and killed, and what was recorded before is closed and readable.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from usassist.app.runtime.child_process import ChildProcess
from usassist.app.runtime.open_stream import StreamOptions
from usassist.app.runtime.private_bus import private_bus
from usassist.app.runtime.recording_facts import recording_facts
from usassist.app.runtime.supervised_process import POLL_S, PollClock
from usassist.bus import SessionState
from usassist.common.private_files import write_atomic
from usassist.common.signals import stop_on_signal
from usassist.config import OpenIgtLinkConfig, OverlayConfig, RecordConfig
from usassist.errors import SessionError, UsAssistError
from usassist.records import ResultState, SourceInfo
from usassist.sinks.files import SESSION_FILES, prepare_folder
from usassist.sinks.openigtlink import check_port

__all__ = ["Progress", "ReplayOutcome", "replay"]

logger = logging.getLogger(__name__)

_READY_S = 60.0
_FINISH_S = 120.0


class Progress(Protocol):
    """Receives the progress of a replay."""

    def building(self, stage: str, share: float) -> None:
        """A plan is being built, before anything is open; `share` is 0 to 1."""
        ...

    def opened(self, info: SourceInfo) -> None:
        """Source and engine are open."""
        ...

    def answered(self, results: int, findings: int) -> None:
        """Frames with a result so far, and results with a finding."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayOutcome:
    """What came of a replay.

    Attributes
    ----------
    summary : content of ``summary.json``
    files : what was written, name → path
    error : one line, when something failed; what was recorded before is readable
    exit_code : 0, 1, or 130 when the user stopped it
    """

    summary: dict[str, Any]
    files: dict[str, str]
    error: str | None
    exit_code: int


def replay(
    options: StreamOptions,
    folder: Path,
    *,
    overlay_video: Path | bool,
    window: OverlayConfig | None,
    progress: Progress,
    openigtlink: OpenIgtLinkConfig | None = None,
    record: RecordConfig | None = None,
    results_only: bool = False,
    times: bool = False,
) -> ReplayOutcome:
    """Run a source through the live path, and record everything.

    Parameters
    ----------
    options : what to stream; with an empty ``bus`` over sockets that are private to this run
    folder : session folder, empty or new
    overlay_video : also write ``overlay.mkv``, or this file
    window : also show the overlay in a window; None = do not
    progress : receives the progress
    openigtlink : also send images and outlines to OpenIGTLink clients; None = do not
    record : how the recording is made; None = the default settings
    results_only : write ``results.jsonl`` and ``summary.json``, and no session
    times : of `results_only`: also write ``times.jsonl``, when each frame is shown in its clip

    Raises
    ------
    UsAssistError
        If it cannot start; no files remain in the folder then.
    """
    existed, record = folder.exists(), record or RecordConfig()
    if openigtlink is not None:
        check_port(openigtlink)
    prepare_folder(folder)
    ours = False  # True once the recorder has made the files, each as a new file: they may be removed then
    recorder = "results" if results_only else "record"
    names = [recorder, *(["overlay_video"] if overlay_video else [])]
    with contextlib.ExitStack() as stack:
        try:
            stop = stack.enter_context(stop_on_signal())
            children = {name: stack.enter_context(ChildProcess(name)) for name in names}
            screen = stack.enter_context(ChildProcess("overlay")) if window is not None else None
            link = stack.enter_context(ChildProcess("openigtlink")) if openigtlink is not None else None
            child = stack.enter_context(ChildProcess("stream"))
            stack.callback(_release_all, [*children.values(), child])
            if not options.bus:
                options = dataclasses.replace(options, bus=stack.enter_context(private_bus()))
            stream = _StreamProcess(child, options, stop, progress)
            stream.start(archives=len(children), pixels=len(children) - int(results_only and not times))
            stream.wait_until_ready()
            children[recorder].start(
                {"address": options.bus, "folder": str(folder), "times": times}
                if results_only
                else {
                    "address": options.bus,
                    "folder": str(folder),
                    "facts": recording_facts(options),
                    "record": dataclasses.asdict(record),
                }
            )
            if overlay_video:
                path = overlay_video if isinstance(overlay_video, Path) else folder / "overlay.mkv"
                overlay = {"path": str(path), "cover_text": record.cover_text}
                children["overlay_video"].start({"address": options.bus} | overlay)
            for name, reader in children.items():
                reader.wait_for("ready", timeout_s=_READY_S)
                ours = ours or name == recorder
            if screen is not None and window is not None:
                screen.start({"address": options.bus, "overlay": dataclasses.asdict(window)})
            if link is not None and openigtlink is not None:
                link.start({"address": options.bus, "openigtlink": dataclasses.asdict(openigtlink)})
        except BaseException:  # Ctrl-C as well: no half-made files remain
            stack.close()
            _remove_files(folder, existed=existed, ours=ours)
            raise
        error = stream.follow([*children.values()])
        counts: dict[str, Any] = {}
        for name, reader in children.items():
            try:
                counts[name] = reader.wait_for("done", timeout_s=_FINISH_S)
            except UsAssistError as failure:
                error = error if error is not None and stream.summary is not None else str(failure)
                counts[name] = {"error": str(failure)}
    if stream.summary is None:  # it failed before its first frame
        _remove_files(folder, existed=existed, ours=ours)
        raise SessionError(error or "the stream exited before its first frame; run usassist doctor")
    summary = stream.summary | {"recorded": counts[recorder], "overlay_video": counts.get("overlay_video")}
    if error is not None:
        summary["error"] = error
    try:
        write_atomic(folder / "summary.json", json.dumps(summary, indent=2).encode("utf-8") + b"\n")
    except OSError as failure:
        error = error or f"summary.json cannot be written: {failure.strerror}; free some space"
    files = {path.name: str(path) for path in sorted(folder.iterdir())}
    interrupted = summary["state"] == SessionState.INTERRUPTED
    return ReplayOutcome(
        summary=summary, files=files, error=error, exit_code=1 if error is not None else 130 if interrupted else 0
    )


class _StreamProcess:
    """The process of the stream, and what it has reported.

    Attributes
    ----------
    summary : the newest; None before the first frame
    """

    def __init__(self, child: ChildProcess, options: StreamOptions, stop: threading.Event, progress: Progress) -> None:
        self.summary: dict[str, Any] | None = None
        self._child, self._options, self._stop, self._progress = child, options, stop, progress
        self._ready = self._ended = False

    def start(self, *, archives: int, pixels: int) -> None:
        """Start it."""
        more = {"archives": archives, "pixels": pixels, "archives_s": _FINISH_S, "progress": True}
        self._child.start(dataclasses.asdict(self._options) | more)

    def wait_until_ready(self) -> None:
        """Wait until source and engine are open.

        Raises
        ------
        KeyboardInterrupt
            If the user stops it before.
        UsAssistError
            If they cannot be opened.
        """
        clock = PollClock(self._stop)
        while not self._ready:
            self._read_report(clock)
            if self._stop.is_set():
                raise KeyboardInterrupt

    def follow(self, readers: list[ChildProcess]) -> str | None:
        """Follow it until it ends.

        Parameters
        ----------
        readers : the recorders; where one exits before the first frame, the stream is stopped

        Returns
        -------
        error : one line, when it failed
        """
        clock, asked = PollClock(self._stop), False
        try:
            while not self._ended:
                self._read_report(clock)
                dead = self.summary is None and not all(reader.alive for reader in readers)
                if (self._stop.is_set() or dead) and not asked:
                    asked = True
                    self._child.terminate()
        except UsAssistError as error:
            for reader in readers:  # they wait for a final message that will not come
                reader.terminate()
            if self.summary is not None:
                self.summary |= {"state": str(SessionState.FAILED), "reason": str(error)}
            return str(error)
        assert self.summary is not None  # comes with the report that it has ended
        return str(self.summary["reason"]) if self.summary["state"] == SessionState.FAILED else None

    def _read_report(self, clock: PollClock) -> None:
        """Read the next report, if one comes soon."""
        report = self._child.next_report(POLL_S)
        hung = self._child.hang_reason(clock.elapsed_s())
        if hung:
            self._child.kill()
            raise UsAssistError(f"the stream was killed: {hung}; what was recorded before is readable")
        if report is None:
            return
        content = report.content
        if report.event == "building":
            self._progress.building(content["stage"], content["share"])
        elif report.event == "opened":
            self._progress.opened(SourceInfo(**content["info"]))
        elif report.event in ("progress", "ended"):
            self.summary = content["summary"]
            states = content["summary"]["results_by_state"]
            self._progress.answered(sum(states.values()), states[ResultState.FINDING])
        elif report.event in ("error", "gone"):
            error = UsAssistError(content.get("message", "the process of the stream has died; run usassist doctor"))
            error.exit_code = content.get("exit_code", 1)
            raise error
        self._ready = self._ready or report.event == "ready"
        self._ended = report.event == "ended"


def _release_all(children: list[ChildProcess]) -> None:
    """Release all before the first is waited for, so that they exit at the same time."""
    for child in children:
        child.release()


def _remove_files(folder: Path, *, existed: bool, ours: bool) -> None:
    """Remove the files of this run, and the folder where this run made it and it is empty."""
    for name in SESSION_FILES if ours else ():
        (folder / name).unlink(missing_ok=True)
    if not existed:
        with contextlib.suppress(OSError):
            folder.rmdir()
