"""The sections that report, segmentations and PDF show: of each nodule its planes, of each run its best frame."""

from __future__ import annotations

from dataclasses import dataclass, field

from usassist.dicom.objects.content import (
    AnsweredFrame,
    FrameNodule,
    FrameReference,
    NoduleSection,
    SweepContent,
    SweepFrame,
    SweepNodule,
)
from usassist.errors import DicomError

__all__ = ["MOST_RUNS", "Algorithm", "Shown", "count_frames", "describe_algorithm", "describe_scale", "list_shown"]

MOST_RUNS = 30
_UNKNOWN = "not recorded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A nodule of the sweep, or a run of findings without identity, on one frame.

    Attributes
    ----------
    name : ``N1``, ``N2``, …, or ``run 1``, ``run 2``, …
    tracking_uid : the same on all planes of a nodule, and in every object
    nodule : over the sweep
    is_run : findings without identity, so that this is no nodule of its own
    is_best : its best plane; else one that a person marked as transverse or longitudinal
    section, frame, answer, found : where it is, and what was found there
    reference : of the frame in the cine
    """

    name: str
    tracking_uid: str
    nodule: SweepNodule
    is_run: bool
    is_best: bool
    section: NoduleSection
    frame: SweepFrame
    answer: AnsweredFrame
    found: FrameNodule
    reference: FrameReference

    @property
    def tracking_id(self) -> str:
        """Its name as the tracking identifier, which says of a run that it is no nodule of its own."""
        return f"{self.name}, not tracked: no nodule of its own" if self.is_run else self.name

    @property
    def slug(self) -> str:
        """Its name as a part of the name of a file."""
        return self.name.replace(" ", "")


def list_shown(content: SweepContent) -> list[Shown]:
    """All of them: nodules in the order of the report, each with its best plane first; then the longest runs.

    Raises
    ------
    DicomError
        If a plane names a finding that its frame does not have.
    """
    shown = []
    for nodule in content.nodules:
        uid = content.uid("tracking", "nodule", nodule.track_id)
        places = []
        for section in (nodule.best, nodule.transverse, nodule.longitudinal):
            if section is not None and (section.frame_index, section.row) not in places:
                places.append((section.frame_index, section.row))
                shown.append(_shown(content, nodule, section, nodule.name, uid, len(places) == 1))
    longest = sorted(range(len(content.untracked)), key=lambda i: (-content.untracked[i].frames, i))[:MOST_RUNS]
    for index in sorted(longest):
        run = content.untracked[index]
        uid = content.uid("tracking", "run", index + 1)
        shown.append(_shown(content, run, run.best, f"run {index + 1}", uid, True, is_run=True))
    return shown


def _shown(
    content: SweepContent,
    nodule: SweepNodule,
    section: NoduleSection,
    name: str,
    uid: str,
    is_best: bool,
    *,
    is_run: bool = False,
) -> Shown:
    answer = content.answers[section.frame_index]
    if section.row >= len(answer.nodules):
        raise DicomError(
            f"{name} of session {content.session_id} is not in the answer of its frame; run usassist session verify"
        )
    return Shown(
        name=name,
        tracking_uid=uid,
        nodule=nodule,
        is_run=is_run,
        is_best=is_best,
        section=section,
        frame=content.frames[section.frame_index],
        answer=answer,
        found=answer.nodules[section.row],
        reference=content.reference(section.frame_index),
    )


def count_frames(content: SweepContent) -> int:
    """Frames of the sweep, with those whose pixels are lost: each was answered, or has a cause why not."""
    return content.answered_frames + sum(item.frames for item in content.unanswered)


@dataclass(frozen=True, slots=True, kw_only=True)
class Algorithm:
    """What made an answer, for the macros and templates that identify an algorithm."""

    name: str
    version: str
    parameters: dict[str, str] = field(default_factory=dict)


def describe_algorithm(content: SweepContent, shown: Shown) -> Algorithm:
    """Engine, back end, operating point, calibration of scores and scale with which a section was found and measured.

    Where another engine or back end answered that frame than the one that the session announced last, only what its own
    answer says is given.
    """
    engine, answer = content.engine, shown.answer
    engine_id, backend = answer.engine_id or engine.engine_id, answer.backend or engine.backend
    name, _, version = engine_id.partition("@")
    is_described = engine_id == engine.engine_id
    parameters = {"back end": backend or _UNKNOWN}
    if is_described and backend == engine.backend:
        parameters["precision"] = engine.precision or _UNKNOWN
        parameters["weights SHA-256"] = engine.weights_sha256 or _UNKNOWN
    if is_described:
        parameters["operating point"] = engine.point or _UNKNOWN
        parameters["score calibration"] = engine.score_calibration_id or "none, scores are raw"
        parameters["intended use"] = engine.intended_use or _UNKNOWN
    parameters["scale"] = describe_scale(shown.frame)
    parameters["recorded by"] = f"usassist {engine.software_version}. {engine.research_use}"
    return Algorithm(name=name or _UNKNOWN, version=version or _UNKNOWN, parameters=parameters)


def describe_scale(frame: SweepFrame) -> str:
    """The scale of a frame with its uncertainty, in words."""
    if frame.spacing_rc_mm is None:
        return "none, sizes are in pixels"
    row, column = frame.spacing_rc_mm
    u95 = _UNKNOWN if frame.spacing_rel_sd is None else f"{200.0 * frame.spacing_rel_sd:.3g} %"
    return (
        f"{frame.calibration_id or 'not named'}, {row:.6g} x {column:.6g} mm per px (rows x columns) +/- {u95} (95 %)"
    )
