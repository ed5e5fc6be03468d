"""Checks that every record makes of its fields."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt

from usassist.errors import RecordError

__all__ = ["checked_array", "require_identity"]

_SOURCE_ID = re.compile(r"[a-z0-9_]+")


def require_identity(session_id: str, source_id: str, frame_id: int) -> None:
    """Check what names a frame.

    Raises
    ------
    RecordError
        If the session is empty, the source does not match ``[a-z0-9_]+``, or the number is negative.
    """
    if not session_id:
        raise RecordError("session_id must not be empty")
    if not _SOURCE_ID.fullmatch(source_id):
        raise RecordError(f"source_id must match [a-z0-9_]+, got {source_id!r}")
    if frame_id < 0:
        raise RecordError(f"frame_id must not be negative, got {frame_id}")


def checked_array(value: Any, dtype: Any, name: str) -> npt.NDArray[Any]:
    """Check the dtype, and give a C-ordered read-only array; pixels are copied only when they are not in C order."""
    if not isinstance(value, np.ndarray):
        raise RecordError(f"{name} must be a numpy array, got {type(value).__name__}")
    if value.dtype != dtype:
        raise RecordError(f"{name} must be {np.dtype(dtype)}, got {value.dtype}")
    array: npt.NDArray[Any] = np.ascontiguousarray(value) if value.ndim else value
    if array.flags.writeable:
        array = array.view()
        array.flags.writeable = False
    return array
