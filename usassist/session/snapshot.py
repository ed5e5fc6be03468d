"""A picture of one recorded frame with its own result, and below it what it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from usassist import __version__
from usassist.bus import EngineBody, SessionBody, frame_from, result_from
from usassist.errors import MessageError, SessionError, UsageError
from usassist.records import Frame, Result
from usassist.session.export.new_file import new_file
from usassist.session.messages import whole_message
from usassist.session.opening import RecordedSession
from usassist.session.trim import parse_moment
from usassist.sinks.overlay.draw import Painter
from usassist.sinks.overlay.snapshot import png_with_text
from usassist.sinks.overlay.text import BRIGHT, PAPER, Pen
from usassist.sinks.view import view_of_frame

__all__ = ["Moment", "find_moment", "write_snapshot"]

UInt8Array = npt.NDArray[np.uint8]

_WIDTH_PX = 560  # of a picture whose text has its nominal size
_NOTICE = "Research use only. Not a medical device."


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Moment:
    """A recorded frame and what was known of it.

    Attributes
    ----------
    frame, result : the frame, and its own result; None where that is not in the recording
    t_ns : when the result was published, or the frame captured, monotonic ns
    engine, session : the last messages before
    t_s : since the first frame of the recording
    """

    frame: Frame
    result: Result | None
    t_ns: int
    engine: EngineBody | None
    session: SessionBody | None
    t_s: float


def find_moment(session: RecordedSession, text: str) -> Moment:
    """The frame that a user names.

    Parameters
    ----------
    session : opened
    text : number of the frame, or seconds from the first like ``4.5s``

    Raises
    ------
    UsageError
        If there is no such frame.
    SessionError
        If its pixels or its message are lost.
    """
    if not session.frames:
        raise SessionError(f"{session.folder} holds no frame that can be read; run usassist session repair")
    wanted = parse_moment(session, text, last=False)
    line = next((item for item in session.frames if item.frame_id == wanted), None)
    if line is None:
        known = f"{session.frames[0].frame_id} to {session.frames[-1].frame_id}"
        raise UsageError(f"{session.folder} holds no frame {wanted}; its frames are {known}")
    problems: list[str] = []
    image = next((pixels for _, pixels in session.wanted_images({wanted}, problems)), None)
    if image is None:
        why = f": {problems[0]}" if problems else ""
        raise SessionError(f"the pixels of frame {wanted} are lost{why}; choose another frame")
    engine: EngineBody | None = None
    told: SessionBody | None = None
    frame: Frame | None = None
    result: Result | None = None
    t_ns = line.t_capture_ns
    for record in session.messages():
        try:
            message = whole_message(record)
            name = message.topic.name
            if name == "engine":
                engine = message.body
            elif name == "session":
                told = message.body
            elif name == "frame" and message.body.frame_id == wanted:
                frame = frame_from(whole_message(record, image))
            elif name == "result" and message.body.frame_id == wanted:
                result, t_ns = result_from(message), message.t_publish_ns
        except MessageError:
            continue
        if frame is not None and result is not None:
            break
    if frame is None:
        raise SessionError(f"the message of frame {wanted} is lost; run usassist session repair")
    t_s = (frame.t_capture_ns - session.frames[0].t_capture_ns) / 1e9
    return Moment(frame=frame, result=result, t_ns=t_ns, engine=engine, session=told, t_s=t_s)


def write_snapshot(moment: Moment, path: Path) -> dict[str, str]:
    """Draw the overlay as it was shown, with frame, session and engine below it, and write it as PNG.

    Parameters
    ----------
    moment : what is drawn
    path : a new file

    Returns
    -------
    texts : what also stands in the file, by the keywords of PNG

    Raises
    ------
    SessionError
        If the file exists or cannot be written.
    """
    view = view_of_frame(moment.result, moment.engine, moment.session, moment.t_ns, moment.frame.picture)
    canvas = Painter().paint(moment.frame, moment.result, view, moment.engine)
    engine = "none" if moment.engine is None else moment.engine.engine_id
    ran = moment.result.backend if moment.result is not None else ""
    texts = {
        "Frame": str(moment.frame.frame_id),
        "Session": moment.frame.session_id,
        "Engine": engine,
        "Backend": ran,
        "State": "missing" if moment.result is None else moment.result.state.value,
        "Seconds": f"{moment.t_s:.3f}",
        "Software": f"usassist {__version__}",
        "Comment": _NOTICE,
    }
    lines = [
        f"frame {moment.frame.frame_id}   {moment.t_s:.2f} s   session {moment.frame.session_id}",
        f"engine {engine}{f' on {ran}' if ran else ''}   usassist {__version__}",
    ]
    with new_file(path) as temporary:
        temporary.write_bytes(png_with_text(_captioned(canvas, lines), texts))
    return texts


def _captioned(canvas: UInt8Array, lines: list[str]) -> UInt8Array:
    """The canvas, and a strip below it with the lines; nothing is lettered over the canvas itself."""
    height, width = canvas.shape[:2]
    pen = Pen(max(1.0, width / _WIDTH_PX))
    margin, step = pen.px(10), pen.px(22)
    page = np.empty((height + step * len(lines) + margin, width, 3), np.uint8)
    page[:height], page[height:] = canvas, PAPER
    for number, line in enumerate(lines, 1):
        size = pen.size_that_fits(line, width - 2 * margin, 15)
        pen.write(page, line, (margin, height + number * step), BRIGHT, size)
    return page
