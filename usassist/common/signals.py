"""SIGINT and SIGTERM: each kind of process takes them in one way, and all three ways stand here.

A command ends what it runs and gives way to a second Ctrl-C (:func:`stop_on_signal`). A server that runs inside a
process leaves its signals as they were afterwards (:func:`set_on_signal`). A child process takes them for its whole
life, also where whoever started it had them ignored or blocked (:func:`call_on_signal`).
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

__all__ = ["call_on_signal", "set_on_signal", "stop_on_signal"]

_ENDING = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def stop_on_signal() -> Iterator[threading.Event]:
    """An event that Ctrl-C or SIGTERM sets; a second Ctrl-C ends the program at once. For the main thread."""
    stop = threading.Event()

    def request() -> None:
        stop.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    with _handled(request):
        yield stop


@contextlib.contextmanager
def set_on_signal(stop: threading.Event) -> Iterator[None]:
    """SIGINT and SIGTERM set `stop`, however often they come. In another thread than the main one nothing is done."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with _handled(stop.set):
        yield


def call_on_signal(work: Callable[[], None]) -> None:
    """SIGINT and SIGTERM call `work` from now on, also where they were ignored or blocked at the start."""
    for number in _ENDING:
        signal.signal(number, lambda *_: work())
    signal.pthread_sigmask(signal.SIG_UNBLOCK, set(_ENDING))


@contextlib.contextmanager
def _handled(work: Callable[[], None]) -> Iterator[None]:
    def handle(_number: int, _frame: FrameType | None) -> None:
        work()

    before = {number: signal.signal(number, handle) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
