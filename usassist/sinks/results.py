"""Results only, for a clip that is kept anyway: one line per frame, and no session.

No pixels are received or written, which saves more time than inference takes. The lines are those of
``results.jsonl`` in a recording.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from usassist.bus import EngineBody, Subscriber, result_from
from usassist.common.append_file import AppendFile
from usassist.errors import SessionError
from usassist.sinks.end_of_stream import POLL_MS, StreamEnd
from usassist.sinks.files import explain, prepare_folder
from usassist.sinks.lines import result_line

__all__ = ["FrameTime", "ResultsFile"]

_to_json = msgspec.json.Encoder().encode


class FrameTime(msgspec.Struct, frozen=True):
    """A line of ``times.jsonl``."""

    frame_id: int
    t_s: float


class ResultsFile:
    """Writes the results of one stream.

    Parameters
    ----------
    address : of the stream's bus
    folder : an empty or new folder
    abandoned : True when the process that started the stream is gone; polled while nothing comes
    times : also receive the frames, and write when each is shown in its clip into ``times.jsonl``: ``frame_id`` and
        ``t_s``, left out where a frame does not say it

    Attributes
    ----------
    results : written

    Raises
    ------
    SessionError
        If the folder holds a session already, or cannot be written.
    """

    def __init__(self, address: str, folder: Path, abandoned: Callable[[], bool], *, times: bool = False) -> None:
        self._folder = folder
        prepare_folder(folder)
        self._end = StreamEnd(abandoned, ("result",))
        self._engines: dict[str, EngineBody] = {}
        self.results = 0
        topics = ("result", "engine", "session", *(("frame",) if times else ()))
        self.subscriber = Subscriber(address, topics, "archive")
        try:
            self._file = AppendFile(folder / "results.jsonl")
            self._times = AppendFile(folder / "times.jsonl") if times else None
        except (OSError, SessionError) as error:
            self.subscriber.close()
            raise SessionError(explain(folder, error)) from error

    def run(self) -> None:
        """Write until the stream has ended, or is silent after its parent has gone.

        Raises
        ------
        SessionError
            If something cannot be written; what was written before stays readable.
        """
        try:
            for _, message in self.subscriber.each(POLL_MS, self._end.reached):
                self._end.take(message)
                if message.topic.name == "engine":
                    self._engines[message.body.engine_id] = message.body
                elif message.topic.name == "result":
                    result = result_from(message)
                    line = result_line(result, self._engines.get(result.engine_id), message.t_publish_ns)
                    self._file.append(_to_json(line) + b"\n")
                    self.results += 1
                elif self._times is not None and message.topic.name == "frame":
                    pts, base = message.body.pts, message.body.time_base
                    if pts is not None and base is not None:
                        self._times.append(_to_json(FrameTime(message.body.frame_id, float(pts * base))) + b"\n")
        except (OSError, SessionError) as error:
            raise SessionError(explain(self._folder, error)) from error
        finally:
            self._file.close()
            if self._times is not None:
                self._times.close()
            self.subscriber.close()
