"""The main job: a clip through the live path, with recorder and overlay, into a folder.

The stream runs in a process of its own, as it does live: one that hangs, even in code that lets no other thread work,
is found and ended, and what was recorded before is closed and readable.
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

from usassist.app.runtime.child_process import Child
from usassist.app.runtime.open_stream import StreamOptions
from usassist.app.runtime.private_bus import private_bus
from usassist.app.runtime.recording_facts import recording_facts
from usassist.app.runtime.supervised_process import LOOK_EVERY_S, Ticks
from usassist.bus import SessionState
from usassist.common.private_files import write_atomic
from usassist.common.signals import stop_on_signal
from usassist.config import RecordConfig
from usassist.errors import SessionError, UsAssistError
from usassist.records import ResultState, SourceInfo
from usassist.sinks.files import SESSION_FILES, prepare_folder

__all__ = ["Outcome", "Progress", "replay"]

logger = logging.getLogger(__name__)

_READY_S = 60.0
_FINISH_S = 120.0


class Progress(Protocol):
    """What is told while a replay runs."""

    def building(self, stage: str, share: float) -> None:
        """A plan is being built, before anything is open; 0 to 1 of it is done."""
        ...

    def opened(self, info: SourceInfo) -> None:
        """Source and engine are open."""
        ...

    def answered(self, results: int, findings: int) -> None:
        """So many frames have their result by now, and so many of these are findings."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a replay went.

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
    overlay_video: bool,
    window: bool,
    progress: Progress,
    record: RecordConfig | None = None,
    results_only: bool = False,
) -> Outcome:
    """Run a source through the live path and keep everything.

    Parameters
    ----------
    options : what to stream; an empty ``bus`` stands for sockets that are private to this run
    folder : session folder, empty or new
    overlay_video : also write ``overlay.mkv``
    window : also show the overlay in a window
    progress : is told
    record : how the recording is made; None = as it is without settings
    results_only : write ``results.jsonl`` and ``summary.json``, and no session

    Raises
    ------
    UsAssistError
        If it cannot begin; nothing is left behind in the folder then.
    """
    existed, record = folder.exists(), record or RecordConfig()
    prepare_folder(folder)
    ours = False  # files in the folder are this run's once its recorder has made them, each as a new file
    keeper = "results" if results_only else "record"
    names = [keeper, *(["overlay_video"] if overlay_video else [])]
    with contextlib.ExitStack() as stack:
        try:
            stop = stack.enter_context(stop_on_signal())
            children = {name: stack.enter_context(Child(name)) for name in names}
            screen = stack.enter_context(Child("overlay")) if window else None
            child = stack.enter_context(Child("stream"))
            stack.callback(_leave_all, [*children.values(), child])
            if not options.bus:
                options = dataclasses.replace(options, bus=stack.enter_context(private_bus()))
            stream = _Stream(child, options, stop, progress)
            stream.begin(archives=len(children), pixels=len(children) - int(results_only))
            stream.wait_until_ready()
            children[keeper].begin(
                {"address": options.bus, "folder": str(folder)}
                if results_only
                else {
                    "address": options.bus,
                    "folder": str(folder),
                    "facts": recording_facts(options),
                    "record": dataclasses.asdict(record),
                }
            )
            if overlay_video:
                overlay = {"path": str(folder / "overlay.mkv"), "cover_text": record.cover_text}
                children["overlay_video"].begin({"address": options.bus} | overlay)
            for name, reader in children.items():
                reader.wait_for("ready", timeout_s=_READY_S)
                ours = ours or name == keeper
            if screen is not None:
                screen.begin({"address": options.bus})
        except BaseException:  # Ctrl-C as well: nothing half-begun stays
            stack.close()
            _leave_nothing(folder, existed=existed, ours=ours)
            raise
        error = stream.follow([*children.values()])
        counts: dict[str, Any] = {}
        for name, reader in children.items():
            try:
                counts[name] = reader.wait_for("done", timeout_s=_FINISH_S)
            except UsAssistError as failure:
                error = error if error is not None and stream.summary is not None else str(failure)
                counts[name] = {"error": str(failure)}
    if stream.summary is None:  # it broke before its first frame
        _leave_nothing(folder, existed=existed, ours=ours)
        raise SessionError(error or "the stream ended before it began; run usassist doctor")
    summary = stream.summary | {"recorded": counts[keeper], "overlay_video": counts.get("overlay_video")}
    if error is not None:
        summary["error"] = error
    try:
        write_atomic(folder / "summary.json", json.dumps(summary, indent=2).encode("utf-8") + b"\n")
    except OSError as failure:
        error = error or f"summary.json cannot be written: {failure.strerror}; free some space"
    files = {path.name: str(path) for path in sorted(folder.iterdir())}
    interrupted = summary["state"] == SessionState.INTERRUPTED
    return Outcome(
        summary=summary, files=files, error=error, exit_code=1 if error is not None else 130 if interrupted else 0
    )


class _Stream:
    """The process that streams, and what it has reported.

    Attributes
    ----------
    summary : the newest; None before the first frame
    """

    def __init__(self, child: Child, options: StreamOptions, stop: threading.Event, progress: Progress) -> None:
        self.summary: dict[str, Any] | None = None
        self._child, self._options, self._stop, self._progress = child, options, stop, progress
        self._ready = self._ended = False

    def begin(self, *, archives: int, pixels: int) -> None:
        """Start it."""
        more = {"archives": archives, "pixels": pixels, "archives_s": _FINISH_S, "progress": True}
        self._child.begin(dataclasses.asdict(self._options) | more)

    def wait_until_ready(self) -> None:
        """Wait until source and engine are open.

        Raises
        ------
        KeyboardInterrupt
            If somebody stops it before.
        UsAssistError
            If they cannot be opened.
        """
        ticks = Ticks(self._stop)
        while not self._ready:
            self._take(ticks)
            if self._stop.is_set():
                raise KeyboardInterrupt

    def follow(self, readers: list[Child]) -> str | None:
        """Wait for its end.

        Parameters
        ----------
        readers : that record; where one dies before it listens, the stream does not begin

        Returns
        -------
        error : one line, when it failed
        """
        ticks, asked = Ticks(self._stop), False
        try:
            while not self._ended:
                self._take(ticks)
                dead = self.summary is None and not all(reader.alive for reader in readers)
                if (self._stop.is_set() or dead) and not asked:
                    asked = True
                    self._child.ask_to_end()
        except UsAssistError as error:
            for reader in readers:  # they wait for an end that nobody publishes any more
                reader.ask_to_end()
            if self.summary is not None:
                self.summary |= {"state": str(SessionState.FAILED), "reason": str(error)}
            return str(error)
        assert self.summary is not None  # that it has ended is told with it
        return str(self.summary["reason"]) if self.summary["state"] == SessionState.FAILED else None

    def _take(self, ticks: Ticks) -> None:
        """Take in the next report, wherever one comes soon."""
        report = self._child.said(LOOK_EVERY_S)
        hung = self._child.why_hung(ticks.elapsed_s())
        if hung:
            self._child.kill()
            raise UsAssistError(f"the stream was ended: {hung}; what was recorded before is readable")
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


def _leave_all(children: list[Child]) -> None:
    """Nobody is needed any more: all are told before the first is waited for."""
    for child in children:
        child.leave()


def _leave_nothing(folder: Path, *, existed: bool, ours: bool) -> None:
    """Remove what this run had begun, and the folder if this run made it and nobody else uses it."""
    for name in SESSION_FILES if ours else ():
        (folder / name).unlink(missing_ok=True)
    if not existed:
        with contextlib.suppress(OSError):
            folder.rmdir()
