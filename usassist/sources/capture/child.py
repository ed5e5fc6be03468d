"""The capture process: opens one live input after the other and sends its screens to the parent; see ``process.py``.

The main thread reads the device. A second one receives commands, so that a close reaches an input that blocks, and so
that this process ends with its parent.
"""

from __future__ import annotations

import gc
import importlib
import logging
import os
import queue
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

import msgspec

from usassist.common.process_tuning import keep_freed_memory, set_parent_death_signal
from usassist.errors import SourceError, UsAssistError
from usassist.sources.capture.messages import (
    MAX_BYTES,
    Close,
    Ended,
    Grabbed,
    NewRing,
    Open,
    Opened,
    Ready,
    Report,
    RingSlot,
    decode_command,
    encode,
)
from usassist.sources.capture.ring import RingWriter, size_of
from usassist.sources.grab import Grab, Grabber
from usassist.sources.inputs.address import GrabOptions, open_grabber
from usassist.sources.screen import Screen

__all__ = ["main"]

logger = logging.getLogger(__name__)

_WARM = ("usassist.sources.inputs.stream", "usassist.sources.inputs.opening")  # slow imports


class _RingFull(Exception):
    """Every slot of the ring holds a screen that the parent still uses."""


class _Server:
    """Serves one parent over a socket."""

    def __init__(self, connection: socket.socket, opener: Callable[[str, GrabOptions], Grabber]) -> None:
        self._socket, self._opener = connection, opener
        self._commands: queue.SimpleQueue[Open] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._grabber: Grabber | None = None
        self._ring: RingWriter | None = None

    def run(self) -> None:
        """Serve until the parent is gone; never returns."""
        threading.Thread(target=self._receive_commands, name="commands", daemon=True).start()
        self._report(Ready())
        while True:
            self._serve(self._commands.get())

    def _receive_commands(self) -> None:
        with suppress(OSError, msgspec.DecodeError):
            while data := self._socket.recv(MAX_BYTES):
                match decode_command(data):
                    case Open() as command:
                        self._closing.clear()  # nothing is open: the end of the last input was reported before
                        self._commands.put(command)
                    case Close():
                        self._closing.set()
                        grabber = self._grabber
                        if grabber is not None:
                            grabber.close()
        _exit()

    def _serve(self, command: Open) -> None:
        ended = Ended.of(SourceError("the signal has ended"))
        grabber: Grabber | None = None
        try:
            grabber = self._grabber = self._opener(command.address, command.options)
            reported = self._report_input(grabber)
            if not self._closing.is_set():
                for grab in grabber.grabs():
                    reported = self._report_input(grabber, reported)  # warnings may appear later
                    self._send_grab(grab)
                    if self._closing.is_set():
                        break
        except UsAssistError as error:
            ended = Ended.of(error)
        except Exception as error:
            logger.exception("grabbing failed")
            ended = Ended.of(UsAssistError(f"grabbing failed: {error!r}; this is a fault of usassist, report it"))
        finally:
            self._grabber = None
            if grabber is not None:
                grabber.close()
        self._report(ended)

    def _report_input(self, grabber: Grabber, last: Opened | None = None) -> Opened:
        """Report description, warnings and rate of the input, unless they are those of the last report."""
        report = Opened(description=grabber.description, warnings=grabber.warnings, rate_hz=grabber.rate_hz)
        if report != last:
            self._report(report)
        return report

    def _send_grab(self, grab: Grab) -> None:
        with suppress(_RingFull):  # its number counts it as skipped
            self._send(encode(Grabbed(grab), self._write_screen))

    def _write_screen(self, screen: Screen) -> RingSlot:
        ring, size = self._ring, size_of(screen.layout)
        if ring is None or size > ring.slot_bytes:
            ring = self._grow(size)
        slot = ring.write(screen.layout, screen.planes)
        if slot is None:
            raise _RingFull
        return RingSlot(slot=slot, layout=screen.layout)

    def _grow(self, size: int) -> RingWriter:
        before, self._ring = self._ring, None
        if before is not None:
            before.close()
        try:
            ring = self._ring = RingWriter.create(size)
        except OSError as error:
            raise SourceError(
                f"there is no memory for screens of {size} bytes ({error.strerror}); end other programs"
            ) from None
        self._send(encode(NewRing(slots=ring.slots, slot_bytes=ring.slot_bytes)), ring.fd)
        return ring

    def _report(self, report: Report) -> None:
        self._send(encode(report))

    def _send(self, data: bytes, *fds: int) -> None:
        try:
            socket.send_fds(self._socket, [data], fds)
        except OSError:
            _exit()  # the parent is gone


def _exit() -> None:
    os._exit(0)


def main(opener: Callable[[str, GrabOptions], Grabber] = open_grabber) -> None:
    """Serve the parent process over the socket whose descriptor is on the command line.

    Parameters
    ----------
    opener : opens an address; replaced in tests
    """
    fd, parent = (int(word) for word in sys.argv[1:3])
    set_parent_death_signal()
    if os.getppid() != parent:
        return
    logging.basicConfig(level=logging.WARNING, format="usassist: %(name)s: %(message)s", stream=sys.stderr)
    os.umask(0o077)
    keep_freed_memory()
    os.set_inheritable(fd, False)
    for module in _WARM:
        importlib.import_module(module)
    gc.freeze()
    _Server(socket.socket(fileno=fd), opener).run()


if __name__ == "__main__":
    main()
