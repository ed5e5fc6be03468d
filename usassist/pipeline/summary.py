"""Counts and latencies of a stream."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from usassist.bus import AssociationBody, HealthBody, PointBody, SessionState, StageBody
from usassist.common.latency import STREAM_STAGES, LatencyHistogram
from usassist.common.process_tuning import cpu_s, rss_bytes
from usassist.records import Cause, Frame, Result, ResultState

__all__ = ["StageLog", "StreamSummary"]

_RECENT = 150


class StageLog:
    """Latencies of every stage of a stream, and the most recent ones from capture to publication."""

    def __init__(self) -> None:
        self.by_stage = {stage: LatencyHistogram() for stage in STREAM_STAGES}
        self._recent_ms: npt.NDArray[np.float64] = np.zeros(_RECENT)

    def add(self, frame: Frame, result: Result, t_publish_ns: int) -> None:
        """Add a frame that an engine was called for.

        Parameters
        ----------
        frame, result : of one frame
        t_publish_ns : when the result was published, monotonic ns
        """
        stages = self.by_stage
        made_ns = frame.t_capture_ns
        if frame.t_decoded_ns is not None and frame.t_cropped_ns is not None:
            made_ns = frame.t_cropped_ns
            stages["decode"].record(frame.t_decoded_ns - frame.t_capture_ns)
            stages["crop"].record(made_ns - frame.t_decoded_ns)
        start_ns, input_ns, output_ns, end_ns = (
            result.t_infer_start_ns,
            result.t_input_ns,
            result.t_output_ns,
            result.t_infer_end_ns,
        )
        total_ns = t_publish_ns - frame.t_capture_ns
        if start_ns is not None and end_ns is not None:
            stages["wait"].record(start_ns - made_ns)
            stages["publish"].record(t_publish_ns - end_ns)
            if input_ns is not None and output_ns is not None:
                stages["preprocess"].record(input_ns - start_ns)
                stages["infer"].record(output_ns - input_ns)
                stages["postprocess"].record(end_ns - output_ns)
                stages["overhead"].record(total_ns - (output_ns - input_ns))
        total = stages["total"]
        self._recent_ms[total.count % _RECENT] = total_ns / 1e6
        total.record(total_ns)

    def recent(self) -> tuple[float | None, float | None]:
        """p50 and p95 of the most recent from capture to publication, ms; None before the first."""
        count = min(self.by_stage["total"].count, _RECENT)
        if not count:
            return None, None
        p50, p95 = np.percentile(self._recent_ms[:count], [50, 95])
        return float(p50), float(p95)

    def summary(self) -> dict[str, dict[str, Any]]:
        """See :meth:`LatencyHistogram.summary`; stages that never occurred are left out."""
        summaries = {stage: histogram.summary() for stage, histogram in self.by_stage.items()}
        return {stage: summary for stage, summary in summaries.items() if summary is not None}


@dataclass(slots=True, kw_only=True)
class StreamSummary:
    """Counts of a stream, updated with every result.

    Attributes
    ----------
    realtime : frames came at the source's rate; if not, latency includes waiting for the frame before
    score_calibration_id, point : of the scores, None when they are not calibrated
    association : of the answers over the frames; None = each frame alone
    frames : of the source
    backend : the one that answers, or the last that did
    by_state : results per state
    by_cause : results without an answer, per cause
    by_backend : answers and late answers, per back end
    changes : every failover, with the first frame that the other back end answers
    nodules : detections in all answers together
    decode_errors : frames of the source that could not be decoded
    stages : latencies of frames that an engine was called for
    elapsed_s : from the first frame's capture to the last result
    state, reason : how it ended
    """

    session_id: str
    engine_id: str
    backend: str
    realtime: bool
    score_calibration_id: str | None = None
    point: PointBody | None = None
    association: AssociationBody | None = None
    frames: int = 0
    by_state: Counter[str] = field(default_factory=Counter)
    by_cause: Counter[str] = field(default_factory=Counter)
    by_backend: Counter[str] = field(default_factory=Counter)
    changes: list[dict[str, Any]] = field(default_factory=list)
    nodules: int = 0
    decode_errors: int = 0
    stages: StageLog = field(default_factory=StageLog)
    elapsed_s: float = 0.0
    state: SessionState = SessionState.RUNNING
    reason: str = ""

    @property
    def answered(self) -> int:
        """Frames that the engine answered in time."""
        return self.by_state[ResultState.FINDING] + self.by_state[ResultState.NO_FINDING]

    def count(self, frame: Frame | None, result: Result, t_publish_ns: int, t_first_capture_ns: int | None) -> None:
        """Add one published result.

        Parameters
        ----------
        frame : None where no engine was called for it
        result : of it
        t_publish_ns, t_first_capture_ns : when it was published, and when the first frame was captured, monotonic ns
        """
        self.frames += 1
        self.by_state[result.state] += 1
        self.nodules += len(result.detections)
        if result.state.is_answer or result.state is ResultState.STALE:
            self.by_backend[result.backend] += 1
        if result.cause is not None:
            self.by_cause[result.cause] += 1
        if frame is not None:
            self.stages.add(frame, result, t_publish_ns)
        if t_first_capture_ns is not None:
            self.elapsed_s = (t_publish_ns - t_first_capture_ns) / 1e9

    def as_dict(self) -> dict[str, Any]:
        """For ``summary.json``; every state and every cause has a key, also those that did not occur."""
        stages = self.stages.summary()
        return {
            "session_id": self.session_id,
            "state": str(self.state),
            "reason": self.reason,
            "realtime": self.realtime,
            "frames": self.frames,
            "results_by_state": {str(state): self.by_state[state] for state in ResultState},
            "no_answer_by_cause": {str(cause): self.by_cause[cause] for cause in Cause},
            "nodules": self.nodules,
            "decode_errors": self.decode_errors,
            "latency_capture_to_published": stages.get("total"),
            "stages": stages,
            "elapsed_s": round(self.elapsed_s, 3),
            "frames_per_s": round(self.frames / self.elapsed_s, 2) if self.elapsed_s > 0 else None,
            "engine_id": self.engine_id,
            "backend": self.backend,
            "answers_by_backend": dict(self.by_backend),
            "backend_changes": self.changes,
            "score_calibration_id": self.score_calibration_id,
            "point": None if self.point is None else msgspec.to_builtins(self.point),
            "association": None if self.association is None else msgspec.structs.asdict(self.association),
        }

    def health(self, last_error: str) -> HealthBody:
        """The health message of the stream."""
        p50_ms, p95_ms = self.stages.recent()
        return HealthBody(
            process="stream",
            frames=self.frames,
            answered=self.answered,
            dropped=self.by_cause[Cause.DROPPED],
            by_state={str(state): count for state, count in self.by_state.items()},
            rate_hz=self.frames / self.elapsed_s if self.elapsed_s > 0 else None,
            latency_p50_ms=p50_ms,
            latency_p95_ms=p95_ms,
            last_error=last_error,
            stages={stage: StageBody(**summary) for stage, summary in self.stages.summary().items()},
            cpu_s=cpu_s(),
            rss_bytes=rss_bytes(),
        )
