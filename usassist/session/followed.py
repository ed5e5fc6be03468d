"""Which frames of a recording were answered, which frame each answer followed, and when they were captured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from usassist.bus import TrackingClock
from usassist.errors import MessageError
from usassist.records import Cause
from usassist.session.messages import whole_message
from usassist.session.opening import open_session

__all__ = ["Followed", "read_followed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """What a rerun has to know of the frames that were answered.

    Attributes
    ----------
    frames : number of every frame that an engine has answered, in time or late → number of the frame that it followed
    t_capture_ns : number of a frame with a result → its stamp, ns; None where track ids were not given by stamps
    """

    frames: dict[int, int | None]
    t_capture_ns: dict[int, int] | None


def read_followed(folder: Path) -> Followed:
    """Read it from the messages of a recording.

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
    stamps_ns: dict[int, int] = {}
    by_stamps = False
    for record in open_session(folder).log():
        if record.without_pixels:
            continue
        try:
            message = whole_message(record)
        except MessageError:
            continue
        body = message.body
        if message.topic.name == "engine":
            by_stamps = body.tracking is not None and body.tracking.clock is TrackingClock.CAPTURE_TIME
        elif message.topic.name == "result":
            stamps_ns[body.frame_id] = body.t_capture_ns
            if body.state.is_answer or body.cause is Cause.LATE:
                followed[body.frame_id] = body.follows_frame_id
    return Followed(frames=followed, t_capture_ns=stamps_ns if by_stamps else None)
