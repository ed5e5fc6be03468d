"""The task of an engine's modality, and how the bus describes the engine."""

from __future__ import annotations

import dataclasses

from usassist.bus import AssociationBody, EngineBody, LabelBody, PointBody, PointSetBody, TrackingBody
from usassist.calibrate import OperatingPoint, ScoreCalibration
from usassist.engine import EngineSpec
from usassist.engine.card_figures import CardFigures
from usassist.errors import EngineSpecError, UsageError
from usassist.modalities import Association, Kind, Modality, Task, find_modality
from usassist.modalities.ultrasound import DescriptorModel

__all__ = ["describe_engine", "make_association", "make_task", "modality_of"]


def modality_of(spec: EngineSpec) -> Modality:
    """The row of an engine's modality in the table, which must be able to run it.

    Raises
    ------
    EngineSpecError
        If there is no such modality, nothing of it runs here, or it does not run engines of that task.
    """
    try:
        row = find_modality(spec.modality)
    except UsageError as error:
        raise EngineSpecError(f"engine {spec.engine_id}: {error}") from error
    if not row.is_available:
        raise EngineSpecError(
            f"engine {spec.engine_id} is for {row.title}: {row.missing}; see usassist modalities list"
        )
    if spec.task not in row.engine_tasks:
        raise EngineSpecError(
            f"engine {spec.engine_id}: {row.title} runs {' and '.join(row.engine_tasks)}, not {spec.task}; use another"
        )
    return row


def make_task(
    spec: EngineSpec, scores: ScoreCalibration | None, point: str, descriptors: DescriptorModel | None
) -> Task:
    """The task of an engine's modality.

    Raises
    ------
    EngineSpecError
        If that modality does not stream, or the engine does not fit it.
    """
    row = modality_of(spec)
    if row.kind is not Kind.STREAM:
        raise EngineSpecError(f"engine {spec.engine_id} is for {row.title}, which does not stream; run it by study")
    task: Task = row.load(row.make_task)(spec, scores, point, descriptors)
    return task


def make_association(
    spec: EngineSpec, scores: ScoreCalibration | None, point: str, descriptors: DescriptorModel | None
) -> Association | None:
    """What associates the answers of one stream over its frames; None where each frame is answered alone.

    Raises
    ------
    EngineSpecError
        As :func:`make_task`.
    """
    row = modality_of(spec)
    if not row.make_association:
        return None
    association: Association | None = row.load(row.make_association)(spec, scores, point, descriptors)
    return association


def describe_engine(
    spec: EngineSpec,
    scores: ScoreCalibration | None,
    point: str,
    descriptors: DescriptorModel | None,
    *,
    associated: bool = False,
    tracking: TrackingBody | None = None,
) -> EngineBody:
    """The engine for the bus; thresholds are those of the scores that are published.

    Parameters
    ----------
    spec, scores, point, descriptors : as for :func:`make_task`
    associated : its answers are associated over the frames of the stream, by the rule of the operating point
    tracking : how they get their track ids; None = they get none
    """
    cut = None if scores is None else scores.point(point)
    rule = None if cut is None or not associated else cut.association
    card = CardFigures.load(spec.folder, spec.engine_id)
    labels = spec.labels
    if cut is not None:
        least = cut.score if rule is None else rule.release
        labels = tuple(dataclasses.replace(label, score_threshold=least) for label in labels)
    return EngineBody(
        engine_id=spec.engine_id,
        backend="none",
        labels=tuple(
            LabelBody(**{name: getattr(label, name) for name in LabelBody.__struct_fields__}) for label in labels
        ),
        intended_use=spec.intended_use,
        score_calibration_id=None if scores is None else scores.calibration_id,
        point=None if cut is None or scores is None else _describe_point(cut, scores, card),
        descriptor_agreement={} if descriptors is None else descriptors.agreement,
        domain="" if spec.domain is None else spec.domain.name,
        association=None if rule is None else AssociationBody(**dataclasses.asdict(rule)),
        tracking=tracking,
        points=()
        if scores is None
        else tuple(_describe_point(known, scores, card) for known in scores.points.values()),
    )


def _describe_point(point: OperatingPoint, scores: ScoreCalibration, card: CardFigures | None) -> PointBody:
    shows = {} if card is None else card.shows
    frames = {item.name: item.frames for item in scores.sets}
    figures = ("sensitivity", "false_positives_per_frame", "alarms_per_negative_frame")
    return PointBody(
        name=point.name,
        **{name: getattr(point, name) for name in figures},
        sets=tuple(
            PointSetBody(
                name=item.name,
                frames=frames[item.name],
                shows=shows.get(item.name, ""),
                **{name: getattr(item, name) for name in figures},
            )
            for item in point.sets
        ),
    )
