"""An object that is not written, and why."""

from __future__ import annotations

__all__ = ["RefusedError"]


class RefusedError(Exception):
    """This object cannot be called clean. The message is a clause without a value of the header; it is reported."""
