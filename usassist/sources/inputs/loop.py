"""A live input for measuring: a clip that is decoded once and then comes over and over, as from a grabber.

Everything behind the device is real: each picture is copied out of the planes in which a grabber delivers it, and goes
through the same capture, watch, cropping and checks. What is missing is the device, and the decoding of a compressed
stream. The clip is played there and back, so that no picture follows on itself and no step is larger than in the clip:
nothing has to be switched off for it.
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
from usassist.config import resource_dir
from usassist.errors import SourceError, UsageError
from usassist.sources.address import parse_settings
from usassist.sources.decoding import VideoPass, check_file
from usassist.sources.grab import Grab
from usassist.sources.inputs.address import GrabOptions
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
_MAX_PICTURES = 90
_MAX_BYTES = 96 * 2**20  # of one loop
_MIN_FAULT_S = 6
_LOOK_S = 0.02
_LONGEST_SLEEP_NS = 50_000_000  # how long it may take to notice that it is closed


def open_grabber(address: str, options: GrabOptions) -> LoopGrabber:
    """Open ``loop:CLIP``, with ``?fps=60&size=1280x720&format=yuv420p&faults=12`` behind it.

    CLIP is a path, or ``demo`` for the bundled clip. The rate is that of the clip where none is given, the size is the
    clip's, and the format is ``yuv420p``, ``nv12``, ``yuyv422`` or ``gray``. With ``faults`` every so many seconds one
    thing goes wrong, see :mod:`usassist.sources.inputs.loop`.

    Raises
    ------
    UsageError
        If the address is malformed.
    SourceError
        If the clip cannot be read, or the loop is unplugged just now.
    """
    clip, _, rest = address.partition(":")[2].partition("?")
    if "," in rest:
        raise UsageError(f"loop: settings have & between them; {_REMEDY}")
    settings = parse_settings(rest.replace("&", ","), _KNOWN, source="loop")
    path = resource_dir("demo") / "clip.mkv" if clip in ("", "demo") else Path(clip).expanduser()
    every_s = _whole(settings, "faults", _MIN_FAULT_S, 3600)
    if every_s is not None and fault_at(time.monotonic_ns(), every_s) == "unplug":
        raise SourceError("loop: the device is unplugged for this test; wait until it is back")
    pixel_format = settings.get("format", "yuv420p")
    if pixel_format not in _FORMATS:
        raise UsageError(f"loop: there is no format {pixel_format}; choose one of {', '.join(_FORMATS)}")
    size = settings.get("size")
    match = _SIZE.fullmatch(size) if size is not None else None
    if size is not None and match is None:
        raise UsageError(f"loop: {size} is no size; {_REMEDY}")
    wh_px = None if match is None else (int(match[1]), int(match[2]))
    if wh_px is not None and (wh_px[0] % 2 or wh_px[1] % 2):
        raise UsageError(f"loop: {size} is odd; video wants even sizes")
    rate_hz, pictures = load_frames(path, wh_px, pixel_format)
    resized = load_frames(path, RESIZED_WH_PX, pixel_format)[1] if every_s is not None else ()
    fps = _whole(settings, "fps", 1, _MAX_RATE_HZ) or rate_hz
    return LoopGrabber(
        pictures, fps, fault=None if every_s is None else lambda t_ns: fault_at(t_ns, every_s), resized=resized
    )


@lru_cache(maxsize=2)  # what is opened again is not loaded again
def load_frames(
    path: Path, wh_px: tuple[int, int] | None, pixel_format: str
) -> tuple[float, tuple[av.VideoFrame, ...]]:
    """The first seconds of a clip in memory, 90 pictures or 96 MiB at most, resized and in the wanted format.

    Returns
    -------
    rate_hz : of the clip, 30 where it states none
    pictures : at least two

    Raises
    ------
    SourceError
        If the clip is not there, or holds fewer than two pictures.
    SourceFormatError
        If it holds no video that can be decoded.
    """
    check_file(path)
    pictures: list[av.VideoFrame] = []
    held_bytes = 0
    with VideoPass(path) as video:
        rate_hz = video.rate_hz or 30.0
        for frame in video.frames():
            width, height = wh_px or (frame.width - frame.width % 2, frame.height - frame.height % 2)
            picture = frame.reformat(width, height, pixel_format, interpolation="BICUBIC")
            held_bytes += sum(plane.buffer_size for plane in picture.planes)
            if len(pictures) == _MAX_PICTURES or (held_bytes > _MAX_BYTES and len(pictures) > 1):
                break
            pictures.append(picture)
    if len(pictures) < 2:
        raise SourceError(f"loop: {path.name} holds fewer than two pictures; give a longer clip")
    return rate_hz, tuple(pictures)


class LoopGrabber(Closeable):
    """Gives pictures of a loop at its rate; see :class:`usassist.sources.grab.Grabber`.

    Of pictures that became due while the one before was being taken only the newest three are given, as from a grabber
    whose buffers are emptied late. ``pts`` counts the pictures that were due, so a step of more than one tells how many
    were left out.

    Parameters
    ----------
    pictures : at least two
    fps : pictures a second
    fault : time (monotonic ns) → what is wrong then, see :func:`usassist.sources.inputs.loop.fault_at`
    resized : the same pictures on a screen of another size, for that fault
    """

    def __init__(
        self,
        pictures: Sequence[av.VideoFrame],
        fps: float,
        *,
        fault: Callable[[int], str | None] | None = None,
        resized: Sequence[av.VideoFrame] = (),
    ) -> None:
        first = pictures[0]
        self.rate_hz: float | None = float(fps)
        self.description = f"loop, {first.format.name} {first.width} x {first.height} px, {fps:.4g} Hz"
        self.warnings: tuple[str, ...] = ()
        self._pictures, self._resized = pictures, resized
        self._fault = fault or (lambda t_ns: None)
        self._black: av.VideoFrame | None = None
        self._closing = threading.Event()

    def grabs(self) -> Iterator[Grab]:
        """Give the pictures when they are due, for ever.

        Raises
        ------
        SourceError
            When the loop is unplugged.
        """
        assert self.rate_hz is not None
        period_ns, start_ns, place = 1e9 / self.rate_hz, time.monotonic_ns(), 0
        time_base = Fraction(1 / self.rate_hz).limit_denominator(100_000)
        shown = 0
        while True:
            due_ns = start_ns + round(place * period_ns)
            if not self._wait_until(due_ns):
                return
            behind = max(0, int((time.monotonic_ns() - due_ns) / period_ns) - (FRESH_QUEUE_SIZE - 1))
            place, due_ns = place + behind, due_ns + round(behind * period_ns)
            fault = self._fault(due_ns)
            if fault == "unplug":
                raise SourceError("loop: the device is gone; plug it in again")
            if fault == "silence":
                self._closing.wait(_LOOK_S)
                place += 1
                continue
            shown = shown if fault == "freeze" else place
            picture = self._picture(shown, fault)
            yield Grab(
                number=place,
                screen=Screen.of(picture, borrowed=True),
                t_capture_ns=due_ns,
                t_decoded_ns=time.monotonic_ns(),
                stamp="driver",
                pts=place,
                time_base=time_base,
            )
            place += 1

    def close(self) -> None:
        """End it at once."""
        self._closing.set()

    def _wait_until(self, due_ns: int) -> bool:
        """Sleep until then; False when the loop is closed. An event's own wait may end two milliseconds late."""
        while not self._closing.is_set():
            left_ns = due_ns - time.monotonic_ns()
            if left_ns <= 0:
                return True
            time.sleep(min(left_ns, _LONGEST_SLEEP_NS) / 1e9)
        return False

    def _picture(self, place: int, fault: str | None) -> av.VideoFrame:
        if fault == "black":
            if self._black is None:
                first = self._pictures[0]
                black = av.VideoFrame.from_ndarray(np.zeros((first.height, first.width), np.uint8), "gray")
                self._black = black.reformat(format=first.format.name)
            return self._black
        pictures = self._resized if fault == "resize" else self._pictures
        last = len(pictures) - 1
        place %= 2 * last  # the picture at an end is shown once
        return pictures[place if place <= last else 2 * last - place]


def _whole(settings: dict[str, str], name: str, least: int, most: int) -> int | None:
    text = settings.get(name)
    if text is None:
        return None
    if not text.isdecimal() or not least <= int(text) <= most:
        raise UsageError(f"loop: {name}={text} is not between {least} and {most}; {_REMEDY}")
    return int(text)


def fault_at(t_ns: int, every_s: float) -> str | None:
    """What is wrong at a time: in the last 1.5 s of every `every_s` seconds one of :data:`FAULTS`, in their order.

    Parameters
    ----------
    t_ns : monotonic ns
    every_s : more than 1.5

    Returns
    -------
    fault : None while all is well
    """
    turn, rest_s = divmod(t_ns / 1e9, every_s)
    return FAULTS[int(turn) % len(FAULTS)] if rest_s >= every_s - FAULT_S else None
