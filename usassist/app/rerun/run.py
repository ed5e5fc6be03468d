"""Run a recorded session again, and compare what comes out with what was recorded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from usassist.app.rerun.compare import compare_sessions
from usassist.app.rerun.machine import same_kind_of_processor, why_within_tolerances
from usassist.app.rerun.outcome import Comparison
from usassist.app.rerun.plan import Wishes, make_rules, plan_rerun
from usassist.app.rerun.recording import Recording, read_recording
from usassist.app.runtime.clip_session import Progress, ReplayOutcome, replay
from usassist.config import RecordConfig

__all__ = ["Rerun", "run_again"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rerun:
    """What came of a rerun.

    Attributes
    ----------
    recording : the session
    outcome : of the run; its ``files`` name what was recorded
    comparison : None where it was not asked for, or the run did not come to its end
    notes : what was not as it was recorded, one line each
    not_exact : why not even the same back end had to give the same bits; empty = it had to
    same_kind : the recording says that it was made on the kind of processor that this one is; None = not compared
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
            "gaps": recording.gap_words,
            "notes": list(self.notes),
            "rerun": self.outcome.summary,
            "files": self.outcome.files,
            "same_kind_of_processor": self.same_kind,
            "within_tolerances_because": self.not_exact or None,
            "comparison": None if self.comparison is None else self.comparison.as_dict(),
        }


def run_again(
    session: Path,
    out: Path,
    wishes: Wishes,
    *,
    progress: Progress,
    compare: bool,
    record: RecordConfig | None = None,
) -> Rerun:
    """Run a recorded session again, into a new session folder.

    Parameters
    ----------
    session : folder of the recording
    out : folder of the new one
    wishes : what is not to be as it was recorded
    progress : is told
    compare : compare every result with the recorded one
    record : how the new recording is made; None = as by default

    Raises
    ------
    UsAssistError
        If the session cannot be read, its engine is not there, or the run cannot begin.
    """
    recording = read_recording(session)
    options, spec, notes = plan_rerun(session, recording.engines, recording.results, wishes)
    outcome = replay(options, out, overlay_video=False, window=False, progress=progress, record=record)
    if not compare or outcome.exit_code == 130:
        return Rerun(recording=recording, outcome=outcome, comparison=None, notes=tuple(notes))
    again = read_recording(out)
    labels = {result.backend for result in (*recording.results, *again.results) if result.state.is_answer}
    announced = recording.engines[-1] if recording.engines else None
    exact, tolerant = make_rules(spec, announced, sorted(labels))
    manifests = recording.session.manifest, again.session.manifest
    not_exact = why_within_tolerances(*manifests)
    comparison = compare_sessions(recording.side, again.side, exact, tolerant, same_machine=not not_exact)
    return Rerun(
        recording=recording,
        outcome=outcome,
        comparison=comparison,
        notes=tuple(notes),
        not_exact=not_exact,
        same_kind=same_kind_of_processor(*manifests),
    )
