"""Progress of a build as TensorRT reports it: nested phases, each with a number of steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["Phases", "make_monitor"]


class Phases:
    """Turns phases into one share that only grows.

    Parameters
    ----------
    progress : receives the innermost phase and the share of everything, 0 to 1. What it raises is kept, and ends the
        build: the library's own code is on the stack, and an exception must not go through it.
    """

    def __init__(self, progress: Callable[[str, float], None]) -> None:
        self._progress = progress
        self._open: dict[str, list[int]] = {}  # phase → steps, and how many of them are done; the outermost first
        self._share = 0.0
        self._came: BaseException | None = None

    def start(self, name: str, steps: int) -> None:
        """A phase has begun."""
        self._open[name] = [max(1, steps), 0]
        self._report(name)

    def step(self, name: str, step: int) -> bool:
        """Step number `step` of a phase is done. False ends the build."""
        if name in self._open:
            self._open[name][1] = step + 1
        self._report(name)
        return self._came is None

    def finish(self, name: str) -> None:
        """A phase is over, perhaps early."""
        self._open.pop(name, None)

    def raise_pending(self) -> None:
        """Raise what `progress` raised, if it did."""
        if self._came is not None:
            raise self._came

    def _report(self, name: str) -> None:
        share, width = 0.0, 1.0
        for steps, done in self._open.values():
            width /= steps
            share += width * min(done, steps)
        self._share = min(1.0, max(self._share, share))
        if self._came is not None:
            return
        try:
            self._progress(name, self._share)
        except BaseException as error:  # noqa: BLE001 - raised again by raise_pending
            self._came = error


def make_monitor(trt: Any, progress: Callable[[str, float], None]) -> Any:
    """A monitor for ``IBuilderConfig.progress_monitor``, which also offers :meth:`Phases.raise_pending`."""
    phases = Phases(progress)

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            phases.start(phase_name, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            return phases.step(phase_name, step)

        def phase_finish(self, phase_name: str) -> None:
            phases.finish(phase_name)

        def raise_pending(self) -> None:
            phases.raise_pending()

    return Monitor()
