"""The runner for what is not a stream: a study in, findings out.

A study is a volume of CT or MR. It is processed in windows or slabs, so memory beside the volume does not grow with its
depth, and it can be cancelled between two of them. The rules are those of the stream: whatever fails between volume and
answer ends as ``no_result`` with a cause and a reason, and where a back end fails, another takes over. The study then
starts again from its first plane, so that one answer is the work of one back end.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from usassist.common.clock import Clock, MonotonicClock
from usassist.engine import EngineSpec, FailoverEngine
from usassist.errors import (
    BackendFailedError,
    BackendHungError,
    EngineSpecError,
    RecordError,
    StudyError,
    UsageError,
    UsAssistError,
    VolumeError,
)
from usassist.modalities import Kind, StudyTask
from usassist.pipeline.deadline import InferenceDeadline
from usassist.pipeline.study_engine import StudyEngine
from usassist.pipeline.study_space import StudySpace
from usassist.pipeline.task import modality_of
from usassist.records import ResultState
from usassist.volumes import StudyAnswer, StudyCause, StudyResult, Volume

__all__ = ["Progress", "make_study_task", "run_study"]

logger = logging.getLogger(__name__)

DEADLINE_S = 30.0
"""Least time that a call of a study's engine is given, s; its first call is given five times that."""

_CHECK_SHARE = 0.02  # of a run: reading the voxels once
_MAX_STUCK = 1  # threads that are stuck in an engine; with another one this process is not fit for a study

Progress = Callable[[str, float], None]
"""Receives the name of the stage and the share of the study that is done, 0 to 1."""


class _Cancelled(BaseException):
    """Leaves the task; not an ``Exception``, so that no task swallows it."""


class _ProgressFailed(BaseException):
    """Carries what the caller's `progress` raised out of the task, which is not at fault."""

    def __init__(self, error: Exception) -> None:
        self.error = error


class _Attempt:
    """The run as the task sees it, see :class:`usassist.modalities.StudyRun`: one attempt, with one back end.

    Parameters
    ----------
    stages : of the task
    progress : receives stage and share
    cancel : set when the study is to end
    space : of this attempt
    """

    def __init__(
        self, stages: Mapping[str, float], progress: Progress | None, cancel: threading.Event, space: StudySpace
    ) -> None:
        self._progress, self._cancel, self._space = progress, cancel, space
        total = sum(stages.values())
        self._spans: dict[str, tuple[float, float]] = {}
        begin = _CHECK_SHARE
        for stage, weight in stages.items():
            self._spans[stage] = begin, (1.0 - _CHECK_SHARE) * weight / total
            begin += self._spans[stage][1]
        self._done = 0.0

    def report(self, stage: str, done: float) -> None:
        """See :meth:`StudyRun.report`."""
        if stage not in self._spans:
            raise UsageError(f"the task has no stage {stage}; known: {', '.join(self._spans)}")
        begin, span = self._spans[stage]
        self._report(stage, begin + span * min(max(done, 0.0), 1.0))

    def check(self) -> None:
        """End the task where the study was cancelled. Called for it at every report and every call of the engine."""
        if self._cancel.is_set():
            raise _Cancelled

    def output(self, name: str, shape: tuple[int, ...], dtype: Any) -> npt.NDArray[Any]:
        """See :meth:`StudySpace.output`."""
        return self._space.output(name, shape, dtype)

    def scratch(self, shape: tuple[int, ...], dtype: Any) -> npt.NDArray[Any]:
        """See :meth:`StudySpace.scratch`."""
        return self._space.scratch(shape, dtype)

    def check_voxels(self, volume: Volume) -> None:
        """Look at every voxel, a plane at a time.

        Raises
        ------
        VolumeError
            If one is not finite.
        """
        depth = volume.shape_zyx[0]
        for z in range(depth if volume.voxels.dtype.kind == "f" else 0):
            self._report("check", _CHECK_SHARE * z / depth)
            if not np.isfinite(volume.voxels[z]).all():
                raise VolumeError(f"plane {z} of the volume holds a value that is not finite; read the series again")
        self._report("check", _CHECK_SHARE)

    def finish(self) -> None:
        """Report that everything is done."""
        self._report("done", 1.0)

    def _report(self, stage: str, share: float) -> None:
        self.check()
        self._done = max(self._done, share)
        if self._progress is not None:
            try:
                self._progress(stage, self._done)
            except Exception as error:
                raise _ProgressFailed(error) from error


def make_study_task(spec: EngineSpec) -> StudyTask:
    """The task of an engine's modality.

    Raises
    ------
    EngineSpecError
        If that modality has no task, is not run by study, or does not fit the engine.
    """
    row = modality_of(spec)
    if row.kind is not Kind.STUDY:
        raise EngineSpecError(f"engine {spec.engine_id} is for {row.title}, which is streamed; use usassist live")
    task: StudyTask = row.load(row.make_task)(spec)
    return task


