"""Handling of SIGINT and SIGTERM, one function per kind of process.

A command stops what it runs, and a second Ctrl-C ends it at once (:func:`stop_on_signal`). One that has nothing to
finish ends at once (:func:`interrupt_on_signal`); in every command SIGTERM leaves as little behind as Ctrl-C
(:func:`terminated_in_order`). A server inside another program restores the previous handlers (:func:`set_on_signal`).
A child process handles them for its whole life, also where its parent had them ignored or blocked
(:func:`call_on_signal`).
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

__all__ = ["call_on_signal", "interrupt_on_signal", "set_on_signal", "stop_on_signal", "terminated_in_order"]

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def stop_on_signal() -> Iterator[threading.Event]:
    """Yield an event that SIGINT or SIGTERM sets; a second Ctrl-C ends the program at once. For the main thread."""
    stop = threading.Event()

    def request() -> None:
        stop.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    with _handled(request):
        yield stop


@contextlib.contextmanager
def interrupt_on_signal() -> Iterator[None]:
    """Have SIGINT and SIGTERM raise KeyboardInterrupt, also where a shell had them ignored. For the main thread."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    with _handled(interrupt):
        yield


@contextlib.contextmanager
def terminated_in_order() -> Iterator[None]:
    """Have SIGTERM raise KeyboardInterrupt, as Ctrl-C does, unless it is handled already. For the main thread."""
    before = signal.getsignal(signal.SIGTERM)
    if before is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def set_on_signal(stop: threading.Event) -> Iterator[None]:
    """Have SIGINT and SIGTERM set `stop`, however often they are sent. No effect outside the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with _handled(stop.set):
        yield


def call_on_signal(callback: Callable[[], None]) -> None:
    """Have SIGINT and SIGTERM call `callback` from now on, also where they were ignored or blocked at the start."""
    for number in _STOP_SIGNALS:
        signal.signal(number, lambda *_: callback())
    signal.pthread_sigmask(signal.SIG_UNBLOCK, set(_STOP_SIGNALS))


@contextlib.contextmanager
def _handled(callback: Callable[[], None]) -> Iterator[None]:
    def handle(_number: int, _frame: FrameType | None) -> None:
        callback()

    before = {number: signal.signal(number, handle) for number in _STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
