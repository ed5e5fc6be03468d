"""The worklist with its page: the folder is watched in a child process, and the page is served here.

So the page outlives the process that it shows, and can say that it has ended; that process is started again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from usassist.app.runtime.child_process import ChildProcess
from usassist.app.worklist.watch import WatchOptions
from usassist.config import PanelConfig
from usassist.errors import UsAssistError
from usassist.sinks.panel import check_panel
from usassist.sinks.panel.worklist import run_worklist_page

__all__ = ["serve_worklist"]

logger = logging.getLogger(__name__)

_START_S = 120.0
_AGAIN_S = 2.0  # doubled with each start that fails, up to the next
_AGAIN_MOST_S = 60.0
_STOP_S = 20.0


def serve_worklist(
    folder: Path,
    state: Path | None,
    options: WatchOptions,
    panel: PanelConfig,
    on_ready: Callable[[str], None],
    stop: threading.Event | None = None,
) -> None:
    """Watch a folder and serve its page, until SIGINT, SIGTERM or `stop`.

    Raises
    ------
    UsAssistError
        If either cannot be started.
    """
    check_panel(panel)
    stop = stop or threading.Event()
    asked = {"folder": str(folder), "state": None if state is None else str(state), "watch": _plain(options)}
    watcher = _Watcher(asked)
    place = watcher.start()
    try:
        run_worklist_page(place, panel, around=_watching(watcher), on_ready=on_ready, stop=stop)
    finally:
        watcher.close()


class _Watcher:
    """Starts the process that watches, and starts it again where it dies. One thread starts and waits for it: the
    process dies with the thread that has started it."""

    def __init__(self, asked: dict[str, Any]) -> None:
        self._asked = asked
        self._end = threading.Event()
        self._started = threading.Event()
        self._place = Path()
        self._error: UsAssistError | None = None
        self._thread = threading.Thread(target=self._run, name="worklist", daemon=True)

    def start(self) -> Path:
        """Start it; returns its folder of state.

        Raises
        ------
        UsAssistError
            If it cannot watch the folder.
        """
        self._thread.start()
        self._started.wait()
        if self._error is not None:
            raise self._error
        return self._place

    def close(self) -> None:
        """End it in order."""
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        pause_s = _AGAIN_S
        while not self._end.is_set():
            try:
                with ChildProcess("worklist") as child:
                    child.start({**self._asked, "parent_pid": os.getpid()})
                    self._place = Path(child.wait_for("ready", timeout_s=_START_S)["state"])
                    self._started.set()
                    pause_s = _AGAIN_S
                    while child.alive and not self._end.wait(0.2):
                        while child.next_report() is not None:
                            pass
                    child.terminate()
                    child.stop(_STOP_S)
            except (UsAssistError, OSError, RuntimeError) as error:
                if not self._started.is_set():
                    self._error = error if isinstance(error, UsAssistError) else UsAssistError(str(error))
                    self._started.set()
                    return
                logger.warning("%s", error)
            if self._end.is_set():
                return
            logger.warning("the process that watches the folder has ended; it is started again")
            self._end.wait(pause_s)
            pause_s = min(2.0 * pause_s, _AGAIN_MOST_S)


@contextlib.contextmanager
def _watching(watcher: _Watcher) -> Iterator[None]:
    try:
        yield
    finally:
        watcher.close()


def _plain(options: WatchOptions) -> dict[str, Any]:
    return dataclasses.asdict(options)
