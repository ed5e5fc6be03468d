"""The Gradio page on a clip that plays over and over: the stream in a child process, the page in this one."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from usassist.app.processes import Child
from usassist.app.streaming import StreamOptions
from usassist.config import PanelConfig, runtime_dir
from usassist.sinks.panel import run_panel

__all__ = ["run_demo"]

_READY_S = 60.0


def run_demo(
    source: str,
    *,
    engine: str,
    backend: str,
    calibration: str | None,
    panel: PanelConfig,
    on_ready: Callable[[str], None],
) -> None:
    """Show the page until Ctrl-C.

    Parameters
    ----------
    source : address of what is shown
    engine, backend, calibration : see ``StreamOptions``
    panel : where the page listens
    on_ready : called with the address of the page

    Raises
    ------
    UsAssistError
        If source, engine or page cannot be opened.
    """
    stream = Child("stream")
    sockets = Path(tempfile.mkdtemp(prefix="d", dir=runtime_dir()))
    try:
        options = StreamOptions(
            source=source,
            bus=f"ipc://{sockets}",
            engine=engine,
            backend=backend,
            calibration=calibration,
            repeat=True,
        )
        stream.begin(dataclasses.asdict(options))
        stream.wait_for("ready", timeout_s=_READY_S)
        run_panel(options.bus, panel, on_ready=on_ready)
    finally:
        stream.end()
        shutil.rmtree(sockets, ignore_errors=True)
