"""The interface of every source, and the options that all sources share.

A source yields frames that are already cropped to the scan area: the rest of a scanner's screen (the patient banner)
never leaves this package.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal, Protocol, Self, cast, get_args

from usassist.calibrate import Geometry
from usassist.common.clock import Clock, MonotonicClock
from usassist.config import resource_dir
from usassist.errors import UsageError
from usassist.records import Frame, Signal, SourceInfo
from usassist.sources.scale import ScaleMode

__all__ = ["Crop", "Source", "SourceOptions", "kind_of_clip", "parse_crop", "parse_scale"]

Crop = Literal["auto", "none"] | tuple[int, int, int, int]


class Source(Protocol):
    """A stream of frames. Use it as a context manager.

    ``frames()`` paces itself: a source with native timing yields each frame when it is due and stamps
    ``t_capture_ns`` then; a source opened with ``fast=True`` yields frames on request.
    The iterator ends with the stream. When the stream breaks off, it raises ``SourceError`` after the last frame before
    the break.

    ``signal`` is the current state of a live signal, safe to read from any thread; None for other sources. ``info`` of
    a live source changes with its screen.

    ``decode_errors`` counts the frames that the stream holds but that could not be decoded; none is left out silently.
    """

    decode_errors: int

    @property
    def info(self) -> SourceInfo:
        """What is known of the stream at present."""
        ...

    @property
    def signal(self) -> Signal | None:
        """Current state of the signal of a live source."""
        ...

    def frames(self) -> Iterator[Frame]:
        """Yield the frames in order, ``frame_id`` from 0."""
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
    """Options of every source.

    Attributes
    ----------
    session_id, source_id : copied to every frame
    fast : deliver frames on request instead of when they are due
    repeat : start again at the end; ``frame_id`` keeps rising
    count : stop after this many frames; None = at the end
    crop : ``auto`` finds the scan area, ``none`` keeps the whole screen, or x1, y1, x2, y2 in px of the screen
    geometry : the calibration of this scanner; its crop is used where ``crop`` is ``auto``
    scale : ``auto`` takes the DICOM header, the calibration and the ruler on the screen, which must agree; ``profile``
        only the calibration, or what a source knows itself; ``none`` gives no frame a scale
    clock : the clock that paces and stamps
    deinterlace : deinterlace each frame (clips and live input)
    """

    session_id: str
    source_id: str = "us0"
    fast: bool = False
    repeat: bool = False
    count: int | None = None
    crop: Crop = "auto"
    geometry: Geometry | None = None
    scale: ScaleMode = "auto"
    clock: Clock = field(default_factory=MonotonicClock)
    deinterlace: bool = False

    def __post_init__(self) -> None:
        """Check ranges."""
        if self.count is not None and self.count < 1:
            raise UsageError(f"count must be 1 or more, got {self.count}; leave it out to play to the end")
        if isinstance(self.crop, str) and self.crop not in ("auto", "none"):
            raise UsageError(f"crop must be auto, none or x1,y1,x2,y2, got {self.crop!r}; give one of these")
        parse_scale(self.scale)

    def frame_count(self, available: int | None) -> int | None:
        """Number of frames that a source with `available` frames yields; None where it is unknown."""
        if self.repeat or available is None:
            return self.count
        return available if self.count is None else min(self.count, available)


def parse_scale(text: str) -> ScaleMode:
    """Read the name of a scale mode.

    Raises
    ------
    UsageError
        If it is not ``auto``, ``profile`` or ``none``.
    """
    for mode in get_args(ScaleMode):
        if text == mode:
            return cast(ScaleMode, mode)
    raise UsageError(f"scale must be {', '.join(get_args(ScaleMode))}, got {text!r}; give one of these")


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


def kind_of_clip(clip: Path) -> str:
    """``simulated`` for a clip that ships, ``clip`` for any other; see ``records.SourceInfo``."""
    return "simulated" if clip.parent == resource_dir("demo") else "clip"
