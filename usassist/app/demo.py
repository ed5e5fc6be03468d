"""The Gradio page on a clip that plays over and over: the stream in a child process, the page in this one."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable

from usassist.app.processes import Child
from usassist.app.sockets import private_bus
from usassist.app.streaming import StreamOptions
from usassist.config import PanelConfig
from usassist.sinks.panel import run_panel

__all__ = ["run_demo"]

_READY_S = 60.0


def run_demo(options: StreamOptions, *, panel: PanelConfig, on_ready: Callable[[str], None]) -> None:
    """Show the page until Ctrl-C.

    Parameters
    ----------
    options : what is shown; an empty ``bus`` stands for sockets that are private to this run
    panel : where the page listens
    on_ready : called with the address of the page

    Raises
    ------
    UsAssistError
        If source, engine or page cannot be opened.
    """
    with contextlib.ExitStack() as stack:
        bus = options.bus or stack.enter_context(private_bus())
        stream = stack.enter_context(Child("stream"))
        stream.begin(dataclasses.asdict(options) | {"bus": bus})
        stream.wait_for("ready", timeout_s=_READY_S)
        run_panel(bus, panel, on_ready=on_ready)
