"""A moment's figures of all processes of a session, for whoever asks the panel."""

from __future__ import annotations

from dataclasses import dataclass, field

from usassist.bus import HealthBody
from usassist.sinks.panel.reports import RecordingState
from usassist.sinks.panel.scene import Scene

__all__ = ["Figures"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a panel knows. Nothing in it names a patient, a source or a place on the disk.

    Attributes
    ----------
    health : process → the last it said of itself
    age_s : process → how long ago
    engine_id, backend : that answer; empty before the stream has said so
    recording : whether the session is recorded
    by_cause : frames without an answer, since this panel first saw the session
    marks : marks of this session, per kind
    viewers : pages that watch
    malformed, gaps : messages that this panel could not read, and that never reached it
    """

    health: dict[str, HealthBody] = field(default_factory=dict)
    age_s: dict[str, float] = field(default_factory=dict)
    engine_id: str = ""
    backend: str = ""
    recording: RecordingState = RecordingState.UNKNOWN
    by_cause: dict[str, int] = field(default_factory=dict)
    marks: dict[str, int] = field(default_factory=dict)
    viewers: int = 0
    malformed: int = 0
    gaps: int = 0

    @classmethod
    def of(cls, scene: Scene, own: HealthBody | None, viewers: int, malformed: int) -> Figures:
        """Figures of now.

        Parameters
        ----------
        scene : what the bus has told
        own : this panel's own health, which needs no stream
        viewers : pages that watch
        malformed : messages that came before `scene`
        """
        reports, tally, engine = scene.reports, scene.tally, scene.engine
        ages = reports.ages_s()
        health = {process: body for process in ages if (body := reports.health(process)) is not None}
        if own is not None:
            health["panel"], ages["panel"] = own, 0.0
        return cls(
            health=health,
            age_s=ages,
            engine_id=engine.engine_id if engine else "",
            backend=engine.backend if engine else "",
            recording=reports.recording(scene.session).state,
            by_cause=dict(tally.by_cause),
            marks=reports.marks().counts,
            viewers=viewers,
            malformed=tally.malformed + malformed,
            gaps=tally.gaps,
        )
