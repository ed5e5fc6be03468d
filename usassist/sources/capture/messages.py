"""What a capture process and the one that started it say to each other, one message per packet of a socket.

Pixels are not among it: a screen goes as its layout and the slot of the ring that it lies in. Whatever else a grab has
goes as it is, so a new field needs no change here, as long as it is made of numbers, texts, fractions and tuples.
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
_ERRORS: dict[str, type[UsAssistError]] = {  # the narrower before the wider
    kind.__name__: kind for kind in (SourceFormatError, SourceError, UsageError, UsAssistError)
}


class Open(msgspec.Struct, tag="open", frozen=True, kw_only=True):
    """Open this input and read from it until it ends. It is not on the command line: it may hold a password."""

    address: str
    options: GrabOptions


class Close(msgspec.Struct, tag="close", frozen=True):
    """Release the input."""


class Ready(msgspec.Struct, tag="ready", frozen=True):
    """The process has started."""


class Opened(msgspec.Struct, tag="opened", frozen=True, kw_only=True):
    """The input is open, or is not what it was; see :class:`usassist.sources.grab.Grabber`."""

    description: str
    warnings: tuple[str, ...]
    rate_hz: float | None


class NewRing(msgspec.Struct, tag="memory", frozen=True, kw_only=True):
    """The ring from now on; its descriptor comes with the packet."""

    slots: int
    slot_bytes: int


class Grabbed(msgspec.Struct, tag="shown", frozen=True):
    """A screen."""

    grab: Grab


class Ended(msgspec.Struct, tag="ended", frozen=True, kw_only=True):
    """The input is released, and the process waits for the next :class:`Open`.

    ``problem`` is the line of the error that ended it, ``kind`` that error's class.
    """

    problem: str
    kind: str

    @classmethod
    def of(cls, error: UsAssistError) -> Ended:
        """The end by an error."""
        kind = next(name for name, kind in _ERRORS.items() if isinstance(error, kind))
        return cls(problem=str(error)[:_MAX_TEXT], kind=kind)

    def error(self) -> UsAssistError:
        """The error, to be raised here."""
        return _ERRORS.get(self.kind, UsAssistError)(self.problem)


Command = Open | Close
Report = Ready | Opened | NewRing | Grabbed | Ended


class RingSlot(msgspec.Struct, frozen=True, array_like=True):
    """Where a screen lies in the ring."""

    slot: int
    layout: Layout


def encode(message: Command | Report, place: Callable[[Screen], RingSlot] | None = None) -> bytes:
    """A message as bytes.

    Parameters
    ----------
    place : puts a screen into the ring, and says where
    """

    def hook(value: Any) -> Any:
        if isinstance(value, Screen) and place is not None:
            return place(value)
        if isinstance(value, Fraction):
            return value.numerator, value.denominator
        raise NotImplementedError(f"{type(value).__name__} cannot be sent")

    return msgspec.msgpack.encode(message, enc_hook=hook)


def decode_report(data: bytes, screen: Callable[[RingSlot], Screen]) -> Report:
    """A report from its bytes.

    Parameters
    ----------
    screen : reads a screen from the ring

    Raises
    ------
    msgspec.DecodeError
        If they are none.
    """

    def hook(kind: type, value: Any) -> Any:
        if kind is Screen:
            return screen(msgspec.convert(value, RingSlot))
        if kind is Fraction:
            return Fraction(*value)
        raise NotImplementedError(f"{kind.__name__} cannot be sent")

    report: Report = msgspec.msgpack.decode(data, type=Report, dec_hook=hook)
    return report


def decode_command(data: bytes) -> Command:
    """A command from its bytes; raises ``msgspec.DecodeError``."""
    command: Command = msgspec.msgpack.decode(data, type=Command)
    return command
