"""A snapshot of all processes of a session, for ``/metrics``."""

from __future__ import annotations

from dataclasses import dataclass, field

from usassist.bus import HealthBody
from usassist.sinks.panel.scene import Scene
from usassist.sinks.reports import RecordingState

__all__ = ["Figures"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a panel has received. It holds no patient data, no source name and no path.

    Attributes
    ----------
    health : process → its last health message
    age_s : process → age of that message
    engine_id, backend : in use; empty before the first engine message
    recording : state of the recording
    by_cause : frames without an answer since this panel joined the session
    marks : marks of this session, per kind
    viewers : connected pages
    malformed, gaps : messages that this panel could not decode, and that it never received
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
        """Take a snapshot.

        Parameters
        ----------
        scene : what was received from the bus
        own : this panel's own health, which needs no stream
        viewers : connected pages
        malformed : messages counted before `scene` was made
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
