"""Which frames have an answer, and how those without one are listed beside an export."""

from __future__ import annotations

from typing import Any

from usassist.records import ResultState
from usassist.session.export.pixels import image_name
from usassist.session.opening import SessionLine

__all__ = ["UNANSWERED_KEYS", "is_answer", "unanswered"]

UNANSWERED_KEYS = ("state", "cause", "reason")

_ANSWERS = (ResultState.FINDING, ResultState.NO_FINDING)


def is_answer(result: dict[str, Any] | None) -> bool:
    """True where a line of ``results.jsonl`` says what was found, or that nothing was."""
    return result is not None and result["state"] in _ANSWERS


def unanswered(line: SessionLine, *, lost: bool) -> dict[str, Any]:
    """A frame that an export leaves out, with state, cause and reason.

    Parameters
    ----------
    line : of the frame
    lost : its pixels cannot be read
    """
    result = line.result or {"state": "missing", "reason": "the result is not in the recording"}
    if lost:
        result = {"state": "missing", "reason": "the pixels of the frame cannot be read"}
    return {
        "frame_id": line.frame_id,
        "file_name": image_name(line.frame_id),
        **{key: result.get(key) for key in UNANSWERED_KEYS},
    }
