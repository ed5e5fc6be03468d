"""Read OpenIGTLink messages from a socket, with a limit on every length before anything is allocated for it.

A message of a type that nobody asked for is read over in small pieces, whatever its length. The body of an IMAGE is
allocated once its head agrees with the length that the header states.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from usassist.common.openigtlink.content import IMAGE_HEAD_BYTES, body_layout, read_image_head, read_metadata
from usassist.common.openigtlink.crc64 import crc64
from usassist.common.openigtlink.header import HEADER_BYTES, Header, ProtocolError, read_header

__all__ = ["ClosedByPeer", "Message", "MessageReader"]

_SMALL_BYTES = 1 << 17  # limit of a message that is no IMAGE
_IMAGE_BYTES = 1 << 26  # of the pixels of one
_SKIPPED_BYTES = 1 << 30  # of a message that is read over; beyond it the length is nonsense
_BEGIN_BYTES = 256 + IMAGE_HEAD_BYTES  # of the body of an IMAGE: as long as an extended header and its head may be
_PIECE_BYTES = 1 << 16


class ClosedByPeer(ConnectionError):
    """The other end has closed the connection."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Message:
    """One message.

    Attributes
    ----------
    header : of it
    content : its bytes; empty where nobody asked for this type
    metadata : key → text; empty with a header of version 1
    intact : the checksum agrees
    t_arrived_ns : monotonic ns at which its header was there
    waited_ns : how long was waited for it
    """

    header: Header
    content: memoryview
    metadata: dict[str, str]
    intact: bool
    t_arrived_ns: int
    waited_ns: int


class MessageReader:
    """Reads one connection; a message that has arrived in part is read on with the next call.

    Parameters
    ----------
    connection : connected
    wanted : types whose content is needed
    checks_crc : False where the sender writes no checksums
    """

    def __init__(self, connection: socket.socket, wanted: Collection[str], *, checks_crc: bool = True) -> None:
        connection.setblocking(False)
        self._connection, self._wanted, self._checks_crc = connection, frozenset(wanted), checks_crc
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)
        self._header: Header | None = None
        self._skip_bytes = 0
        self._piece = memoryview(bytearray(_PIECE_BYTES))
        self._expect(memoryview(bytearray(HEADER_BYTES)))
        self._is_begin = False
        self._t_arrived_ns = self._waited_ns = 0

    @property
    def is_between(self) -> bool:
        """Nothing of a next message has arrived yet."""
        return self._header is None and not self._filled

    def read(self, timeout_s: float) -> Message | None:
        """The next message, or None when it has not arrived in time.

        Raises
        ------
        ProtocolError
            If the bytes make no sense; nothing can be read after it.
        ClosedByPeer
            If the connection was closed.
        OSError
            If it broke.
        """
        deadline_s, began_ns = time.monotonic() + timeout_s, time.monotonic_ns()
        while True:
            if not self._fill(deadline_s):
                return None
            if self._header is None:
                self._t_arrived_ns = time.monotonic_ns()
                self._waited_ns = self._t_arrived_ns - began_ns
                self._header = read_header(self._target)
                self._begin_body(self._header)
            elif self._skip_bytes:
                self._skip_bytes -= len(self._target)
                self._expect(self._piece[: min(self._skip_bytes, _PIECE_BYTES)])
            elif self._is_begin:
                self._continue_image(self._header)
            if self._header is not None and self._filled == len(self._target) and not self._skip_bytes:
                if self._is_begin and len(self._target) < self._header.body_bytes:
                    continue
                return self._finish(self._header)

    def _expect(self, target: memoryview, filled: int = 0) -> None:
        self._target, self._filled = target, filled

    def _fill(self, deadline_s: float) -> bool:
        """Receive until the target is full; False when it is not by the deadline."""
        while self._filled < len(self._target):
            try:
                got = self._connection.recv_into(self._target[self._filled :])
            except (BlockingIOError, InterruptedError):
                left_s = deadline_s - time.monotonic()
                if left_s <= 0:
                    return False
                self._poll.poll(max(1, round(1000 * left_s)))
                continue
            if not got:
                raise ClosedByPeer("" if self.is_between else "in the middle of a message")
            self._filled += got
        return True

    def _begin_body(self, header: Header) -> None:
        if header.type not in self._wanted:
            if header.body_bytes > _SKIPPED_BYTES:
                raise ProtocolError(f"a message {header.type} states a length of {header.body_bytes} bytes")
            self._skip_bytes = header.body_bytes
            self._expect(self._piece[: min(header.body_bytes, _PIECE_BYTES)])
            return
        self._is_begin = header.type == "IMAGE"
        if self._is_begin:
            self._expect(memoryview(bytearray(min(header.body_bytes, _BEGIN_BYTES))))
            return
        if header.body_bytes > _SMALL_BYTES:
            raise ProtocolError(f"a message {header.type} states a length of {header.body_bytes} bytes")
        self._expect(memoryview(bytearray(header.body_bytes)))

    def _continue_image(self, header: Header) -> None:
        """Allocate the body of an image, once its head says the same length as the header."""
        begin = self._target
        layout = body_layout(header, begin)
        head = read_image_head(begin[layout.begin : layout.begin + IMAGE_HEAD_BYTES])
        if layout.begin + IMAGE_HEAD_BYTES + head.pixel_bytes != layout.end:
            raise ProtocolError(
                f"an IMAGE of {head.size_ijk[0]} x {head.size_ijk[1]} px states a length of {header.body_bytes} bytes"
            )
        if head.pixel_bytes > _IMAGE_BYTES:
            raise ProtocolError(f"an IMAGE of {head.pixel_bytes} bytes; usassist reads up to {_IMAGE_BYTES}")
        self._is_begin = False
        whole = np.empty(header.body_bytes, np.uint8).data
        whole[: len(begin)] = begin
        self._expect(whole, len(begin))

    def _finish(self, header: Header) -> Message:
        body = self._target if header.type in self._wanted else memoryview(b"")
        self._header, self._is_begin = None, False
        self._expect(memoryview(bytearray(HEADER_BYTES)))
        intact, metadata, content = True, {}, body
        if header.type in self._wanted:
            intact = not self._checks_crc or crc64(body) == header.crc
            if intact:
                layout = body_layout(header, body)
                metadata, content = read_metadata(body, layout), body[layout.begin : layout.end]
        return Message(
            header=header,
            content=content,
            metadata=metadata,
            intact=intact,
            t_arrived_ns=self._t_arrived_ns,
            waited_ns=self._waited_ns,
        )
