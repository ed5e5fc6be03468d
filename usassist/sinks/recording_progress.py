"""Counts and state of a recording in progress, for its manifest and its health messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from usassist.bus import EngineBody, HealthBody, SessionBody, SessionState
from usassist.common.clock import ClockPair, clock_pair
from usassist.common.process_tuning import cpu_s, rss_bytes
from usassist.sinks.disk_sync import DiskSync
from usassist.sinks.manifest import (
    SESSION_SCHEMA,
    calibration_tables,
    clock_table,
    dump_manifest,
    engine_table,
    id_ranges,
    source_table,
)

__all__ = ["RecordingProgress"]


class RecordingProgress:
    """Counts, engines and calibrations of a session while it is recorded.

    Parameters
    ----------
    facts : what the bus does not carry, see ``sinks/manifest.py``
    gaps : topic → messages that never arrived; updated during the session

    Attributes
    ----------
    frames, results, marks : recorded
    session : the last ``session`` message
    engine : the last ``engine`` message, by engine id
    recording : ``running``, ``closed``, or one line with the reason why it stopped
    begun_on_request, ended_on_request : it does not hold the stream from its beginning, or to its end, because somebody
        asked for that
    """

    def __init__(self, facts: Mapping[str, Any], gaps: Mapping[str, int]) -> None:
        self.frames = self.results = self.marks = 0
        self.session: SessionBody | None = None
        self.engine: dict[str, EngineBody] = {}
        self.calibrations: set[str] = set()
        self.recording = "running"
        self.begun_on_request = self.ended_on_request = False
        self._facts = facts
        self._gaps = gaps
        self._begin: ClockPair = clock_pair()
        self._engines: dict[tuple[str, str], EngineBody] = {}  # by engine and back end
        # Frames and results arrive on different sockets, in either order.
        self._alone: dict[str, set[int]] = {"frame": set(), "result": set()}
        self._lost_frames: set[int] = set()

    def take_frame(self, frame_id: int, calibration_id: str | None) -> None:
        """A frame was recorded."""
        self.frames += 1
        if calibration_id is not None:
            self.calibrations.add(calibration_id)
        self._pair("frame", "result", frame_id)

    def take_result(self, frame_id: int) -> None:
        """A result was recorded."""
        self.results += 1
        self._pair("result", "frame", frame_id)

    def lose_frame(self, frame_id: int) -> None:
        """A frame was received and could not be written."""
        self._lost_frames.add(frame_id)

    def _pair(self, topic: str, other: str, frame_id: int) -> None:
        if frame_id in self._alone[other]:
            self._alone[other].remove(frame_id)
        else:
            self._alone[topic].add(frame_id)

    def take_engine(self, body: EngineBody) -> bool:
        """An engine was announced; True for the first time, or when another back end took over."""
        self.engine[body.engine_id] = body
        is_new = (body.engine_id, body.backend) not in self._engines
        if is_new:
            self._engines[body.engine_id, body.backend] = body
        return is_new

    @property
    def complete(self) -> bool:
        """True when everything that the stream published was recorded."""
        session = self.session
        return (
            session is not None
            and session.state is SessionState.ENDED
            and not any(self._gaps.values())
            and self.frames == self.results == session.last_frame_id + 1
        )

    def manifest(
        self, disk: DiskSync, *, end: ClockPair | None = None, files: Mapping[str, Any] | None = None
    ) -> bytes:
        """The bytes of ``session.toml``.

        Parameters
        ----------
        disk : of the folder
        end : both clocks at the end, once it has come
        files : checksums of all files, once they are closed
        """
        session, facts = self.session, self._facts
        clocks = [("begin", self._begin), *(("jump", pair) for pair in disk.jumps)]
        if end is not None:
            clocks.append(("end", end))
        return dump_manifest(
            {
                "schema": list(SESSION_SCHEMA),
                "session_id": session.session_id if session else "",
                "complete": self.recording == "closed" and self.complete,
                "state": str(session.state) if session else "waiting",
                "recording": self.recording,
                "begun_on_request": self.begun_on_request or None,
                "ended_on_request": self.ended_on_request or None,
                "created_utc": self._begin.utc,
                "frames": self.frames,
                "results": self.results,
                "marks": self.marks,
                "longest_unsynced_ms": round(1000.0 * disk.longest_s, 1),
                "gaps": dict(self._gaps),
                "clock": [clock_table(event, pair) for event, pair in clocks],
                "source": source_table(session) if session else None,
                "configuration": facts.get("configuration"),
                "engines": [engine_table(body, facts) for body in self._engines.values()],
                "calibrations": calibration_tables(self.calibrations, facts),
                "versions": facts.get("versions"),
                "machine": facts.get("machine"),
                "missing": self._missing() if end is not None else None,
                "files": files,
            }
        )

    def _missing(self) -> list[dict[str, Any]] | None:
        """Frames without a result and results without a frame, listed when the recording is closed."""
        found = [
            {"topic": topic, "first_frame_id": first, "last_frame_id": last, "reason": reason}
            for topic, numbers, reason in (
                ("frame", self._lost_frames, "it could not be written"),
                # Matroska still held back what came right before it.
                ("picture", {n - step for n in self._lost_frames for step in (1, 2) if n >= step}, "maybe not written"),
                ("frame", self._alone["result"] - self._lost_frames, "it had not arrived when the recording ended"),
                ("result", self._alone["frame"], "it had not arrived when the recording ended"),
            )
            for first, last in id_ranges(sorted(numbers))
        ]
        return found or None

    def health(self, disk: DiskSync) -> HealthBody:
        """Health of the recorder."""
        return HealthBody(
            process="record",
            frames=self.frames,
            answered=self.results,
            dropped=sum(self._gaps.values()),
            by_state={},
            rate_hz=None,
            latency_p50_ms=None,
            latency_p95_ms=None,
            cpu_s=cpu_s(),
            rss_bytes=rss_bytes(),
            recorded_bytes=disk.recorded_bytes,
            free_bytes=disk.free_bytes,
            recording=self.recording,
        )
