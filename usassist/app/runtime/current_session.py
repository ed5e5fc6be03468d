"""The running session of ``usassist live``, from which child processes get their options."""

from __future__ import annotations

import dataclasses
import logging
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from usassist.app.runtime.open_stream import StreamOptions, new_session_id
from usassist.app.runtime.recording_facts import recording_facts
from usassist.config import RecordConfig
from usassist.errors import UsAssistError
from usassist.session import read_manifest
from usassist.sinks.disk_sync import mebibytes

__all__ = ["CurrentSession", "LiveReport"]

logger = logging.getLogger(__name__)

_LOG_SIZE_EVERY_S = 60.0


@dataclass(slots=True, kw_only=True)
class LiveReport:
    """What came of a live session.

    Attributes
    ----------
    sessions : ids in order; more than one where the stream was restarted
    folders : of the recordings
    recorded_bytes : size of their files
    messages_lost : that never reached a recorder, frames or others
    recording_stopped : why recording stopped before the session did, and was not begun again; empty where it did not
    restarts : name of a process → how often it was restarted
    changes : what people asked for while it ran and what came of it, one line each
    summary : of the last session
    problems : why processes failed, one line each
    """

    sessions: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    recorded_bytes: int = 0
    messages_lost: int = 0
    recording_stopped: str = ""
    restarts: dict[str, int] = field(default_factory=dict)
    changes: list[str] = field(default_factory=list)
    summary: dict[str, Any] | None = None
    problems: list[str] = field(default_factory=list)


class CurrentSession:
    """Options of the children of the running session; every stream that starts begins a new one.

    Parameters
    ----------
    stream : what is streamed
    bus : its address
    record_into : folder in which every recording gets a folder; None = nothing is recorded
    record : how recordings are made
    report : gets the ids and folders

    Attributes
    ----------
    stream : what the next stream gets; may be replaced
    records : there is a recorder, or is to be one, for which a stream waits at its start
    """

    def __init__(
        self,
        stream: StreamOptions,
        bus: str,
        *,
        record_into: Path | None,
        records: bool,
        record: RecordConfig,
        report: LiveReport,
    ) -> None:
        self.stream, self.records = stream, records
        self._bus, self._record_into, self._record, self._report = bus, record_into, record, report
        self._id = ""
        self._folders = 0
        self._next_log_s = 0.0
        self._facts: tuple[StreamOptions, dict[str, Any]] | None = None

    def stream_options(self) -> dict[str, Any]:
        """Options of a new stream."""
        self._id, self._folders = new_session_id(), 0
        self._report.sessions.append(self._id)
        stream = dataclasses.replace(self.stream, bus=self._bus, session_id=self._id)
        return dataclasses.asdict(stream) | {"archives": int(self.records), "controlled": True}

    def recorder_options(self, *, on_request: bool) -> dict[str, Any]:
        """Options of a new recorder, with a folder of its own.

        Parameters
        ----------
        on_request : it begins in the middle of the session, because somebody asked for it
        """
        assert self._record_into is not None
        if self._facts is None or self._facts[0] is not self.stream:  # here, while the stream opens
            self._facts = self.stream, recording_facts(self.stream)
        self._folders += 1
        name = self._id if self._folders == 1 else f"{self._id}-{self._folders}"
        self._report.folders.append(str(self._record_into / name))
        return {
            "address": self._bus,
            "folder": self._report.folders[-1],
            "facts": self._facts[1],
            "record": dataclasses.asdict(self._record),
            "on_request": on_request,
        }

    def log_size(self, *, at_end: bool = False) -> None:
        """Log now and then how much is recorded."""
        if not self._report.folders or (time.monotonic() < self._next_log_s and not at_end):
            return
        self._next_log_s = time.monotonic() + _LOG_SIZE_EVERY_S
        if at_end:  # a recorder that found the disk full has made none
            self._report.folders = [folder for folder in self._report.folders if Path(folder).is_dir()]
            self._report.messages_lost = sum(_lost(Path(folder)) for folder in self._report.folders)
        self._report.recorded_bytes = sum(_size(Path(folder)) for folder in self._report.folders)
        logger.info("recorded so far: %s", mebibytes(self._report.recorded_bytes))


def _lost(folder: Path) -> int:
    """Messages that never reached the recorder of a session, by its manifest; 0 where it could not write them."""
    try:
        return sum(read_manifest(folder).gaps.values())
    except UsAssistError:
        return 0


def _size(folder: Path) -> int:
    try:
        return sum(path.stat().st_size for path in folder.iterdir())
    except OSError:
        return 0
