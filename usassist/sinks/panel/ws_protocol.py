"""Messages from a page to the server over the WebSocket: short JSON texts of three types.

======== ============================================ ==========================================================
``type`` fields                                       meaning
======== ============================================ ==========================================================
done     session_id, frame_id (both or neither)       acknowledges one packet; with a frame: the page has just drawn
                                                      that frame for the first time
mark     session_id, frame_id, kind                   the user marks the frame that the page shows
scale    session_id, frame_id, points_xy_px,          two points on that frame and their distance; unless it is
         distance_mm, confirmed                       confirmed, only what would follow from them is asked
======== ============================================ ==========================================================

Every packet is acknowledged with exactly one ``done``, also one that was replaced by a newer packet or could not be
drawn. The server answers a refused mark with a text of ``refused`` (the reason), ``frame_id`` and ``kind``; an accepted
one comes back over the bus, in the packets that follow. It answers a ``scale`` that is not confirmed with
``mm_per_px``, ``rel_sd``, ``length_px``, ``frame_id`` and ``kind``.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from usassist.bus import MarkKind
from usassist.calibrate.two_points import TwoPointScale
from usassist.errors import MessageError

__all__ = ["MAX_BYTES", "Done", "MarkRequest", "ScaleRequest", "parse_message", "preview", "refusal"]

MAX_BYTES = 512
"""A longer message is not parsed."""

_SessionId = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
_FrameId = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]


class Done(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="done", forbid_unknown_fields=True):
    """Acknowledges one packet."""

    session_id: _SessionId | None = None
    frame_id: _FrameId | None = None


class MarkRequest(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="mark", forbid_unknown_fields=True):
    """Asks for a mark."""

    session_id: _SessionId
    frame_id: _FrameId
    kind: MarkKind

    def __post_init__(self) -> None:
        """Refuse the kinds that need more than a frame."""
        if self.kind not in (MarkKind.BOOKMARK, MarkKind.WRONG, MarkKind.MISSED):
            raise ValueError(f"a mark {self.kind} needs more than its frame")


_Point = tuple[float, float]


class ScaleRequest(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="scale", forbid_unknown_fields=True
):
    """Asks for the scale by two points (x, y in px of the frame), or only what it would be."""

    session_id: _SessionId
    frame_id: _FrameId
    points_xy_px: tuple[_Point, _Point]
    distance_mm: float
    confirmed: bool

    kind = MarkKind.SCALE


Request = Done | MarkRequest | ScaleRequest
_decode = msgspec.json.Decoder(Request).decode
_encode = msgspec.json.Encoder().encode


def parse_message(text: str) -> Request:
    """Parse a message from a page.

    Raises
    ------
    MessageError
        If it is not a valid message of one of the three types.
    """
    if len(text) > MAX_BYTES:
        raise MessageError(f"a page sent {len(text)} characters; at most {MAX_BYTES} are read; reload the page")
    try:
        message: Request = _decode(text)
    except msgspec.DecodeError as error:
        raise MessageError(f"a message of a page cannot be parsed: {error}; reload the page") from error
    return message


def refusal(request: MarkRequest | ScaleRequest, reason: str) -> str:
    """The answer to a page whose mark is refused."""
    return _encode({"refused": reason, "frame_id": request.frame_id, "kind": request.kind}).decode("utf-8")


def preview(request: ScaleRequest, scale: TwoPointScale) -> str:
    """The answer to a page that asks what scale would follow."""
    answer = {"mm_per_px": scale.mm_per_px, "rel_sd": scale.rel_sd, "length_px": scale.length_px}
    return _encode({**answer, "frame_id": request.frame_id, "kind": request.kind}).decode("utf-8")
