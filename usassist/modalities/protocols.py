"""What the pipeline and a modality's task have to do with each other: the task, and what it is given to work with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy.typing as npt

from usassist.records import Answer, Frame
from usassist.volumes import StudyAnswer, Volume

__all__ = ["Association", "StudyRun", "StudyTask", "StudyView", "Task", "TaskEngine", "Tensors"]

Tensors = Mapping[str, npt.NDArray[Any]]


class TaskEngine(Protocol):
    """The engine as a task sees it: only ``infer``, which the pipeline wraps to time and to cancel it."""

    def infer(self, inputs: Tensors) -> Tensors:
        """Run the engine once. The outputs may be overwritten by the next call."""
        ...


class Task(Protocol):
    """What a modality does with one frame. It may keep buffers, so each thread has its own."""

    def __call__(self, frame: Frame, engine: TaskEngine) -> Answer:
        """Preprocess, infer, postprocess, measure, describe."""
        ...


class Association(Protocol):
    """What a modality does over the frames of one stream: it is given them in their order, in one thread at a time.

    Attributes
    ----------
    tracking : name of the rule by which findings get their ``track_id``; empty = they get none
    """

    tracking: str

    def make_task(self) -> Task:
        """A task whose answers are candidates, for :meth:`complete`. Each thread has its own."""
        ...

    def reset(self) -> None:
        """Forget all frames. Findings keep their track ids, as far as time allows."""
        ...

    def follows(self, frame: Frame) -> bool:
        """Whether the frames that are remembered show the same place as `frame`; False where there are none."""
        ...

    def complete(
        self, frame: Frame, candidates: Answer, *, t_s: float, same_image: bool = True, remember: bool = True
    ) -> Answer:
        """The answer for the next frame, from its candidates and the frames that are remembered.

        Parameters
        ----------
        frame : in the order of the stream
        candidates : what the task gave for it, where it did not abstain
        t_s : time of the frame in its stream, s
        same_image : False where it shows another image than the last frame that is remembered or was, as after a cut
        remember : False leaves the memory as it was, and what is found gets no track id
        """
        ...


class StudyRun(Protocol):
    """What a task has of the run that it is in: progress, cancelling, and room for its arrays."""

    def report(self, stage: str, done: float) -> None:
        """Report progress; to be called once for every slab. Leaves the task where the study was cancelled.

        Parameters
        ----------
        stage : one of the task's stages
        done : share of that stage, 0 to 1

        Raises
        ------
        UsageError
            If the task has no such stage.
        """
        ...

    def output(self, name: str, shape: tuple[int, ...], dtype: Any) -> npt.NDArray[Any]:
        """An array of zeros for the answer; kept as ``NAME.npy`` where the run has a folder.

        Raises
        ------
        UsageError
            If the name is not ``[a-z0-9_]+``, or was used already.
        StudyError
            If the disk has no room for it.
        """
        ...

    def scratch(self, shape: tuple[int, ...], dtype: Any) -> npt.NDArray[Any]:
        """An array of zeros that is thrown away at the end, for example the preprocessed volume.

        Raises
        ------
        StudyError
            If the disk has no room for it.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyView:
    """How the answers of a study's task are shown to people.

    Attributes
    ----------
    title : of a picture or a page
    found, not_found : what is said of a finding, and of none; the latter never says that there is nothing
    window_centre, window_width : grey levels of the pictures, in the unit of the voxels
    """

    title: str
    found: str
    not_found: str
    window_centre: float
    window_width: float


class StudyTask(Protocol):
    """What a modality does with one study.

    A task may have two further attributes, for those who show its answers and choose its series: `view`, a
    :class:`StudyView`, and a function ``refuse(facts, volume)``, which raises ``VolumeError`` with the reason where a
    series is not one that the task was made for.

    Attributes
    ----------
    stages : name → about how much of the time it takes, in any unit, in their order
    """

    stages: Mapping[str, float]

    def __call__(self, volume: Volume, engine: TaskEngine, run: StudyRun) -> StudyAnswer:
        """Preprocess, infer in windows or slabs, postprocess, measure.

        Arrays as large as the volume come from `run`. Raises ``VolumeError`` where the volume cannot be processed.
        """
        ...