def run_study(
    volume: Volume,
    task: StudyTask,
    engine: FailoverEngine,
    *,
    progress: Progress | None = None,
    cancel: threading.Event | None = None,
    folder: Path | None = None,
    deadline_s: float = DEADLINE_S,
    clock: Clock | None = None,
) -> StudyResult:
    """Run one study through one engine.

    Parameters
    ----------
    volume : the study; may lie in a file that is larger than memory
    task : from :func:`make_study_task`
    engine : opened; holds the back end that answers and those that take over. The caller closes it.
    progress : receives stage and share, at least once per slab. The share never falls, except when another back end
        takes over: then it starts again.
    cancel : set it to end the run. It takes effect before the next call of the engine or the next slab.
    folder : for arrays as large as the volume, see :class:`StudySpace`; None = they lie in memory
    deadline_s : least time that a call of the engine is given, see ``pipeline.deadline``
    clock : stamps

    Returns
    -------
    result : without an answer, `folder` was not made and nothing is left behind

    Raises
    ------
    UsageError
        If volume and engine are of different modalities, or the task uses what it was given wrongly.
    StudyError
        If `folder` exists or cannot be written.
    BackendHungError
        If an engine hangs while a thread is still stuck in another: this process is not fit for a study any more.
    """
    spec = engine.spec
    if volume.modality != spec.modality:
        raise UsageError(
            f"engine {spec.engine_id} is for {spec.modality}, the volume is {volume.modality}; use another"
        )
    clock, cancel, deadline = clock or MonotonicClock(), cancel or threading.Event(), InferenceDeadline(deadline_s)
    t_start_ns = clock.now_ns()
    failovers: list[str] = []
    stuck = 0
    while True:
        backend, outcome = engine.backend, _attempt(volume, task, engine, progress, cancel, folder, deadline)
        if not isinstance(outcome, BackendFailedError):
            break
        failovers.append(f"{backend} failed: {outcome}")
        stuck += isinstance(outcome, BackendHungError)
        if stuck > _MAX_STUCK:
            raise outcome
        engine.fail(outcome)
        if engine.engine is None:
            backend, outcome = "none", (StudyCause.ENGINE_ERROR, f"no back end is left: {failovers[-1]}")
            break
        logger.warning("study %s starts again with %s: %s", volume.series_id, engine.backend, failovers[-1])
    answer = outcome if isinstance(outcome, StudyAnswer) else None
    cause, reason = (None, "") if isinstance(outcome, StudyAnswer) else outcome
    state = ResultState.NO_RESULT
    if answer is not None:
        state = ResultState.FINDING if answer.found else ResultState.NO_FINDING
    return StudyResult(
        session_id=volume.session_id,
        source_id=volume.source_id,
        series_id=volume.series_id,
        modality=volume.modality,
        shape_zyx=volume.shape_zyx,
        affine_ijk_to_lps_mm=volume.affine_ijk_to_lps_mm,
        engine_id=spec.engine_id,
        backend=backend,
        t_start_ns=t_start_ns,
        t_end_ns=clock.now_ns(),
        state=state,
        cause=cause,
        reason=reason,
        answer=answer,
        failovers=tuple(failovers),
    )


def _attempt(
    volume: Volume,
    task: StudyTask,
    failover: FailoverEngine,
    progress: Progress | None,
    cancel: threading.Event,
    folder: Path | None,
    deadline: InferenceDeadline,
) -> StudyAnswer | tuple[StudyCause, str] | BackendFailedError:
    """The study with the back end that answers now: an answer, why there is none, or how the back end failed."""
    engine = failover.engine
    if engine is None:
        return StudyCause.ENGINE_ERROR, f"no back end answers: {failover.note}"
    with StudySpace(folder) as space:
        run = _Attempt(task.stages, progress, cancel, space)
        try:
            run.check_voxels(volume)
            with StudyEngine(engine, run.check, deadline) as guarded:
                answer = task(volume, guarded, run)
            _check_grid(answer, volume)
            run.finish()
        except _Cancelled:
            return StudyCause.INTERRUPTED, "the study was cancelled"
        except _ProgressFailed as wrapper:
            raise wrapper.error from None
        except BackendFailedError as error:
            return error
        except VolumeError as error:
            return StudyCause.BAD_INPUT, str(error)
        except (UsageError, StudyError):
            raise
        except Exception as error:
            logger.exception("no result for study %s", volume.series_id)
            reason = str(error) if isinstance(error, UsAssistError) else f"engine failed: {error!r}"
            return StudyCause.ENGINE_ERROR, reason
        if engine.backend == "null":
            return StudyCause.NULL_ENGINE, "back end null computes nothing"
        space.commit()
        return answer


def _check_grid(answer: StudyAnswer, volume: Volume) -> None:
    try:
        answer.check_grid(volume.shape_zyx)
    except RecordError as error:
        raise UsageError(f"the task did not answer on the voxels of its volume: {error}; resample it back") from error
