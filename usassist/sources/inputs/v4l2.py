"""A frame grabber or camera under Linux (Video4Linux2)."""

from __future__ import annotations

import errno
import logging
import os
import select
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from usassist.errors import SourceError, UsageError
from usassist.sources.inputs.address import GrabOptions
from usassist.sources.inputs.opening import open_container
from usassist.sources.inputs.stream import StreamGrabber, StreamHooks
from usassist.sources.inputs.v4l2_choice import Choice, check_current, choose, parse_wanted
from usassist.sources.inputs.v4l2_modes import list_modes, query_current, query_device

__all__ = ["open_device", "open_grabber", "users_of"]

_log = logging.getLogger(__name__)

_POLL_MS = 50
_VIDEO_CODECS = frozenset({"h264", "hevc"})  # formats for which GPU decoding pays


def open_grabber(address: str, options: GrabOptions) -> StreamGrabber:
    """Open ``v4l2:/dev/video0``, optionally with ``,size=1920x1080,rate=60,format=mjpeg``.

    Without settings the best mode is chosen: the largest frame at 30 Hz or more, uncompressed where that is as large.
    After opening, the mode that the device is actually in is checked.

    Raises
    ------
    UsageError
        If the address is malformed.
    SourceError
        If the device is missing, busy, not permitted, no frame grabber, or lacks the mode.
    """
    name, _, rest = address.partition(":")[2].partition(",")
    if not name:
        raise UsageError("v4l2: no device is given; write v4l2:/dev/video0, and see usassist sources list")
    wanted = parse_wanted(rest)
    fd = open_device(name)
    try:
        if not query_device(fd).captures:
            raise SourceError("v4l2: the device does not capture video; see usassist sources list")
        choice = choose(list_modes(fd, wanted_wh_px=wanted.wh_px), wanted)
        settings = {
            "input_format": choice.format,
            "video_size": f"{choice.width_px}x{choice.height_px}",
            "timestamps": "default",  # the driver's, on the monotonic clock with nearly all drivers
        }
        if choice.rate_hz is not None:
            settings["framerate"] = str(choice.rate_hz)
        opened_before = _descriptors(name)
        try:
            container = open_container(
                name,
                scheme="v4l2",
                options=options if wanted.hw is None else replace(options, hw=wanted.hw),
                settings=settings,
                format_name="video4linux2",
                hw=choice.format in _VIDEO_CODECS,
            )
        except SourceError as error:
            if users := users_of(name):
                raise SourceError(f"{str(error).partition(';')[0]}; it is in use by {users}: end that first") from None
            raise
        try:
            current = query_current(fd)
            warnings = check_current(choice, current, wanted)
        except BaseException:
            container.close()
            raise
        for warning in warnings:
            _log.warning("v4l2: %s", warning)
        rate_hz = current.rate_hz or choice.rate_hz
        own = sorted(_descriptors(name) - opened_before)
        return StreamGrabber(
            container,
            scheme="v4l2",
            mode=_mode_text(choice, rate_hz),
            warnings=warnings,
            rate_hz=None if rate_hz is None else float(rate_hz),
            deinterlace=options.deinterlace,
            hooks=StreamHooks(
                before_read=_waiter(own[0], options.read_timeout_s) if own else None,
                driver_stamps=True,
            ),
        )
    except SourceError:
        raise
    except OSError as error:
        raise SourceError(f"v4l2: {_why(error, name)}") from None
    finally:
        os.close(fd)


def open_device(name: str) -> int:
    """Open a device to query it, which does not disturb a program that reads from it.

    Raises
    ------
    SourceError
        If it is missing, not a device, or not permitted.
    """
    try:
        if not stat.S_ISCHR(Path(name).stat().st_mode):
            raise SourceError("v4l2: this is not a device; see usassist sources list")
        return os.open(name, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except SourceError:
        raise
    except (OSError, ValueError) as error:
        raise SourceError(f"v4l2: {_why(error, name)}") from None


def users_of(name: str) -> str:
    """Other programs that have a device open, as far as this user may see them; empty if none."""
    try:
        target = Path(name).resolve()
    except (OSError, RuntimeError):
        return ""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        if process.name == str(os.getpid()):
            continue
        with suppress(OSError):
            if any(os.readlink(link) == str(target) for link in (process / "fd").iterdir()):
                found.append(f"{(process / 'comm').read_text().strip()} (process {process.name})")
    return ", ".join(found)


def _why(error: BaseException, name: str) -> str:
    match getattr(error, "errno", None):
        case errno.ENOENT | errno.ENODEV | errno.ENXIO:
            return "there is no such device; plug it in, and see usassist sources list"
        case errno.EACCES | errno.EPERM:
            return "this user may not open the device; add the user to the group video and log in again"
        case errno.EBUSY:
            users = users_of(name)
            return f"the device is in use{f' by {users}' if users else ''}; end the other program"
        case errno.ENOTTY | errno.EINVAL:
            return "this is not a Video4Linux device; see usassist sources list"
    return f"the device does not answer ({getattr(error, 'strerror', None) or error}); plug it in again"


def _descriptors(name: str) -> set[int]:
    """Descriptors of this process that are open on the device; FFmpeg does not expose its own."""
    target = os.path.realpath(name)
    found = set()
    for link in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            if os.readlink(link) == target:
                found.add(int(link.name))
    return found


def _waiter(fd: int, timeout_s: float) -> Callable[[Callable[[], bool]], None]:
    """Make a function that waits for a frame with a timeout; FFmpeg would wait in the kernel without limit."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)

    def wait(give_up: Callable[[], bool]) -> None:
        deadline_s = time.monotonic() + timeout_s
        while True:
            if events := poll.poll(_POLL_MS):
                if events[0][1] & select.POLLIN:
                    return
                raise SourceError("v4l2: the device is gone; plug it in again")
            if give_up():
                raise SourceError("v4l2: closed; open it again")
            if time.monotonic() >= deadline_s:
                raise SourceError("v4l2: no frame arrives; check the cable and that the scanner is on")

    return wait


def _mode_text(choice: Choice, rate_hz: Fraction | None) -> str:
    text = f"{choice.format} {choice.width_px} x {choice.height_px} px"
    return text if rate_hz is None else f"{text}, {float(rate_hz):.4g} Hz"
