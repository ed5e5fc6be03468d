"""Messages from a page to the server over the WebSocket: short JSON texts of four types.

============ ======================================== ==========================================================
``type``     fields                                   meaning
============ ======================================== ==========================================================
done         session_id, frame_id (both or neither)   acknowledges one packet; with a frame: the page has just
                                                      drawn that frame for the first time
mark         session_id, frame_id, kind               the user marks the frame that the page shows
plane        session_id, frame_id, plane, side        the user states plane, side or both of that frame
descriptors  session_id, frame_id, track_id,          a clinician confirms words about one nodule of that frame
             descriptors
============ ======================================== ==========================================================

Every packet is acknowledged with exactly one ``done``, also one that was replaced by a newer packet or could not be
drawn. The server answers a refused mark with a text of ``refused`` (the reason), ``frame_id`` and ``kind``, of
descriptors also ``track_id``; an accepted one comes back over the bus, in the packets that follow. What planes and
descriptors come to is sent as a text ``said``, see :mod:`usassist.sinks.panel.said`.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from usassist.bus import MarkKind, Plane, Side
from usassist.errors import MessageError

__all__ = [
    "MAX_BYTES",
    "DescriptorsRequest",
    "Done",
    "MarkRequest",
    "PlaneRequest",
    "Request",
    "parse_message",
    "refusal",
]

MAX_BYTES = 512
"""A longer message is not parsed."""

_SessionId = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
_FrameId = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]
_TrackId = Annotated[int, msgspec.Meta(ge=-1, lt=2**31)]
_Word = Annotated[str, msgspec.Meta(min_length=1, max_length=32)]
_Words = Annotated[tuple[_Word, ...], msgspec.Meta(min_length=1, max_length=8)]
_Descriptors = Annotated[dict[_Word, _Words], msgspec.Meta(min_length=1, max_length=8)]


class Done(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="done", forbid_unknown_fields=True):
    """Acknowledges one packet."""

    session_id: _SessionId | None = None
    frame_id: _FrameId | None = None


class MarkRequest(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="mark", forbid_unknown_fields=True):
    """Asks for a mark of a kind that says all by itself."""

    session_id: _SessionId
    frame_id: _FrameId
    kind: Literal["bookmark", "wrong", "missed"]


class PlaneRequest(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="plane", forbid_unknown_fields=True
):
    """States plane and side of a frame, at least one of them."""

    session_id: _SessionId
    frame_id: _FrameId
    plane: Plane | None = None
    side: Side | None = None

    def __post_init__(self) -> None:
        """Check that there is one; a ``ValueError`` makes a message malformed."""
        if self.plane is None and self.side is None:
            raise ValueError("a plane or a side is needed")

    @property
    def kind(self) -> str:
        """Of the mark."""
        return MarkKind.PLANE.value


class DescriptorsRequest(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="descriptors", forbid_unknown_fields=True
):
    """Confirms words about one nodule. ``track_id`` is -1 where the nodule has no identity."""

    session_id: _SessionId
    frame_id: _FrameId
    track_id: _TrackId
    descriptors: _Descriptors

    @property
    def kind(self) -> str:
        """Of the mark."""
        return MarkKind.DESCRIPTORS.value


Request = MarkRequest | PlaneRequest | DescriptorsRequest
"""A request for a mark."""

_decode = msgspec.json.Decoder(Done | Request).decode
_encode = msgspec.json.Encoder().encode


def parse_message(text: str) -> Done | Request:
    """Parse a message from a page.

    Raises
    ------
    MessageError
        If it is not a valid message of one of the types.
    """
    if len(text) > MAX_BYTES:
        raise MessageError(f"a page sent {len(text)} characters; at most {MAX_BYTES} are read; reload the page")
    try:
        message: Done | Request = _decode(text)
    except msgspec.DecodeError as error:
        raise MessageError(f"a message of a page cannot be parsed: {error}; reload the page") from error
    return message


def refusal(request: Request, reason: str) -> str:
    """The answer to a page whose mark is refused."""
    answer: dict[str, str | int] = {"refused": reason, "frame_id": request.frame_id, "kind": request.kind}
    if isinstance(request, DescriptorsRequest):
        answer["track_id"] = request.track_id
    return _encode(answer).decode("utf-8")
