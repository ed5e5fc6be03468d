"""The Gradio page on a clip that plays over and over: the stream in a child process, the page in this one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from usassist.app.processes import Child
from usassist.app.sockets import private_bus
from usassist.app.streaming import StreamOptions
from usassist.config import PanelConfig
from usassist.frames.burnt_text import find_text_boxes
from usassist.sinks.panel import run_panel

__all__ = ["run_demo"]

_READY_S = 60.0


def run_demo(
    source: str,
    *,
    engine: str,
    backend: str,
    precision: str,
    point: str,
    calibration: str | None,
    panel: PanelConfig,
    on_ready: Callable[[str], None],
) -> None:
    """Show the page until Ctrl-C.

    Parameters
    ----------
    source : address of what is shown
    engine, backend, precision, point, calibration : see ``StreamOptions``
    panel : where the page listens
    on_ready : called with the address of the page

    Raises
    ------
    UsAssistError
        If source, engine or page cannot be opened.
    """
    with private_bus() as bus, Child("stream") as stream:
        options = StreamOptions(
            source=source,
            bus=bus,
            engine=engine,
            backend=backend,
            precision=precision,
            point=point,
            calibration=calibration,
            repeat=True,
        )
        stream.begin(dataclasses.asdict(options))
        stream.wait_for("ready", timeout_s=_READY_S)
        run_panel(bus, panel, find_text=find_text_boxes, on_ready=on_ready)
