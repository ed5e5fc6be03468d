"""The part of the structured report about the whole sweep: what was looked at, what was not, what was marked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from highdicom.sr import (
    ContentItem,
    Measurement,
    MeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    SourceImageForMeasurementGroup,
    TrackingIdentifier,
)

from usassist.dicom.objects import terms
from usassist.dicom.objects.content import ULTRASOUND_MULTI_FRAME, SweepContent, Unanswered
from usassist.dicom.objects.report_items import coded, image_item, make_evaluation, make_number, property_text
from usassist.dicom.objects.shown import MOST_RUNS, count_frames
from usassist.dicom.objects.terms import Term

__all__ = ["find_missing", "list_comments", "sweep_group"]

_MARK_FIELDS = ("plane", "side", "distance_mm")


def sweep_group(content: SweepContent) -> MeasurementsAndQualitativeEvaluations:
    """The group of the sweep (DICOM PS3.16 TID 1501), with the whole cine as its source."""
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(uid=content.uid("tracking", "sweep"), identifier="sweep"),
        finding_type=coded(terms.SWEEP),
        measurements=list(_counts(content)),
        qualitative_evaluations=list(_marks(content)),
        source_images=[
            SourceImageForMeasurementGroup(
                referenced_sop_class_uid=ULTRASOUND_MULTI_FRAME, referenced_sop_instance_uid=content.cine_uid(part)
            )
            for part in content.parts
        ],
    )


def _counts(content: SweepContent) -> Iterator[Measurement]:
    unscaled = sum(frame.spacing_rc_mm is None for frame in content.frames)
    for name, value, unit in (
        (terms.SWEEP_FRAMES, count_frames(content), terms.FRAMES),
        (terms.SWEEP_LENGTH, content.length_s, terms.SECONDS),
        (terms.ANSWERED_FRAMES, content.answered_frames, terms.FRAMES),
        (terms.ANSWERED_TIME, content.answered_s, terms.SECONDS),
        (terms.FINDING_FRAMES, content.finding_frames, terms.FRAMES),
        (terms.NO_FINDING_FRAMES, content.no_finding_frames, terms.FRAMES),
        (terms.FRAMES_LOST, content.frames_lost, terms.FRAMES),
        (terms.PIXELS_LOST, content.pixels_lost, terms.FRAMES),
        (terms.RESULTS_LOST, content.results_lost, terms.FRAMES),
        (terms.FRAMES_UNSCALED, unscaled, terms.FRAMES),
        (terms.NOT_LISTED, content.not_listed, terms.IDENTITIES),
        (terms.NOT_SHOWN, content.not_shown, terms.IDENTITIES),
    ):
        yield make_number(name, value, unit)
    yield from _by_cause(content.unanswered, terms.UNANSWERED_FRAMES, terms.UNANSWERED_TIME, terms.CAUSES)
    yield from _by_cause(content.not_live, terms.NOT_LIVE_FRAMES, terms.NOT_LIVE_TIME, terms.SIGNALS)


def _by_cause(
    items: tuple[Unanswered, ...], frames: Term, seconds: Term, names: Mapping[str, Term]
) -> Iterator[Measurement]:
    for item in items:
        cause = (terms.CAUSE, names.get(item.name, terms.OTHER_CAUSE))
        yield make_number(frames, item.frames, terms.FRAMES, modifier=cause)
        yield make_number(seconds, item.seconds, terms.SECONDS, modifier=cause)


def _marks(content: SweepContent) -> Iterator[QualitativeEvaluation]:
    """Every mark, with its frame where its pixels are there."""
    index_of = {frame.frame_id: index for index, frame in enumerate(content.frames)}
    for mark in content.marks:
        kind = terms.MARKS.get(mark["kind"])
        if kind is None:
            continue
        properties: list[ContentItem] = [property_text(terms.MARK_ABOUT, _about(mark))]
        index = index_of.get(mark["frame_id"])
        if index is not None:
            properties.append(image_item(content.reference(index)))
        yield make_evaluation(terms.MARK, kind, basis=terms.BASES["confirmed"], properties=properties)


def _about(mark: Mapping[str, Any]) -> str:
    track_id = mark.get("track_id")
    parts = [f"frame {mark['frame_id']} of the source"]
    if track_id is not None and track_id >= 0:
        parts.append(f"N{track_id}")
    parts.extend(f"{name} {mark[name]}" for name in _MARK_FIELDS if mark.get(name) is not None)
    return ", ".join(parts)


def find_missing(content: SweepContent) -> str:
    """What of the sweep is missing, so that the document is partial; empty = nothing."""
    missing = []
    if content.state != "ended":
        missing.append(f"the stream ended as {content.state}")
    for count, what in (
        (content.frames_lost, "frames lost"),
        (content.pixels_lost, "frames without pixels"),
        (content.results_lost, "results lost"),
        (content.not_shown, "nodules left out, because the pixels of their best plane are lost"),
    ):
        if count:
            missing.append(f"{count} {what}")
    return "; ".join(missing)


def list_comments(content: SweepContent) -> Iterator[str]:
    """What a reader has to keep in mind, as sentences."""
    engine = content.engine
    yield (
        f"{engine.research_use} Outlines, sizes and estimates are of a computer program and may be wrong. "
        "A physician reads the images and decides."
    )
    frames = count_frames(content)
    yield (
        f'"No finding" counts for the {content.answered_frames} answered frames alone. The other '
        f"{frames - content.answered_frames} of {frames} frames have no result: they were not looked at, which is "
        "not the same as no finding."
    )
    if not content.nodules and not content.untracked:
        yield "No nodule is listed. This does not mean that there is none."
    if content.untracked:
        shorter = max(0, len(content.untracked) - MOST_RUNS)
        more = f" {shorter} shorter runs are not listed." if shorter else ""
        yield (
            "Findings without an identity are listed as runs of frames. No run is a nodule of its own: two may show "
            f"the same one, and one several.{more}"
        )
    if content.not_listed:
        yield f"{content.not_listed} identities that were outlined are not listed one by one."
    yield (
        "Sizes are of outlines by the program. Their uncertainty reaches to the ends of a 95 % interval of scale, "
        "outline and pixel grid. Where the border of the scan cuts a nodule, sizes are lower bounds under names of "
        "their own. Where a frame has no scale, they are in pixels and must not be read as mm."
    )
    missing = find_missing(content)
    if missing:
        yield f"The recording is not complete: {missing}."
