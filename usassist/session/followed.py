"""Which frames of a recording were answered, and which frame each answer followed."""

from __future__ import annotations

from pathlib import Path

from usassist.errors import MessageError
from usassist.records import Cause
from usassist.session.messages import whole_message
from usassist.session.opening import open_session

__all__ = ["read_followed"]


def read_followed(folder: Path) -> dict[int, int | None]:
    """Number of every frame that an engine has answered, in time or late → number of the frame that it followed.

    Damaged messages are skipped: their frames count as not answered.

    Parameters
    ----------
    folder : of a recorded session

    Raises
    ------
    SessionError
        If it holds no session, or no messages.
    """
    followed: dict[int, int | None] = {}
    for record in open_session(folder).log():
        if record.without_pixels:
            continue
        try:
            message = whole_message(record)
        except MessageError:
            continue
        if message.topic.name == "result" and (message.body.state.is_answer or message.body.cause is Cause.LATE):
            followed[message.body.frame_id] = message.body.follows_frame_id
    return followed
