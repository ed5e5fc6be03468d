"""One study through one engine: read, refuse, answer, and write the result whole or not at all."""

from __future__ import annotations

import dataclasses
import secrets
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from usassist.app.studies.files import ResultFolder, check_new_folder
from usassist.engine import EngineSpec, FailoverEngine, find_engine
from usassist.errors import StudyCancelledError, UsageError
from usassist.modalities import StudyTask, StudyView
from usassist.pipeline import make_study_task, run_study
from usassist.records import ResultState
from usassist.sources.volumes import StudyInput, read_volume
from usassist.volumes import StudyCause, StudyResult

__all__ = ["Progress", "StudyOutcome", "Writer", "answer_study", "open_study_engine"]

Progress = Callable[[str, float], None]
"""Receives the name of the stage and the share of the study that is done, 0 to 1."""

_READ_SHARE = 0.15  # of a study
_WRITE_SHARE = 0.05


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StudyOutcome:
    """A study and what came of it.

    Attributes
    ----------
    input : series and voxels
    result : see ``usassist.volumes``; ``no_result`` where there is none
    spec : of the engine
    view : how it is shown; None = the task does not say
    precision : that the engine ran in
    folder : with the files; None = nothing was written
    files : names in `folder`
    """

    input: StudyInput
    result: StudyResult
    spec: EngineSpec
    view: StudyView | None = None
    precision: str = ""
    folder: Path | None = None
    files: tuple[str, ...] = field(default=())

    @property
    def words(self) -> str:
        """What is said of the study, in one line."""
        if self.result.state is ResultState.NO_RESULT:
            return f"no result: {self.result.reason}"
        if self.view is None:
            return "finding" if self.result.state is ResultState.FINDING else "no finding"
        return self.view.found if self.result.state is ResultState.FINDING else self.view.not_found


Writer = Callable[[StudyOutcome, Path], Sequence[str]]
"""Writes further files into the folder of a result, and gives their names. What it raises leaves no folder behind."""


def open_study_engine(
    name: str, *, backend: str = "auto", precision: str = "auto", threads: int = 0, engines: Path | None = None
) -> FailoverEngine:
    """An engine for several studies; the caller closes it.

    Raises
    ------
    UsAssistError
        If there is no such engine, or it cannot be opened or run by study.
    """
    spec = find_engine(name, engines)
    make_study_task(spec)
    return FailoverEngine.open(spec, backend, threads, precision)


def answer_study(
    path: Path | str,
    engine_name: str,
    *,
    backend: str = "auto",
    precision: str = "auto",
    threads: int = 0,
    engines: Path | None = None,
    engine: FailoverEngine | None = None,
    series: int | str | None = None,
    out: Path | None = None,
    scratch: Path | None = None,
    writers: Sequence[Writer] = (),
    progress: Progress | None = None,
    cancel: threading.Event | None = None,
    **options: Any,
) -> StudyOutcome:
    """Read one series, run one engine on it, and write a folder with the result.

    Parameters
    ----------
    path : folder, DICOM file, zip or NIfTI file, see ``sources.volumes``
    engine_name : ``NAME`` or ``NAME@VERSION``
    backend, precision, threads, engines : as of ``FailoverEngine.open`` and ``find_engine``
    engine : from :func:`open_study_engine`, where it is open already; the five before it then have no meaning
    series : number or id, where there are several
    out : folder for the result, which must not exist; None = nothing is written
    scratch : folder on whose disk arrays as large as the volume lie; None = beside `out`, or in memory without `out`
    writers : of further files
    progress : receives stage and share
    cancel : set it to end the study
    options : of the task, for example ``level``

    Returns
    -------
    outcome : without an answer nothing was written

    Raises
    ------
    StudyCancelledError
        If it was cancelled.
    VolumeError
        If the series is not one that the task was made for, with the reason.
    UsAssistError
        If something cannot be read, opened or written; nothing is left behind.
    """
    if out is not None:
        check_new_folder(out)
        scratch = scratch or out.parent
    opened = None
    if engine is None:
        opened = engine = open_study_engine(
            engine_name, backend=backend, precision=precision, threads=threads, engines=engines
        )
    try:
        task = _task(engine.spec, options)
        return _answer(Path(path), task, engine, series, out, scratch, writers, progress, cancel or threading.Event())
    finally:
        if opened is not None:
            opened.close()


def _answer(
    path: Path,
    task: StudyTask,
    engine: FailoverEngine,
    series: int | str | None,
    out: Path | None,
    scratch: Path | None,
    writers: Sequence[Writer],
    progress: Progress | None,
    cancel: threading.Event,
) -> StudyOutcome:
    report = progress or (lambda stage, share: None)

    def at(begin: float, end: float) -> Progress:
        def scaled(stage: str, share: float) -> None:
            _check(cancel)
            report(stage, begin + (end - begin) * share)

        return scaled

    reading, running = at(0.0, _READ_SHARE), at(_READ_SHARE, 1.0 - _WRITE_SHARE)
    study = read_volume(
        path,
        session_id=f"study-{secrets.token_hex(4)}",
        series=series,
        scratch=scratch,
        progress=lambda share: reading("read", share),
        unfit=getattr(task, "unfit", None),
    )
    volume = dataclasses.replace(study.volume, spacing_is_known=study.facts.spacing_is_known)
    study = dataclasses.replace(study, volume=volume)
    refuse = getattr(task, "refuse", None)
    if refuse is not None:
        refuse(study.facts, volume)
    with ResultFolder(out) as folder:
        result = run_study(volume, task, engine, progress=running, cancel=cancel, folder=folder.arrays)
        if result.cause is StudyCause.INTERRUPTED:
            _check(cancel)
        outcome = StudyOutcome(
            input=study,
            result=result,
            spec=engine.spec,
            view=getattr(task, "view", None),
            precision=engine.engine.precision if engine.engine is not None else "",
        )
        if result.state is not ResultState.NO_RESULT:
            if folder.path is not None:
                files = folder.fill(outcome, writers, lambda: at(1.0 - _WRITE_SHARE, 1.0)("write", 0.0))
                outcome = dataclasses.replace(outcome, folder=out, files=files)
            at(0.0, 1.0)("done", 1.0)
    return outcome


def _check(cancel: threading.Event) -> None:
    if cancel.is_set():
        raise StudyCancelledError("the study was cancelled; nothing was written")


def _task(spec: EngineSpec, options: dict[str, Any]) -> StudyTask:
    task = make_study_task(spec)
    if not options:
        return task
    change = getattr(task, "with_options", None)
    if change is None:
        raise UsageError(f"engine {spec.engine_id} takes no {' and no '.join(options)}; leave it out")
    changed: StudyTask = change(**options)
    return changed
