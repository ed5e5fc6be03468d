"""Rerun a recorded session, and compare its results with the recorded ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from usassist.app.rerun.compare import compare_sessions
from usassist.app.rerun.identities import IdentityComparison, why_not_compared
from usassist.app.rerun.machine import same_kind_of_processor, why_within_tolerances
from usassist.app.rerun.outcome import Comparison
from usassist.app.rerun.plan import Overrides, make_rules, plan_rerun
from usassist.app.rerun.recording import Recording, read_recording
from usassist.app.runtime.clip_session import Progress, ReplayOutcome, replay
from usassist.bus import TrackingClock
from usassist.config import RecordConfig

__all__ = ["Rerun", "rerun_session"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rerun:
    """Outcome of a rerun.

    Attributes
    ----------
    recording : the session
    outcome : of the run; its ``files`` name what was recorded
    comparison : None where it was not requested, or the run was stopped
    notes : what was not as recorded, one line each
    not_exact : why even the same back end may give other bits; empty = it may not
    same_kind : the recording was made on the same kind of processor; None = not compared
    """

    recording: Recording
    outcome: ReplayOutcome
    comparison: Comparison | None
    notes: tuple[str, ...]
    not_exact: str = ""
    same_kind: bool | None = None

    @property
    def exit_code(self) -> int:
        """0, 1 for a failure or a difference, 130 when the user stopped it."""
        differs = self.comparison is not None and not self.comparison.ok
        return self.outcome.exit_code or int(differs)

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        recording = self.recording
        return {
            "session_id": recording.session.manifest.session_id,
            "problems": list(recording.problems),
            "gaps": recording.gap_descriptions,
            "notes": list(self.notes),
            "rerun": self.outcome.summary,
            "files": self.outcome.files,
            "same_kind_of_processor": self.same_kind,
            "within_tolerances_because": self.not_exact or None,
            "comparison": None if self.comparison is None else self.comparison.as_dict(),
        }


def rerun_session(
    session: Path,
    out: Path,
    overrides: Overrides,
    *,
    progress: Progress,
    compare: bool,
    record: RecordConfig | None = None,
) -> Rerun:
    """Rerun a recorded session into a new session folder.

    Parameters
    ----------
    session : folder of the recording
    out : folder of the new one
    overrides : options that are not as recorded
    progress : receives the progress
    compare : compare every result with the recorded one
    record : how the new recording is made; None = the default settings

    Raises
    ------
    UsAssistError
        If the session cannot be read, its engine is not there, or the run cannot start.
    """
    recording = read_recording(session)
    options, spec, notes = plan_rerun(session, recording.engines, recording.results, overrides)
    outcome = replay(options, out, overlay_video=False, window=None, progress=progress, record=record)
    if not compare or outcome.exit_code == 130:
        return Rerun(recording=recording, outcome=outcome, comparison=None, notes=tuple(notes))
    again = read_recording(out)
    labels = {result.backend for result in (*recording.results, *again.results) if result.is_verdict}
    announced = recording.engines[-1] if recording.engines else None
    exact, tolerant = make_rules(spec, announced, sorted(labels))
    manifests = recording.session.manifest, again.session.manifest
    not_exact = why_within_tolerances(*manifests)
    without_ids = why_not_compared(recording.engines, again.engines)
    notes += [without_ids] * bool(without_ids)
    comparison = compare_sessions(
        recording.side,
        again.side,
        exact,
        tolerant,
        same_machine=not not_exact,
        memory_frames=_memory_frames(recording, again),
        identities=_compare_identities(recording, without_ids),
    )
    return Rerun(
        recording=recording,
        outcome=outcome,
        comparison=comparison,
        notes=tuple(notes),
        not_exact=not_exact,
        same_kind=same_kind_of_processor(*manifests),
    )


def _memory_frames(recording: Recording, again: Recording) -> int:
    """How many frames both remember; 0 where one of them answered each frame alone."""
    rules = [side.engines[-1].association if side.engines else None for side in (recording, again)]
    frames = [rule.frames for rule in rules if rule is not None]
    return max(frames) if len(frames) == len(rules) else 0


def _compare_identities(recording: Recording, without_ids: str) -> IdentityComparison:
    tracking = recording.engines[-1].tracking if recording.engines else None
    by_time = tracking is not None and tracking.clock is TrackingClock.CAPTURE_TIME
    return IdentityComparison(compared=not without_ids, by_time=by_time)
