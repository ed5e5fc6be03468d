"""The progress bar of replay, rerun and the simulated scanner, on standard error."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from usassist.records import SourceInfo

__all__ = ["ProgressBar"]


class ProgressBar:
    """A progress bar on standard error.

    Parameters
    ----------
    quiet : show nothing
    """

    def __init__(self, *, quiet: bool) -> None:
        console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(),
            console=console,
            disable=quiet or not console.is_terminal,
            transient=True,
        )
        self._task: TaskID | None = None
        self._building: TaskID | None = None

    def opened(self, info: SourceInfo) -> None:
        """Source and engine are open."""
        if self._building is not None:
            self._progress.remove_task(self._building)
        self._progress.start()
        self._task = self._progress.add_task(
            info.description, total=info.frame_count or info.frame_count_estimate, note=""
        )

    def building(self, stage: str, share: float) -> None:
        """A plan is being built, before anything is open."""
        if self._building is None:
            self._progress.start()
            self._building = self._progress.add_task("building", total=100, note="")
        self._progress.update(self._building, completed=round(100 * share), description=stage or "building")

    def answered(self, results: int, findings: int) -> None:
        """So many frames have their result by now, and so many of these are findings."""
        if self._task is not None:
            self._progress.update(self._task, completed=results, note=f"{findings} with finding")

    def step(self, done: int, total: int, what: str = "rendering") -> None:
        """For a job that counts itself."""
        if self._task is None:
            self._progress.start()
            self._task = self._progress.add_task(what, total=total, note="")
        self._progress.update(self._task, completed=done)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
