"""The progress bar of a study, on standard error, and Ctrl-C while it runs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from usassist.app.studies import Progress

__all__ = ["study_progress"]


@contextmanager
def study_progress(*, quiet: bool) -> Iterator[tuple[Progress, threading.Event]]:
    """A function that shows stage and share, and an event that Ctrl-C sets; a second Ctrl-C ends the program at once.

    Parameters
    ----------
    quiet : show nothing
    """
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    from usassist.common.signals import stop_on_signal

    console = Console(stderr=True)
    columns = (TextColumn("{task.description:>8}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Bar(*columns, console=console, disable=quiet or not console.is_terminal, transient=True) as bar:
        task = bar.add_task("open", total=1.0)

        def show(stage: str, share: float) -> None:
            bar.update(task, description=stage, completed=share)

        with stop_on_signal() as stop:
            yield show, stop
