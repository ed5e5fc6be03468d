"""What a page may say over its WebSocket: short JSON texts of two kinds, and nothing else.

======== ============================================ ==========================================================
``say``  fields                                       means
======== ============================================ ==========================================================
done     session_id, frame_id (both or neither)       it is done with one packet; with a frame: it has drawn that
                                                      frame for the first time, just now
mark     session_id, frame_id, kind                   a person marks the frame that this page shows
======== ============================================ ==========================================================

Every packet is answered with exactly one ``done``, also one that was overtaken by a newer or could not be drawn. The
server answers a mark that it does not take with a text of ``refused`` (the reason), ``frame_id`` and ``kind``; one that
it takes comes back over the bus, in the packets that follow.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from usassist.bus import MarkKind
from usassist.errors import MessageError

__all__ = ["MAX_BYTES", "Done", "MarkWish", "read_word", "refusal"]

MAX_BYTES = 512
"""A longer text is not read at all."""

_SessionId = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
_FrameId = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]


class Done(msgspec.Struct, frozen=True, kw_only=True, tag_field="say", tag="done", forbid_unknown_fields=True):
    """One packet is dealt with; see above."""

    session_id: _SessionId | None = None
    frame_id: _FrameId | None = None


class MarkWish(msgspec.Struct, frozen=True, kw_only=True, tag_field="say", tag="mark", forbid_unknown_fields=True):
    """A mark that a person wants."""

    session_id: _SessionId
    frame_id: _FrameId
    kind: MarkKind


_decode = msgspec.json.Decoder(Done | MarkWish).decode
_encode = msgspec.json.Encoder().encode


def read_word(text: str) -> Done | MarkWish:
    """Read what a page has said.

    Raises
    ------
    MessageError
        If it is not one of the two, whole and in bounds.
    """
    if len(text) > MAX_BYTES:
        raise MessageError(f"a page sent {len(text)} characters; at most {MAX_BYTES} are read, load the page again")
    try:
        word: Done | MarkWish = _decode(text)
    except msgspec.DecodeError as error:
        raise MessageError(f"what a page sent cannot be read: {error}; load the page again") from error
    return word


def refusal(wish: MarkWish, reason: str) -> str:
    """The text that tells a page why its mark is not taken."""
    return _encode({"refused": reason, "frame_id": wish.frame_id, "kind": wish.kind}).decode("utf-8")
