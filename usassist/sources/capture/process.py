"""The parent's side of one capture process."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from usassist.errors import SourceError
from usassist.sources.capture.messages import MAX_BYTES, Command, NewRing, Report, RingSlot, decode_report, encode
from usassist.sources.capture.ring import RingReader
from usassist.sources.screen import Screen

__all__ = ["ENTRY", "CaptureProcess"]

ENTRY = ("-m", "usassist.sources.capture.child")
# PR_SET_PDEATHSIG is tied to the thread that started the child, so this thread lives as long as the process.
_starter = ThreadPoolExecutor(1, thread_name_prefix="start-capture")
_SWEEPS = 4  # rounds of killing, since a program may start others meanwhile


class CaptureProcess:
    """Runs ``child.py``. The kernel kills it when this process ends, however it ends.

    It leads a session of its own: Ctrl-C in a terminal does not reach it, and its children (a program of ``pipe:``) are
    found by that session and killed with it.

    Parameters
    ----------
    entry : arguments of the interpreter; replaced in tests, to run a device that hangs

    Raises
    ------
    SourceError
        If no process can be started.
    """

    def __init__(self, entry: Sequence[str] = ENTRY) -> None:
        self._ring: RingReader | None = None
        try:
            self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                try:
                    self._process = _starter.submit(
                        subprocess.Popen,
                        [sys.executable, *entry, str(theirs.fileno()), str(os.getpid())],
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.DEVNULL,
                        pass_fds=(theirs.fileno(),),
                        start_new_session=True,
                    ).result()
                except BaseException:
                    self._socket.close()
                    raise
        except OSError as error:
            raise SourceError(
                f"no capture process can be started ({error.strerror}); end other programs, or raise the limits of "
                "this user"
            ) from None
        self.ready = False

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """True while it runs."""
        return self._process.poll() is None

    def send(self, command: Command) -> None:
        """Send a command; if the process is gone, this has no effect and :meth:`receive` returns None."""
        with contextlib.suppress(OSError):
            self._socket.send(encode(command), socket.MSG_NOSIGNAL)

    def receive(self) -> Report | None:
        """Wait for the next report; None when the process is gone, or :meth:`kill` was called.

        Raises
        ------
        SourceError
            If the report is invalid.
        """
        while True:
            try:
                data, fds, _, _ = socket.recv_fds(self._socket, MAX_BYTES, 1)
            except OSError:
                return None
            try:
                if not data:
                    return None
                report = decode_report(data, self._read_screen)
                if not isinstance(report, NewRing):
                    return report
                self._ring = RingReader(fds[0], report.slots, report.slot_bytes)
            except (msgspec.DecodeError, IndexError, OSError) as error:
                raise SourceError(
                    f"the capture process sent an invalid message ({error}); report this as a fault of usassist"
                ) from None
            finally:
                for fd in fds:
                    os.close(fd)

    def kill(self) -> None:
        """Kill it at once; a waiting :meth:`receive` returns. Never waits."""
        self._process.kill()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def end(self) -> int:
        """Kill it and its children; returns its exit code, negative for a signal.

        This waits until the kernel has released it, which may take without limit while it hangs in a driver.
        """
        code = self._process.poll()
        self.kill()
        _kill_session(self._process.pid)
        ended = self._process.wait()
        self._socket.close()
        self._ring = None  # freed with the last screen that was read from it
        return ended if code is None else code

    def _read_screen(self, slot: RingSlot) -> Screen:
        if self._ring is None:
            raise ValueError("a screen before the ring")
        return Screen.of_planes(slot.layout, self._ring.read(slot.slot, slot.layout))


def _kill_session(session: int) -> None:
    """Kill the remaining processes of a session, except its leader."""
    for _ in range(_SWEEPS):
        found = [pid for pid in _processes() if pid != session and _session_of(pid) == session]
        for pid in found:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        if not found:
            return


def _processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None
