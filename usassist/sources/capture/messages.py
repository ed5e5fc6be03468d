"""Messages between a capture process and its parent, one message per packet of a socket.

Pixels are not sent: a screen is sent as its layout and its slot in the ring. All other fields of a grab are sent as
they are, so a new field needs no change here, as long as it consists of numbers, texts, fractions and tuples.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import msgspec

from usassist.errors import SourceError, SourceFormatError, UsageError, UsAssistError
from usassist.sources.grab import Grab
from usassist.sources.inputs.address import GrabOptions
from usassist.sources.screen import Layout, Screen

__all__ = [
    "MAX_BYTES",
    "Close",
    "Command",
    "Ended",
    "Grabbed",
    "NewRing",
    "Open",
    "Opened",
    "Ready",
    "Report",
    "RingSlot",
    "decode_command",
    "decode_report",
    "encode",
]

MAX_BYTES = 65536
_MAX_TEXT = 4000
_ERRORS: dict[str, type[UsAssistError]] = {  # subclasses first
    kind.__name__: kind for kind in (SourceFormatError, SourceError, UsageError, UsAssistError)
}


class Open(msgspec.Struct, tag="open", frozen=True, kw_only=True):
    """Open this input and read it until it ends. The address is not on the command line: it may hold a password."""

    address: str
    options: GrabOptions


class Close(msgspec.Struct, tag="close", frozen=True):
    """Release the input."""


class Ready(msgspec.Struct, tag="ready", frozen=True):
    """The process has started."""


class Opened(msgspec.Struct, tag="opened", frozen=True, kw_only=True):
    """The input is open, or its properties have changed; see :class:`usassist.sources.grab.Grabber`."""

    description: str
    warnings: tuple[str, ...]
    rate_hz: float | None


class NewRing(msgspec.Struct, tag="memory", frozen=True, kw_only=True):
    """A new ring replaces the old one; its descriptor is sent with the packet."""

    slots: int
    slot_bytes: int


class Grabbed(msgspec.Struct, tag="shown", frozen=True):
    """A screen was grabbed."""

    grab: Grab


class Ended(msgspec.Struct, tag="ended", frozen=True, kw_only=True):
    """The input is released, and the process waits for the next :class:`Open`.

    ``problem`` is the message of the error that ended it, ``kind`` that error's class.
    """

    problem: str
    kind: str

    @classmethod
    def of(cls, error: UsAssistError) -> Ended:
        """Report the end by an error."""
        kind = next(name for name, kind in _ERRORS.items() if isinstance(error, kind))
        return cls(problem=str(error)[:_MAX_TEXT], kind=kind)

    def error(self) -> UsAssistError:
        """The error, to be raised in the parent."""
        return _ERRORS.get(self.kind, UsAssistError)(self.problem)


Command = Open | Close
Report = Ready | Opened | NewRing | Grabbed | Ended


class RingSlot(msgspec.Struct, frozen=True, array_like=True):
    """The slot of the ring that holds a screen, and the screen's layout."""

    slot: int
    layout: Layout


def encode(message: Command | Report, write_screen: Callable[[Screen], RingSlot] | None = None) -> bytes:
    """Encode a message.

    Parameters
    ----------
    write_screen : copies a screen into the ring
    """

    def hook(value: Any) -> Any:
        if isinstance(value, Screen) and write_screen is not None:
            return write_screen(value)
        if isinstance(value, Fraction):
            return value.numerator, value.denominator
        raise NotImplementedError(f"{type(value).__name__} cannot be sent")

    return msgspec.msgpack.encode(message, enc_hook=hook)


def decode_report(data: bytes, read_screen: Callable[[RingSlot], Screen]) -> Report:
    """Decode a report.

    Parameters
    ----------
    read_screen : reads a screen from the ring

    Raises
    ------
    msgspec.DecodeError
        If the bytes are not a report.
    """

    def hook(kind: type, value: Any) -> Any:
        if kind is Screen:
            return read_screen(msgspec.convert(value, RingSlot))
        if kind is Fraction:
            return Fraction(*value)
        raise NotImplementedError(f"{kind.__name__} cannot be sent")

    report: Report = msgspec.msgpack.decode(data, type=Report, dec_hook=hook)
    return report


def decode_command(data: bytes) -> Command:
    """Decode a command; raises ``msgspec.DecodeError``."""
    command: Command = msgspec.msgpack.decode(data, type=Command)
    return command
