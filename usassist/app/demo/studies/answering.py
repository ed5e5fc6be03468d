"""Studies are opened and answered in processes of their own, which may die or hang; one is answered at a time."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from usassist.app.demo.answering import StoppedError
from usassist.app.demo.studies.findings import StudyDocument, read_document
from usassist.app.demo.studies.opened import Opened
from usassist.app.demo.studies.table import StudyTab
from usassist.app.runtime.child_process import ChildProcess
from usassist.errors import UsageError, UsAssistError

__all__ = ["StudyAnswering", "StudyChoice", "StudyEngine", "StudyReport"]

_POLL_S = 0.2
_SILENT_S = 180.0  # a worker without a heartbeat or a report for so long is killed
_BYTES_PER_VOXEL = 6  # of the planes for the viewer, of what is read, and of the result


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyEngine:
    """How engines are run; as in ``StreamOptions``; `engines` is their folder, None = ours."""

    backend: str = "auto"
    precision: str = "auto"
    threads: int | None = None
    engines: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyChoice:
    """What is asked of a study: a module, and what was set of its options."""

    module: str
    options: Mapping[str, str | float] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The same for the same question."""
        return repr((self.module, sorted(self.options.items())))


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyReport:
    """How far it is: ``opening``, ``making``, ``waiting``, ``starting``, ``writing``, or ``stage`` with its name."""

    stage: str
    name: str = ""
    share: float = 0.0


class StudyAnswering:
    """Opens and answers the studies of one tab. May be used by several threads.

    Parameters
    ----------
    tab : what the tab offers
    engine : how engines are run
    """

    def __init__(self, tab: StudyTab, engine: StudyEngine) -> None:
        self.tab = tab
        self._engine = engine
        self._one_at_a_time = threading.Lock()

    def open(
        self,
        path: Path,
        folder: Path,
        *,
        simulated: str = "",
        series: int | None = None,
        stop: threading.Event,
        report: Callable[[StudyReport], None],
    ) -> Opened:
        """List the series of a study, and write the planes of one for the viewer.

        Parameters
        ----------
        path : of the study
        folder : is made for the planes; removed again where it fails
        simulated : name of a simulated study, which is made where `path` is not there yet
        series : number of the series; None = the one with the most planes
        stop : set it to end
        report : called with the progress

        Raises
        ------
        StoppedError
            If it was stopped.
        UsAssistError
            If it cannot be read, or is too large.
        """
        report(StudyReport(stage="making" if simulated and not path.exists() else "opening"))
        folder.mkdir(mode=0o700)
        try:
            found = self._run(
                "demo_study_look",
                {
                    "path": str(path),
                    "folder": str(folder),
                    "simulated": simulated,
                    "series": series,
                    "modality": self.tab.code,
                    "presets": msgspec.to_builtins(self.tab.presets),
                },
                stop,
                report,
            )
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return msgspec.convert(
            {**found, "path": str(path), "folder": str(folder), "is_simulated": bool(simulated)},
            type=Opened,
            dec_hook=lambda kind, value: kind(value),
        )

    def answer(
        self,
        opened: Opened,
        folder: Path,
        choice: StudyChoice,
        *,
        stop: threading.Event,
        report: Callable[[StudyReport], None],
    ) -> StudyDocument:
        """Answer a study that was opened.

        Parameters
        ----------
        opened : the study
        folder : is made for the answer, with its planes and files; removed again where it fails
        choice : what is asked
        stop : set it to end
        report : called with the progress

        Raises
        ------
        StoppedError
            If it was stopped.
        UsAssistError
            If it fails, or cannot be answered.
        """
        while not self._one_at_a_time.acquire(timeout=_POLL_S):
            report(StudyReport(stage="waiting"))
            _raise_if(stop)
        try:
            _raise_if(stop)
            _check_space(folder.parent, opened)
            report(StudyReport(stage="starting"))
            folder.mkdir(mode=0o700)
            self._run(
                "demo_study_answer",
                {
                    "path": str(opened.path),
                    "series": opened.chosen,
                    "folder": str(folder),
                    "is_placed": opened.line.is_placed,
                    "engine": self.tab.module(choice.module).engine,
                    "modality": self.tab.code,
                    "module": choice.module,
                    "options": dict(choice.options),
                    "presets": msgspec.to_builtins(self.tab.presets),
                    "backend": self._engine.backend,
                    "precision": self._engine.precision,
                    "threads": self._engine.threads,
                    "engines": None if self._engine.engines is None else str(self._engine.engines),
                },
                stop,
                report,
            )
            return read_document(folder)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        finally:
            self._one_at_a_time.release()

    def _run(
        self, name: str, options: dict[str, Any], stop: threading.Event, report: Callable[[StudyReport], None]
    ) -> dict[str, Any]:
        """Run a worker to its end; what it says then."""
        with ChildProcess(name) as child:
            child.start(options)
            heard_s, beats = time.monotonic(), child.beats
            while True:
                if stop.is_set():
                    child.terminate()
                    raise StoppedError("stopped")
                message = child.next_report(_POLL_S)
                if child.beats != beats:
                    heard_s, beats = time.monotonic(), child.beats
                if message is None:
                    if time.monotonic() - heard_s > _SILENT_S:
                        child.kill()
                        raise UsAssistError("it took too long and was ended; try a smaller study")
                    continue
                if message.event == "progress":
                    report(StudyReport(**message.content))
                elif message.event == "done":
                    return message.content
                elif message.event in ("error", "gone"):
                    raise UsAssistError(message.content.get("message", "the process that answers has died; try again"))


def _raise_if(stop: threading.Event) -> None:
    if stop.is_set():
        raise StoppedError("stopped")


def _check_space(folder: Path, opened: Opened) -> None:
    depth, rows, columns = opened.line.shape_zyx
    if shutil.disk_usage(folder).free < depth * rows * columns * _BYTES_PER_VOXEL + 2**28:
        raise UsageError("there is not enough space on this machine for that study now; try a smaller one, or later")
