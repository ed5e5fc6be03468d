"""What every source offers, whatever it reads from.

A source gives frames that are already cropped to the scan area: what lies outside it on a scanner's screen (the
patient banner) never leaves this package.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, Protocol, Self

from usassist.calibrate import Geometry
from usassist.common.clock import Clock, MonotonicClock
from usassist.errors import UsageError
from usassist.records import Frame, Signal, SourceInfo

__all__ = ["Crop", "Source", "SourceOptions", "parse_crop"]

Crop = Literal["auto", "none"] | tuple[int, int, int, int]


class Source(Protocol):
    """A stream of frames. Use it as a context manager.

    ``frames()`` paces itself: a source with native timing hands each frame over when it is due and stamps
    ``t_capture_ns`` at that moment; a source opened with ``fast=True`` hands frames over as they are asked for.
    The iterator ends when the stream ends. It raises ``SourceError`` when the stream breaks in the middle, after all
    frames before the break were given.

    ``signal`` is how the signal of a live source is now, safe to be asked from any thread; None where there is no such
    thing: a file is always what it is. ``info`` of a live source changes when its picture does.

    ``decode_errors`` counts the pictures that the stream holds but that could not be decoded; none is left out
    silently.
    """

    decode_errors: int

    @property
    def info(self) -> SourceInfo:
        """What is known of the stream now."""
        ...

    @property
    def signal(self) -> Signal | None:
        """How the signal of a live source is now."""
        ...

    def frames(self) -> Iterator[Frame]:
        """Give the frames in order, ``frame_id`` from 0."""
        ...

    def close(self) -> None:
        """Release the device or file. May be called twice, and from another thread than ``frames()``."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOptions:
    """What may be asked of any source.

    Attributes
    ----------
    session_id, source_id : copied to every frame
    fast : hand frames over as they are asked for, instead of when they are due
    repeat : begin again at the end; ``frame_id`` goes on rising
    count : stop after this many frames; None = at the end
    crop : ``auto`` finds the scan area, ``none`` keeps the whole screen, or x1, y1, x2, y2 in px of the screen
    geometry : the calibration of this scanner; its crop is used where ``crop`` is ``auto``
    clock : the clock that paces and stamps
    deinterlace : take the two moments apart that interlaced video weaves into one picture (clips and live input)
    """

    session_id: str
    source_id: str = "us0"
    fast: bool = False
    repeat: bool = False
    count: int | None = None
    crop: Crop = "auto"
    geometry: Geometry | None = None
    clock: Clock = field(default_factory=MonotonicClock)
    deinterlace: bool = False

    def __post_init__(self) -> None:
        """Check ranges."""
        if self.count is not None and self.count < 1:
            raise UsageError(f"count must be 1 or more, got {self.count}; leave it out to play to the end")
        if isinstance(self.crop, str) and self.crop not in ("auto", "none"):
            raise UsageError(f"crop must be auto, none or x1,y1,x2,y2, got {self.crop!r}; give one of these")

    def frame_count(self, available: int | None) -> int | None:
        """How many frames a source gives that holds `available` of them; None where that is not known."""
        if self.repeat or available is None:
            return self.count
        return available if self.count is None else min(self.count, available)


def parse_crop(text: str) -> Crop:
    """Read a crop as it is written on the command line.

    Parameters
    ----------
    text : ``auto``, ``none`` or ``x1,y1,x2,y2`` in px of the screen

    Raises
    ------
    UsageError
        If it is none of these.
    """
    word = text.strip().lower()
    if word == "auto":
        return "auto"
    if word == "none":
        return "none"
    parts = word.split(",")
    try:
        x1, y1, x2, y2 = (int(part) for part in parts)
    except ValueError:
        raise UsageError(f"crop {text!r} is not auto, none or x1,y1,x2,y2 in px; give one of these") from None
    return x1, y1, x2, y2
