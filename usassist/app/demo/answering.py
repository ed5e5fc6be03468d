"""A file becomes a recorded session with everything that the page shows of it; in processes that may die or hang.

One clip is answered at a time: two would only take twice as long each.
"""

from __future__ import annotations

import dataclasses
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from usassist.app.demo.limits import Allowance, allow
from usassist.app.demo.packets import Overview, read_overview
from usassist.app.runtime.child_process import ChildProcess, ChildTimeoutError
from usassist.app.runtime.open_stream import StreamOptions, new_session_id
from usassist.config import RecordConfig
from usassist.errors import SourceError, UsageError, UsAssistError

__all__ = ["Answered", "Answering", "Choice", "Report", "StoppedError"]

_POLL_S = 0.2
_LOOK_S = 60.0
_SILENT_S = 180.0  # a worker that reports nothing for so long is killed
_BYTES_PER_PX = 2.0  # of a recorded frame and its packet, at most


class StoppedError(UsAssistError):
    """The visitor has stopped it, or has left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """With what a clip is answered; ``auto`` as in ``StreamOptions``."""

    engine: str
    precision: str = "auto"
    point: str = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """How far it is.

    Attributes
    ----------
    stage : ``waiting`` for another clip, ``starting``, ``answering`` or ``summing_up``
    frames : answered so far
    total : frames that will be, None where that is not known
    """

    stage: str
    frames: int = 0
    total: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A clip with its answers.

    Attributes
    ----------
    folder : with ``session/`` and what is made from it
    choice : with what it was answered
    overview : of its frames
    """

    folder: Path
    choice: Choice
    overview: Overview


class Answering:
    """Answers files. May be used by several threads, which then wait for each other.

    Parameters
    ----------
    options : of every stream; source, engine, precision, point, calibration and count are replaced
    record : how sessions are recorded
    jpeg_quality : of the player's images, 1 to 100
    """

    def __init__(self, options: StreamOptions, *, record: RecordConfig, jpeg_quality: int) -> None:
        self.options = options
        self._record, self._jpeg_quality = record, jpeg_quality
        self._one_at_a_time = threading.Lock()

    def look(self, source: str) -> Allowance:
        """What a file holds and how much of it is answered; decodes a few frames at most, in a process of its own.

        Raises
        ------
        UsAssistError
            If it cannot be read, or its frames are too large.
        """
        with ChildProcess("demo_look") as child:
            child.start({"source": source})
            try:
                found = child.wait_for("done", timeout_s=_LOOK_S)
            except ChildTimeoutError:
                child.kill()
                raise SourceError("the file could not be opened in a minute; choose another") from None
        height, width = found["grab_hw_px"]
        return allow((height, width), found["rate_hz"], found["frames"])

    def answer(
        self,
        source: str,
        folder: Path,
        choice: Choice,
        *,
        allowance: Allowance,
        calibration: str | None,
        stop: threading.Event,
        report: Callable[[Report], None],
        cover_text: bool = True,
    ) -> Answered:
        """Answer every frame of a file, or of its first part.

        Parameters
        ----------
        source : address of the file
        folder : is made; removed again where it fails
        choice : with what
        allowance : how much
        calibration : geometry calibration, None = what header or ruler state
        stop : set it to end
        report : called with the progress, from this thread
        cover_text : cover burnt-in text as the settings say; not needed where a clip shows no patient

        Raises
        ------
        StoppedError
            If it was stopped.
        UsAssistError
            If it fails.
        """
        while not self._one_at_a_time.acquire(timeout=_POLL_S):
            report(Report(stage="waiting"))
            _raise_if(stop)
        try:
            _raise_if(stop)
            _check_space(folder.parent, allowance)
            folder.mkdir(mode=0o700)
            record = dataclasses.replace(self._record, cover_text=self._record.cover_text and cover_text)
            self._run(source, folder, choice, allowance, calibration, record, stop, report)
            return Answered(folder=folder, choice=choice, overview=read_overview(folder))
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        finally:
            self._one_at_a_time.release()

    def _run(
        self,
        source: str,
        folder: Path,
        choice: Choice,
        allowance: Allowance,
        calibration: str | None,
        record: RecordConfig,
        stop: threading.Event,
        report: Callable[[Report], None],
    ) -> None:
        options = dataclasses.replace(
            self.options,
            source=source,
            bus="",
            engine=choice.engine,
            precision=choice.precision,
            point=choice.point,
            calibration=calibration,
            fast=True,
            repeat=False,
            count=allowance.count,
            session_id=new_session_id(),
        )
        now = Report(stage="starting", total=min(allowance.count, allowance.frames or allowance.count))
        report(now)
        with ChildProcess("demo_answer") as child:
            child.start(
                {
                    "stream": dataclasses.asdict(options),
                    "folder": str(folder),
                    "record": dataclasses.asdict(record),
                    "jpeg_quality": self._jpeg_quality,
                }
            )
            heard_s = time.monotonic()
            while True:
                if stop.is_set():
                    child.terminate()
                    raise StoppedError("stopped")
                message = child.next_report(_POLL_S)
                if message is None:
                    if time.monotonic() - heard_s > _SILENT_S:
                        child.kill()
                        raise UsAssistError("the answer took too long and was ended; try a shorter clip")
                    continue
                heard_s = time.monotonic()
                if message.event == "answered":
                    now = dataclasses.replace(now, stage="answering", frames=message.content["results"])
                elif message.event == "summing_up":
                    now = dataclasses.replace(now, stage="summing_up")
                elif message.event == "done":
                    return
                elif message.event in ("error", "gone"):
                    raise UsAssistError(message.content.get("message", "the process that answers has died; try again"))
                report(now)


def _raise_if(stop: threading.Event) -> None:
    if stop.is_set():
        raise StoppedError("stopped")


def _check_space(folder: Path, allowance: Allowance) -> None:
    """There must be room for a recording without loss, which nothing may fill the disk with."""
    frames = min(allowance.count, allowance.frames or allowance.count)
    width, height = allowance.size_wh_px
    if shutil.disk_usage(folder).free < frames * width * height * _BYTES_PER_PX + 2**28:
        raise UsageError("there is not enough space on this machine for that clip now; try a shorter one, or later")
