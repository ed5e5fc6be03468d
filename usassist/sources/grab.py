"""What a grabber gives, before anything is cut off: it never leaves this package."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, Protocol

from usassist.sources.screen import Screen

__all__ = ["Grab", "Grabber", "Input", "Opener"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Grab:
    """One whole screen.

    It goes from the capture process to this one field by field, so each is a number, a text, a fraction or a tuple of
    these; see ``capture/messages.py``.

    Attributes
    ----------
    number : from 0, one more for every picture of this connection
    screen : its pixels
    t_capture_ns : monotonic ns; the driver's own stamp where it has a monotonic one, else when the data arrived here
    t_decoded_ns : monotonic ns at which its brightness was ready; colour is computed only where it is looked at
    stamp : where `t_capture_ns` comes from
    pts, time_base : stamp of the stream
    damaged : the decoder marked it as damaged
    damage_reason : why it is not whole: damaged, or predicted from a damaged frame; empty where it is whole
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


class Grabber(Protocol):
    """A device or stream that is open.

    `grabs` may wait in a system call for as long as that takes, and even for ever: it runs in a process that can be
    killed. It ends, or raises ``SourceError``, when the signal is gone; then the grabber is closed and another one is
    opened.

    Attributes
    ----------
    description : what it is, with its mode, without any path, address or patient text
    warnings : what is wrong with the mode: interlaced, scaled, another rate than asked for
    rate_hz : nominal, None where it is not known
    """

    description: str
    warnings: tuple[str, ...]
    rate_hz: float | None

    def grabs(self) -> Iterator[Grab]:
        """Give the screens as they come."""
        ...

    def close(self) -> None:
        """Release the device. May be called twice, and from another thread."""
        ...


class Input(Grabber, Protocol):
    """A grabber that is being opened: what it is, is known once the first screen has come.

    ``grabs`` opens it first. However it hangs, ``grabs`` ends soon after ``kill``.
    """

    @property
    def started(self) -> bool:
        """False while what opens it is still being started."""
        ...

    def close(self) -> None:
        """Ask it to release the device and end. May be called twice, and from another thread; never waits."""
        ...

    def kill(self) -> None:
        """End it at once. May be called from another thread; never waits."""
        ...


class Opener(Protocol):
    """Opens one live input, as often as it is needed."""

    def prepare(self) -> None:
        """Get ready: another input may be needed soon."""
        ...

    def open(self) -> Input:
        """Begin to open. Does not wait; raises ``SourceError`` where it cannot even begin."""
        ...

    def close(self) -> None:
        """Release what was got ready."""
        ...
