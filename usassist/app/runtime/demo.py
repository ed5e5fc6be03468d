"""``usassist demo``: a clip that plays in a loop, the stream in a child process, the page in this one."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import threading
from collections.abc import Callable, Iterator

from usassist.app.runtime.cards import read_card
from usassist.app.runtime.open_stream import StreamOptions, new_session_id
from usassist.app.runtime.private_bus import private_bus
from usassist.app.runtime.supervised_process import PollClock, SupervisedProcess
from usassist.common.signals import stop_on_signal
from usassist.config import PanelConfig
from usassist.frames.burnt_text import find_text_boxes
from usassist.modalities import stream_titles
from usassist.sinks.panel import check_panel, run_panel

__all__ = ["run_demo"]

logger = logging.getLogger(__name__)


def run_demo(options: StreamOptions, *, panel: PanelConfig, on_ready: Callable[[str], None]) -> None:
    """Show the page until Ctrl-C.

    Parameters
    ----------
    options : what is shown; with an empty ``bus`` over sockets that are private to this run
    panel : where the page listens
    on_ready : called with the address of the page

    Raises
    ------
    UsAssistError
        If source, engine or page cannot be opened.
    """
    check_panel(panel)
    with contextlib.ExitStack() as stack:
        bus = options.bus or stack.enter_context(private_bus())
        stack.enter_context(_running_stream(dataclasses.replace(options, bus=bus)))
        run_panel(
            bus, panel, modality=stream_titles(), find_text=find_text_boxes, read_card=read_card, on_ready=on_ready
        )


@contextlib.contextmanager
def _running_stream(options: StreamOptions) -> Iterator[None]:
    """Run a stream, and restart it when it exits or hangs.

    Raises
    ------
    UsAssistError
        If it cannot be started the first time.
    KeyboardInterrupt
        If it is stopped before it runs.
    """
    stop = threading.Event()
    stream = SupervisedProcess(
        "stream", lambda: dataclasses.asdict(dataclasses.replace(options, session_id=new_session_id())), standby=False
    )
    try:
        stream.start()
        with stop_on_signal() as stopped:
            for elapsed_s in PollClock(stopped):
                stream.poll(elapsed_s)
                stream.raise_if_failed()
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
        stream.stop()


def _supervise(stream: SupervisedProcess, stop: threading.Event) -> None:
    for elapsed_s in PollClock(stop):
        stream.poll(elapsed_s)
        if stream.reap():
            logger.warning("the process stream has died%s; it is restarted", f": {stream.problem}".rstrip(": "))
        if stream.restart_due:
            stream.start()
