"""One pass over the lines of a session: what each frame is, and which nodule was seen on which frame."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from usassist.records import ResultState
from usassist.session.lines import MarkLine
from usassist.session.opening import RecordedSession
from usassist.session.summary.moments import Moments, find_moments
from usassist.session.summary.planes import PlaneAt

__all__ = ["Seen", "SweepLines", "read_sweep"]

_LOST = "result_lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A nodule on one answered frame; only what choosing among frames needs.

    Attributes
    ----------
    index : of the frame in the session
    row : of the nodule in the result
    label : of the engine
    major_px, major_mm : longest diameter; mm only with a scale
    score : as recorded
    cut : the border of the scan cuts it; None = not looked for, in old recordings
    """

    index: int
    row: int
    label: str | None
    major_px: float
    major_mm: float | None
    score: float
    cut: bool | None


@dataclass(slots=True, kw_only=True)
class SweepLines:
    """What the lines of a session say.

    Attributes
    ----------
    session : that was read
    moments : times of the frames
    why_not : of each frame, why it has no answer: a cause, or ``result_lost``; empty where it has one
    findings : of each frame, how many nodules its answer has
    follows : of each frame, the number of the frame that its answer follows; None = it follows none
    planes : of each frame, once they are found
    nodules : track id → where it was seen, in order; -1 = without identity
    described : track id → name of a descriptor → value → number of frames
    """

    session: RecordedSession
    moments: Moments
    why_not: list[str] = field(default_factory=list)
    findings: list[int] = field(default_factory=list)
    follows: list[int | None] = field(default_factory=list)
    planes: list[PlaneAt] = field(default_factory=list)
    nodules: dict[int, list[Seen]] = field(default_factory=lambda: defaultdict(list))
    described: dict[int, dict[str, dict[str, int]]] = field(default_factory=dict)

    @property
    def marks(self) -> tuple[MarkLine, ...]:
        """The marks, in the order in which they were made."""
        return self.session.marks


def read_sweep(session: RecordedSession) -> SweepLines:
    """Read all lines once.

    Parameters
    ----------
    session : with at least one frame
    """
    sweep = SweepLines(session=session, moments=find_moments(session.manifest, session.frames))
    for index, line in enumerate(session.lines()):
        result = line.result
        state = None if result is None else ResultState(result["state"])
        answered = state is not None and state.is_answer
        nodules = result["nodules"] if result is not None and state is ResultState.FINDING else []
        sweep.why_not.append("" if answered else _LOST if result is None else str(result.get("cause")))
        sweep.findings.append(len(nodules))
        sweep.follows.append(result.get("follows_frame_id") if result is not None and answered else None)
        for row, nodule in enumerate(nodules):
            track_id = int(nodule.get("track_id", -1))
            sweep.nodules[track_id].append(_seen(index, row, nodule))
            _count(sweep.described.setdefault(track_id, {}), nodule)
    return sweep


def _seen(index: int, row: int, nodule: Mapping[str, Any]) -> Seen:
    return Seen(
        index=index,
        row=row,
        label=nodule.get("label"),
        major_px=nodule["major_px"],
        major_mm=nodule.get("major_mm"),
        score=nodule["score"],
        cut=nodule.get("cut"),
    )


def _count(counts: dict[str, dict[str, int]], nodule: Mapping[str, Any]) -> None:
    for item in nodule.get("descriptors") or ():
        values = counts.setdefault(item["name"], {})
        values[item["value"]] = values.get(item["value"], 0) + 1
