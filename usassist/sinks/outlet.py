"""Where a sink hands in what the stream shall publish for it."""

from __future__ import annotations

from typing import Protocol

import msgspec

__all__ = ["Outlet"]


class Outlet(Protocol):
    """As much of ``bus.Inbox`` as a sink needs."""

    def post(self, topic: str, body: msgspec.Struct) -> bool:
        """Hand in one message; False when nobody takes it."""
        ...
