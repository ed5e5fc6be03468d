"""A live input for benchmarks: a clip that is decoded once and then delivered in a loop, as from a frame grabber.

Everything after the device is real: each frame is copied out of the planes in which a grabber delivers it, and goes
through the same capture, watch, cropping and checks. Only the device and the decoding of a compressed stream are
missing. The clip is played forwards and backwards, so that no frame repeats and no step is larger than in the clip: no
check has to be switched off for it.

With ``faults`` one thing after the other goes wrong. The clock and not a counter selects it, because a loop that is
reopened after ``unplug`` has no state of the one before.

=========== =======================================================
``freeze``  the same frame is repeated
``black``   black frames are delivered
``silence`` no frame is delivered
``unplug``  the device is gone, and cannot be opened meanwhile
``resize``  the screen has another size
=========== =======================================================
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import numpy as np

from usassist.common.closeable import Closeable
from usassist.common.fresh_queue import FRESH_QUEUE_SIZE
from usassist.common.pyav import av
from usassist.errors import SourceError, UsageError
from usassist.sources.address import parse_settings
from usassist.sources.decoding import VideoPass, check_file
from usassist.sources.grab import Grab
from usassist.sources.inputs.address import GrabOptions, loop_clip
from usassist.sources.screen import Screen

__all__ = ["FAULTS", "FAULT_S", "RESIZED_WH_PX", "LoopGrabber", "fault_at", "load_frames", "open_grabber"]

FAULTS = ("freeze", "black", "silence", "unplug", "resize")
FAULT_S = 1.5
RESIZED_WH_PX = (720, 576)

_KNOWN = {"fps": "30", "size": "1280x720", "format": "yuv420p", "faults": "12"}
_REMEDY = "write loop:CLIP?fps=60&size=1280x720, or loop:demo for the bundled clip"
_FORMATS = ("gray", "nv12", "yuv420p", "yuyv422")
_SIZE = re.compile(r"(\d{2,4})x(\d{2,4})")
_MAX_RATE_HZ = 240
_MAX_FRAMES = 90
_MAX_BYTES = 96 * 2**20  # of one loop
_MIN_FAULT_S = 6
_SILENCE_POLL_S = 0.02
_MAX_SLEEP_NS = 50_000_000  # bounds how long a close takes


def open_grabber(address: str, options: GrabOptions) -> LoopGrabber:
    """Open ``loop:CLIP``, optionally with ``?fps=60&size=1280x720&format=yuv420p&faults=12``.

    CLIP is a path, or ``demo`` for the bundled clip. Rate and size default to the clip's; the format is ``yuv420p``
    (default), ``nv12``, ``yuyv422`` or ``gray``. ``faults=12`` injects a fault every 12 seconds, see :func:`fault_at`.

    Raises
    ------
    UsageError
        If the address is malformed.
    SourceError
        If the clip cannot be read, or the loop is unplugged at present.
    """
    rest = address.partition("?")[2]
    if "," in rest:
        raise UsageError(f"loop: settings are separated by &; {_REMEDY}")
    settings = parse_settings(rest.replace("&", ","), _KNOWN, source="loop")
    path = loop_clip(address)
    every_s = _whole(settings, "faults", _MIN_FAULT_S, 3600)
    if every_s is not None and fault_at(time.monotonic_ns(), every_s) == "unplug":
        raise SourceError("loop: the device is unplugged for this test; wait until it is back")
    pixel_format = settings.get("format", "yuv420p")
    if pixel_format not in _FORMATS:
        raise UsageError(f"loop: there is no format {pixel_format}; choose one of {', '.join(_FORMATS)}")
    size = settings.get("size")
    match = _SIZE.fullmatch(size) if size is not None else None
    if size is not None and match is None:
        raise UsageError(f"loop: {size} is not a size; {_REMEDY}")
    wh_px = None if match is None else (int(match[1]), int(match[2]))
    if wh_px is not None and (wh_px[0] % 2 or wh_px[1] % 2):
        raise UsageError(f"loop: {size} is odd; give an even width and height")
    rate_hz, frames = load_frames(path, wh_px, pixel_format)
    resized = load_frames(path, RESIZED_WH_PX, pixel_format)[1] if every_s is not None else ()
    fps = _whole(settings, "fps", 1, _MAX_RATE_HZ) or rate_hz
    return LoopGrabber(
        frames, fps, fault=None if every_s is None else lambda t_ns: fault_at(t_ns, every_s), resized=resized
    )


@lru_cache(maxsize=2)  # a loop that is reopened is not loaded again
def load_frames(
    path: Path, wh_px: tuple[int, int] | None, pixel_format: str
) -> tuple[float, tuple[av.VideoFrame, ...]]:
    """Load the first seconds of a clip, 90 frames or 96 MiB at most, in the requested size and format.

    Returns
    -------
    rate_hz : of the clip, 30 where it states none
    frames : at least two

    Raises
    ------
    SourceError
        If the clip is missing, or holds fewer than two frames.
    SourceFormatError
        If it holds no video that can be decoded.
    """
    check_file(path)
    frames: list[av.VideoFrame] = []
    held_bytes = 0
    with VideoPass(path) as video:
        rate_hz = video.rate_hz or 30.0
        for frame in video.frames():
            width, height = wh_px or (frame.width - frame.width % 2, frame.height - frame.height % 2)
            resized = frame.reformat(width, height, pixel_format, interpolation="BICUBIC")
            held_bytes += sum(plane.buffer_size for plane in resized.planes)
            if len(frames) == _MAX_FRAMES or (held_bytes > _MAX_BYTES and len(frames) > 1):
                break
            frames.append(resized)
    if len(frames) < 2:
        raise SourceError(f"loop: {path.name} holds fewer than two frames; give a longer clip")
    return rate_hz, tuple(frames)


class LoopGrabber(Closeable):
    """Delivers the frames of a loop at its rate; see :class:`usassist.sources.grab.Grabber`.

    Of the frames that became due while the caller was busy only the newest three are delivered, as from a grabber whose
    buffers are read late. ``pts`` counts all frames that were due, so a step of more than one shows how many were
    skipped.

    Parameters
    ----------
    frames : at least two
    fps : frames per second
    fault : maps a time (monotonic ns) to the fault at that time, see :func:`fault_at`
    resized : the same frames in another size, for ``resize``
    """

    def __init__(
        self,
        frames: Sequence[av.VideoFrame],
        fps: float,
        *,
        fault: Callable[[int], str | None] | None = None,
        resized: Sequence[av.VideoFrame] = (),
    ) -> None:
        first = frames[0]
        self.rate_hz: float | None = float(fps)
        self.description = f"loop, {first.format.name} {first.width} x {first.height} px, {fps:.4g} Hz"
        self.warnings: tuple[str, ...] = ()
        self._frames, self._resized = frames, resized
        self._fault = fault or (lambda t_ns: None)
        self._black: av.VideoFrame | None = None
        self._closing = threading.Event()

    def grabs(self) -> Iterator[Grab]:
        """Yield the frames when they are due, without end.

        Raises
        ------
        SourceError
            When the loop is unplugged.
        """
        assert self.rate_hz is not None
        period_ns, start_ns, number = 1e9 / self.rate_hz, time.monotonic_ns(), 0
        time_base = Fraction(1 / self.rate_hz).limit_denominator(100_000)
        shown = 0
        while True:
            due_ns = start_ns + round(number * period_ns)
            if not self._wait_until(due_ns):
                return
            behind = max(0, int((time.monotonic_ns() - due_ns) / period_ns) - (FRESH_QUEUE_SIZE - 1))
            number, due_ns = number + behind, due_ns + round(behind * period_ns)
            fault = self._fault(due_ns)
            if fault == "unplug":
                raise SourceError("loop: the device is gone; plug it in again")
            if fault == "silence":
                self._closing.wait(_SILENCE_POLL_S)
                number += 1
                continue
            shown = shown if fault == "freeze" else number
            yield Grab(
                number=number,
                screen=Screen.of(self._frame(shown, fault), borrowed=True),
                t_capture_ns=due_ns,
                t_decoded_ns=time.monotonic_ns(),
                stamp="driver",
                pts=number,
                time_base=time_base,
            )
            number += 1

    def close(self) -> None:
        """End it at once."""
        self._closing.set()

    def _wait_until(self, due_ns: int) -> bool:
        """Sleep until the due time; False when the loop is closed. ``Event.wait`` may return two milliseconds late."""
        while not self._closing.is_set():
            left_ns = due_ns - time.monotonic_ns()
            if left_ns <= 0:
                return True
            time.sleep(min(left_ns, _MAX_SLEEP_NS) / 1e9)
        return False

    def _frame(self, number: int, fault: str | None) -> av.VideoFrame:
        if fault == "black":
            if self._black is None:
                first = self._frames[0]
                black = av.VideoFrame.from_ndarray(np.zeros((first.height, first.width), np.uint8), "gray")
                self._black = black.reformat(format=first.format.name)
            return self._black
        frames = self._resized if fault == "resize" else self._frames
        last = len(frames) - 1
        index = number % (2 * last)  # the first and last frame are shown once per turn
        return frames[index if index <= last else 2 * last - index]


def _whole(settings: dict[str, str], name: str, least: int, most: int) -> int | None:
    text = settings.get(name)
    if text is None:
        return None
    if not text.isdecimal() or not least <= int(text) <= most:
        raise UsageError(f"loop: {name}={text} is not between {least} and {most}; {_REMEDY}")
    return int(text)


def fault_at(t_ns: int, every_s: float) -> str | None:
    """The fault at a time: one of :data:`FAULTS`, in their order, in the last 1.5 s of every `every_s` seconds.

    Parameters
    ----------
    t_ns : monotonic ns
    every_s : more than 1.5

    Returns
    -------
    fault : None while there is none
    """
    turn, rest_s = divmod(t_ns / 1e9, every_s)
    return FAULTS[int(turn) % len(FAULTS)] if rest_s >= every_s - FAULT_S else None
