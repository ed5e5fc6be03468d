"""Whole screens of live inputs, before cropping, and the interfaces that deliver them; none leave this package."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, Protocol

from usassist.records import Pose
from usassist.sources.screen import Screen

__all__ = ["Grab", "Grabber", "Input", "Opener"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Grab:
    """One whole screen.

    It is sent from the capture process field by field, so each field is a number, a text, a fraction, a tuple of these
    or a dataclass with such fields; see ``capture/messages.py``.

    Attributes
    ----------
    number : from 0, counts every frame of this connection, also skipped ones
    screen : its pixels
    t_capture_ns : monotonic ns; the driver's timestamp where that is monotonic, else when the data arrived
    t_decoded_ns : monotonic ns at which its luma was ready; colour is computed only where it is used
    stamp : origin of `t_capture_ns`
    pts, time_base : timestamp of the stream
    damaged : the demuxer, driver or decoder marked this very frame as damaged
    damage_reason : why it is damaged, or predicted from a damaged frame; empty where it is intact
    spacing_rc_mm, spacing_rel_sd : mm per px as the sender states it, row step first, and its relative standard
        uncertainty; both None where it is not known
    poses : see :class:`usassist.records.FrameMetadata`
    """

    number: int
    screen: Screen
    t_capture_ns: int
    t_decoded_ns: int
    stamp: Literal["driver", "arrival"]
    pts: int | None = None
    time_base: Fraction | None = None
    damaged: bool = False
    damage_reason: str = ""
    spacing_rc_mm: tuple[float, float] | None = None
    spacing_rel_sd: float | None = None
    poses: tuple[Pose, ...] = ()


class Grabber(Protocol):
    """An open device or stream.

    `grabs` may block in a system call without limit: it runs in a process that can be killed. It ends, or raises
    ``SourceError``, when the signal is gone; then the grabber is closed and another one is opened.

    Attributes
    ----------
    description : kind and mode, without any path, address or patient text
    warnings : problems of the mode: interlaced, scaled, another rate than requested
    rate_hz : nominal, None where it is unknown
    """

    description: str
    warnings: tuple[str, ...]
    rate_hz: float | None

    def grabs(self) -> Iterator[Grab]:
        """Yield the screens as they arrive."""
        ...

    def close(self) -> None:
        """Release the device. May be called twice, and from another thread."""
        ...


class Input(Grabber, Protocol):
    """A grabber that is opened by ``grabs``; its attributes are valid from the first screen on.

    However it hangs, ``grabs`` ends soon after ``kill``.
    """

    @property
    def started(self) -> bool:
        """False while the process that opens it is still starting."""
        ...

    def close(self) -> None:
        """Request it to release the device and end. May be called twice, and from another thread; never waits."""
        ...

    def kill(self) -> None:
        """Kill it at once. May be called from another thread; never waits."""
        ...


class Opener(Protocol):
    """Opens one live input, repeatedly."""

    def prepare(self) -> None:
        """Start a warm standby: another input may be needed soon."""
        ...

    def open(self) -> Input:
        """Start to open the input. Does not wait; raises ``SourceError`` where it cannot even start."""
        ...

    def close(self) -> None:
        """Release the warm standby."""
        ...
