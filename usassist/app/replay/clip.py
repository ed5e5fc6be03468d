"""The main job: a clip through the live path, with recorder and overlay, into a folder."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from usassist.app.facts import recording_facts
from usassist.app.processes import Child
from usassist.app.sockets import private_bus
from usassist.app.stopping import stop_on_signal
from usassist.app.streaming import StreamOptions, open_stream
from usassist.bus import SessionState
from usassist.config import RecordConfig
from usassist.errors import SessionError, UsAssistError
from usassist.records import Result, SourceInfo
from usassist.sinks.files import SESSION_FILES, prepare_folder, write_atomic

__all__ = ["Outcome", "Progress", "replay"]

logger = logging.getLogger(__name__)

_READY_S = 30.0
_FINISH_S = 120.0


class Progress(Protocol):
    """What is told while a replay runs."""

    def building(self, stage: str, share: float) -> None:
        """A plan is being built, before anything is open; 0 to 1 of it is done."""
        ...

    def opened(self, info: SourceInfo) -> None:
        """Source and engine are open."""
        ...

    def result(self, result: Result) -> None:
        """One more frame has its result."""
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
            children = {name: stack.enter_context(Child(name)) for name in names}
            screen = stack.enter_context(Child("overlay")) if window else None
            if not options.bus:
                options = dataclasses.replace(options, bus=stack.enter_context(private_bus()))
            stop = stack.enter_context(stop_on_signal())
            stream = stack.enter_context(
                open_stream(options, on_open=progress.opened, on_result=progress.result, on_build=progress.building)
            )
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
            for name, child in children.items():
                child.wait_for("ready", timeout_s=_READY_S)
                ours = ours or name == keeper
            archives = list(children.values())
            if not stream.publisher.wait_for_archives(
                len(archives),
                _READY_S,
                lambda: all(child.alive for child in archives),
                of_pixels=len(archives) - int(results_only),
            ):
                raise SessionError("the recorder did not connect; run usassist doctor")
            if screen is not None:
                screen.begin({"address": options.bus})
        except BaseException:  # Ctrl-C as well: nothing half-begun stays
            stack.close()
            _leave_nothing(folder, existed=existed, ours=ours)
            raise
        error: str | None = None
        try:
            stream.run(stop)
        except UsAssistError as failure:
            stream.summary.state, stream.summary.reason = SessionState.FAILED, str(failure)
        if stream.summary.state is SessionState.FAILED:
            error = stream.summary.reason
        # The sockets stay open until every archive has what was sent: a closed connection loses what is on its way.
        counts: dict[str, Any] = {}
        for name, child in children.items():
            try:
                counts[name] = child.wait_for("done", timeout_s=_FINISH_S)
            except UsAssistError as failure:
                error = error or str(failure)
                counts[name] = {"error": str(failure)}
    summary = stream.summary.as_dict() | {"recorded": counts[keeper], "overlay_video": counts.get("overlay_video")}
    if error is not None:
        summary["error"] = error
    try:
        write_atomic(folder / "summary.json", json.dumps(summary, indent=2).encode("utf-8") + b"\n")
    except OSError as failure:
        error = error or f"summary.json cannot be written: {failure.strerror}; free some space"
    files = {path.name: str(path) for path in sorted(folder.iterdir())}
    interrupted = stream.summary.state is SessionState.INTERRUPTED
    return Outcome(
        summary=summary, files=files, error=error, exit_code=1 if error is not None else 130 if interrupted else 0
    )


def _leave_nothing(folder: Path, *, existed: bool, ours: bool) -> None:
    """Remove what this run had begun, and the folder if this run made it and nobody else uses it."""
    for name in SESSION_FILES if ours else ():
        (folder / name).unlink(missing_ok=True)
    if not existed:
        with contextlib.suppress(OSError):
            folder.rmdir()
