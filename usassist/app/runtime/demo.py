"""The Gradio page on a clip that plays over and over: the stream in a child process, the page in this one."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import threading
from collections.abc import Callable, Iterator

from usassist.app.runtime.open_stream import StreamOptions, new_session_id
from usassist.app.runtime.private_bus import private_bus
from usassist.app.runtime.supervised_process import SupervisedProcess, Ticks
from usassist.common.signals import stop_on_signal
from usassist.config import PanelConfig
from usassist.frames.burnt_text import find_text_boxes
from usassist.modalities import stream_titles
from usassist.sinks.panel import run_panel

__all__ = ["run_demo"]

logger = logging.getLogger(__name__)


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
        stack.enter_context(_kept_running(dataclasses.replace(options, bus=bus)))
        run_panel(bus, panel, modality=stream_titles(), find_text=find_text_boxes, on_ready=on_ready)


@contextlib.contextmanager
def _kept_running(options: StreamOptions) -> Iterator[None]:
    """A stream that runs, and is replaced where it dies or hangs.

    Raises
    ------
    UsAssistError
        If it cannot be started the first time.
    KeyboardInterrupt
        If it is stopped before it runs.
    """
    stop = threading.Event()
    stream = SupervisedProcess(
        "stream", lambda: dataclasses.asdict(dataclasses.replace(options, session_id=new_session_id())), spare=False
    )
    try:
        stream.begin()
        with stop_on_signal() as stopped:
            for elapsed_s in Ticks(stopped):
                stream.watch(elapsed_s)
                stream.raise_if_died()
                if stream.ready is not None:
                    break
            else:
                raise KeyboardInterrupt
        supervisor = threading.Thread(target=_supervise, args=(stream, stop), name="supervisor", daemon=True)
        supervisor.start()
        try:
            yield
        finally:
            stop.set()
            supervisor.join()
    finally:
        stream.end()


def _supervise(stream: SupervisedProcess, stop: threading.Event) -> None:
    for elapsed_s in Ticks(stop):
        stream.watch(elapsed_s)
        if stream.died():
            logger.warning("the process stream ended%s; it is started again", f": {stream.problem}".rstrip(": "))
        if stream.due:
            stream.begin()
