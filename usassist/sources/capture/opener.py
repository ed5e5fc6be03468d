"""Open a live input in a capture process."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Sequence

from usassist.errors import SourceError
from usassist.sources.capture.messages import Close, Ended, Grabbed, Open, Opened, Ready
from usassist.sources.capture.process import ENTRY, CaptureProcess
from usassist.sources.grab import Grab
from usassist.sources.inputs.address import GrabOptions

__all__ = ["CapturedInput", "ProcessOpener"]


class ProcessOpener:
    """Opens one address repeatedly, each time in a warm standby process if there is one.

    A process whose input has ended, or could not be opened, is reused for the next one: to retry a device that is not
    plugged in starts no process. One that was killed is replaced.

    Parameters
    ----------
    address, options : of the input, see :func:`usassist.sources.inputs.address.open_grabber`
    entry : see :class:`usassist.sources.capture.process.CaptureProcess`
    """

    def __init__(self, address: str, options: GrabOptions, *, entry: Sequence[str] = ENTRY) -> None:
        self._address, self._options, self._entry = address, options, entry
        self._lock = threading.Lock()
        self._idle: CaptureProcess | None = None
        self._closed = False

    def prepare(self) -> None:
        """Start a standby process, unless there is one already."""
        if self._idle is None and not self._closed:
            with contextlib.suppress(SourceError):  # reported when it is needed
                self._give_back(CaptureProcess(self._entry))

    def open(self) -> CapturedInput:
        """Start to open the input. Does not wait.

        Raises
        ------
        SourceError
            If no process can be started.
        """
        with self._lock:
            process, self._idle = self._idle, None
        if process is not None and not process.alive:
            process.end()
            process = None
        process = process or CaptureProcess(self._entry)
        return CapturedInput(process, Open(address=self._address, options=self._options), self._give_back)

    def close(self) -> None:
        """End the standby process. No further ones are kept."""
        with self._lock:
            self._closed = True
            process, self._idle = self._idle, None
        if process is not None:
            process.end()

    def _give_back(self, process: CaptureProcess) -> None:
        with self._lock:
            spare = not self._closed and self._idle is None
            if spare:
                self._idle = process
        if not spare:
            process.end()


class CapturedInput:
    """An input that is opened and read in a capture process; see :class:`usassist.sources.grab.Input`.

    Parameters
    ----------
    process : an idle one
    command : what to open
    give_back : takes the process back when it can be reused
    """

    def __init__(self, process: CaptureProcess, command: Open, give_back: Callable[[CaptureProcess], None]) -> None:
        self._process, self._command, self._give_back = process, command, give_back
        self._closing = False
        self.description = ""
        self.warnings: tuple[str, ...] = ()
        self.rate_hz: float | None = None

    @property
    def started(self) -> bool:
        """False while the process itself is starting."""
        return self._process.ready

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def grabs(self) -> Iterator[Grab]:
        """Yield the screens as they arrive; their pixels must not be written to.

        Raises
        ------
        UsAssistError
            The error that ended the input in the process, of its own class; ``SourceError`` where the process has died.
        """
        process, usable = self._process, False
        try:
            process.send(self._command)
            while True:
                match process.receive():
                    case Grabbed(grab=grab):
                        yield grab
                        del grab  # else its slot would stay in use until the next one arrives
                    case Ready():
                        process.ready = True
                    case Opened() as opened:
                        self.description, self.warnings = opened.description, opened.warnings
                        self.rate_hz = opened.rate_hz
                    case Ended() as ended:
                        usable = True
                        if self._closing:
                            return
                        raise ended.error()
                    case None:
                        if self._closing:
                            return
                        raise SourceError(f"the capture process {_describe_exit(process.end())}; it is restarted")
        finally:
            if usable:
                self._give_back(process)
            else:
                process.end()

    def close(self) -> None:
        """Request the process to release the device. May be called twice, and from another thread; never waits."""
        if not self._closing:
            self._closing = True
            self._process.send(Close())

    def kill(self) -> None:
        """Kill the process to free the device. May be called from another thread; never waits."""
        self._closing = True
        self._process.kill()


def _describe_exit(code: int) -> str:
    if code >= 0:
        return f"ended with code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
