"""Reads from a recorded session what a rerun needs: results, engines, and what is missing."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

from usassist.app.rerun.outcome import Side
from usassist.bus import EngineBody, result_from
from usassist.errors import MessageError
from usassist.records import Result
from usassist.session import RecordedSession, open_session, whole_message

__all__ = ["Recording", "read_recording"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Recording:
    """A session with its results in memory; frames stay in their files.

    Attributes
    ----------
    session : as opened
    results, engines : in order of arrival, bit for bit as published
    problems : what could not be read, one line each
    damaged : parts of the message log could not be read
    """

    session: RecordedSession
    results: tuple[Result, ...]
    engines: tuple[EngineBody, ...]
    problems: tuple[str, ...]
    damaged: bool

    @property
    def side(self) -> Side:
        """For the comparison."""
        manifest = self.session.manifest
        gaps = {topic: manifest.gaps.get(topic, 0) for topic in ("frame", "result")}
        for item in manifest.missing:
            topic = str(item.get("topic"))
            gaps[topic] = gaps.get(topic, 0) + int(item["last_frame_id"]) - int(item["first_frame_id"]) + 1
        if self.damaged:
            gaps["result"] += len(self.session.frames)  # their number is unknown
        return Side(
            frame_ids=tuple(line.frame_id for line in self.session.frames),
            results=self.results,
            covered=frozenset(line.frame_id for line in self.session.frames if line.covered_xyxy_px),
            gaps=gaps,
            broken_off=manifest.recording != "closed",
        )

    @property
    def gap_descriptions(self) -> list[str]:
        """Frame numbers that the recording lacks, one line for each range."""
        ids = [line.frame_id for line in self.session.frames]
        return [
            f"frame{'s' if after - before > 2 else ''} {before + 1}{f' to {after - 1}' if after - before > 2 else ''}"
            for before, after in itertools.pairwise(ids)
            if after > before + 1
        ]


def read_recording(folder: Path) -> Recording:
    """Read the messages of a session; damaged parts are skipped.

    Raises
    ------
    SessionError
        If the folder holds no session, or no messages.
    SchemaVersionError
        If it is of a newer major version.
    """
    session = open_session(folder)
    results: list[Result] = []
    engines: list[EngineBody] = []
    problems = list(session.problems)
    log = session.log()
    for record in log:
        if record.without_pixels:
            continue
        try:
            message = whole_message(record)
            if message.topic.name == "result":
                results.append(result_from(message))
            elif message.topic.name == "engine":
                engines.append(message.body)
        except MessageError as error:
            problems.append(f"bus.log: {error}")
    problems += [f"bus.log is damaged at byte {position}" for position in log.damaged_at]
    return Recording(
        session=session,
        results=tuple(results),
        engines=tuple(engines),
        problems=tuple(problems),
        damaged=bool(log.damaged_at),
    )
