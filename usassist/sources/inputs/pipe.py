"""A program that writes video to its standard output, or a FIFO: for grabbers that FFmpeg does not support."""

from __future__ import annotations

import os
import shlex
import signal
import stat
import subprocess
import threading
from contextlib import suppress
from pathlib import Path

from usassist.errors import SourceError, UsageError
from usassist.sources.inputs.address import GrabOptions
from usassist.sources.inputs.opening import STREAM_FORMATS, open_container
from usassist.sources.inputs.polled import PolledReader
from usassist.sources.inputs.stream import StreamGrabber, StreamHooks

__all__ = ["open_grabber", "open_program"]

_BUFFER_BYTES = 1 << 20  # a raw frame is large, and each read goes through Python
_GRACE_S = 0.5  # between SIGTERM and SIGKILL
_MAX_QUOTED = 200  # characters of a program's error message


def open_grabber(address: str, options: GrabOptions) -> StreamGrabber:
    """Open ``pipe:COMMAND`` or ``pipe:/path/of/fifo``.

    Parameters
    ----------
    address : the command is run without a shell and must write NUT, MPEG-TS, Matroska or YUV4MPEG
    options : timeouts and decoding

    Raises
    ------
    UsageError
        If there is no command.
    SourceError
        If the program cannot be run, ends with an error, is silent, or writes no video.
    """
    rest = address.partition(":")[2].strip()
    if not rest:
        raise UsageError("pipe: there is no command and no FIFO; write pipe:COMMAND or pipe:/path/of/fifo")
    if _is_fifo(rest):
        reader = PolledReader(_open_fifo(rest), timeout_s=options.open_timeout_s)
        return _open(reader, None, options)
    try:
        argv = shlex.split(rest)
    except ValueError as error:
        raise UsageError(f"pipe: the command cannot be parsed ({error}); check its quotes") from None
    return open_program(argv, options)


def open_program(
    argv: list[str], options: GrabOptions, *, scheme: str = "pipe", mode: str = "", rate_hz: float | None = None
) -> StreamGrabber:
    """Run a program and read the video that it writes to its standard output.

    Parameters
    ----------
    argv : program and arguments
    options : timeouts and decoding
    scheme, mode, rate_hz : see :class:`usassist.sources.inputs.stream.StreamGrabber`

    Raises
    ------
    SourceError
        If it cannot be run, ends with an error, is silent, or writes no video.
    """
    child = _Child(argv, scheme)
    reader = PolledReader(
        child.data_fd,
        stderr_fd=child.stderr_fd,
        timeout_s=options.open_timeout_s,
        scheme=scheme,
        on_end=child.check,
    )
    return _open(reader, child, options, scheme, mode, rate_hz)


def _open(
    reader: PolledReader,
    child: _Child | None,
    options: GrabOptions,
    scheme: str = "pipe",
    mode: str = "",
    rate_hz: float | None = None,
) -> StreamGrabber:
    def release() -> None:
        if child is not None:
            child.end()
        reader.release()

    try:
        try:
            container = open_container(
                reader,
                scheme=scheme,
                options=options,
                settings={"format_whitelist": STREAM_FORMATS, "protocol_whitelist": "none"},
                buffer_size=_BUFFER_BYTES,
            )
        except SourceError:
            reader.raise_failure()
            raise
        reader.timeout_s = options.read_timeout_s
        hooks = StreamHooks(interrupt=reader.interrupt, release=release, ended=reader.raise_failure)
        return StreamGrabber(
            container, scheme=scheme, mode=mode, rate_hz=rate_hz, hooks=hooks, deinterlace=options.deinterlace
        )
    except BaseException:
        release()
        raise


class _Child:
    """The program, in a process group of its own, so that its children end with it.

    It stays in the session of the capture process, by which that process's parent finds and kills it.
    """

    def __init__(self, argv: list[str], scheme: str) -> None:
        self._scheme = scheme
        name = Path(argv[0]).name
        try:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                process_group=0,
            )
        except FileNotFoundError:
            raise SourceError(
                f"{scheme}: there is no program or FIFO {name}; check its spelling, or make the FIFO with mkfifo"
            ) from None
        except (OSError, ValueError) as error:
            raise SourceError(
                f"{scheme}: {name} cannot be run ({getattr(error, 'strerror', None) or error}); "
                "give a program that writes video to its standard output"
            ) from None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        # Duplicates, so that only one side closes them.
        self.data_fd, self.stderr_fd = os.dup(self._process.stdout.fileno()), os.dup(self._process.stderr.fileno())
        self._process.stdout.close()
        self._process.stderr.close()
        self._lock = threading.Lock()
        self._ended = False

    def check(self, reader: PolledReader) -> None:
        """Raise with the last error message of a program that ended with an error."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_GRACE_S)
        code = self._process.returncode
        if code:
            how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
            line = reader.last_stderr_line()[:_MAX_QUOTED]
            raise SourceError(
                f"{self._scheme}: the program {how}" + (f" ({line!r})" if line else "") + "; run it alone to see why"
            )

    def end(self) -> None:
        """Terminate the process group."""
        with self._lock:
            if self._ended:
                return
            self._ended = True
        group = self._process.pid
        try:
            os.killpg(group, signal.SIGTERM)
        except ProcessLookupError:
            self._process.wait()
            return
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_GRACE_S)
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
        self._process.wait()


def _is_fifo(text: str) -> bool:
    try:
        return stat.S_ISFIFO(Path(text).expanduser().stat().st_mode)
    except (OSError, ValueError):
        return False


def _open_fifo(text: str) -> int:
    try:
        # A blocking open() would wait for a writer.
        return os.open(Path(text).expanduser(), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except PermissionError:
        raise SourceError("pipe: this user may not read the FIFO; change its permissions") from None
    except OSError as error:
        raise SourceError(f"pipe: the FIFO cannot be opened ({error.strerror}); make it again with mkfifo") from None
