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

__all__ = ["ResultsFile"]

_to_json = msgspec.json.Encoder().encode


class ResultsFile:
    """Writes the results of one stream.

    Parameters
    ----------
    address : of the stream's bus
    folder : an empty or new folder
    abandoned : True when the process that started the stream is gone; polled while nothing comes

    Attributes
    ----------
    results : written

    Raises
    ------
    SessionError
        If the folder holds a session already, or cannot be written.
    """

    def __init__(self, address: str, folder: Path, abandoned: Callable[[], bool]) -> None:
        self._folder = folder
        prepare_folder(folder)
        self._end = StreamEnd(abandoned, ("result",))
        self._engines: dict[str, EngineBody] = {}
        self.results = 0
        self.subscriber = Subscriber(address, ("result", "engine", "session"), "archive")
        try:
            self._file = AppendFile(folder / "results.jsonl")
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
        except (OSError, SessionError) as error:
            raise SessionError(explain(self._folder, error)) from error
        finally:
            self._file.close()
            self.subscriber.close()
