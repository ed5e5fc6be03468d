"""The measurement groups of a study's report: one of the whole series, and one for each label.

A label that was outlined is a volumetric region, its segment (DICOM PS3.16 TID 1411); else a group without a region
(TID 1501).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from highdicom.sr import (
    AlgorithmIdentification,
    CodeContentItem,
    ContentItem,
    ContentSequence,
    FindingSite,
    Measurement,
    MeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    ReferencedSegment,
    RelationshipTypeValues,
    SourceImageForMeasurement,
    SourceImageForMeasurementGroup,
    SourceSeriesForSegmentation,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from pydicom.dataset import Dataset

from usassist.dicom.objects.report_items import coded, make_evaluation, make_number, property_text
from usassist.dicom.studies import terms
from usassist.dicom.studies.source import StudyContent
from usassist.dicom.studies.terms import quantity_of, unit_of
from usassist.records import ResultState
from usassist.volumes import Measurement as StudyMeasurement

__all__ = ["Group", "label_groups", "study_group"]

Group = MeasurementsAndQualitativeEvaluations | VolumetricROIMeasurementsAndQualitativeEvaluations

_KEY_PLANES = 3  # planes with the highest scores that are named


def study_group(content: StudyContent) -> MeasurementsAndQualitativeEvaluations:
    """How the series was answered, with all its images as the source."""
    result = content.result
    properties = [] if result.cause is None else [property_text(terms.WHY_NOT, result.reason)]
    state = terms.STATES[result.state]
    if result.state is ResultState.FINDING and not content.looks_for_abnormalities:
        state = terms.MEASURED
    evaluations = [make_evaluation(terms.STATE, state, properties=properties)]
    if result.cause is not None:
        evaluations.append(make_evaluation(terms.CAUSE, terms.CAUSES[result.cause]))
    measurements = [make_number(terms.PLANES_COUNT, len(content.source.file_of_plane), terms.PLANES)]
    measurements += _numbers(content, None)
    evaluations += _failures(content, None)
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(uid=content.uid("tracking", "series"), identifier="series"),
        finding_type=coded(terms.SERIES),
        algorithm_id=_algorithm(content),
        measurements=measurements,
        qualitative_evaluations=evaluations,
        source_images=[
            SourceImageForMeasurementGroup(
                referenced_sop_class_uid=header.SOPClassUID, referenced_sop_instance_uid=header.SOPInstanceUID
            )
            for header in content.source.headers
        ],
    )


def label_groups(content: StudyContent, segmentation: Dataset | None) -> Iterator[Group]:
    """A group for each label that was outlined, measured or scored."""
    answer = content.result.answer
    if answer is None:
        return
    outlined = content.present_labels()
    numbers = outlined if segmentation is not None else {}
    scored = {item.label_id: item for item in answer.plane_scores}
    measured = {item.label_id for item in answer.measurements if item.label_id is not None}
    for label in sorted(set(outlined) | measured | set(scored)):
        segment = content.segment_of(label)
        measurements = _numbers(content, label)
        if label in scored:
            measurements += _plane_scores(content, scored[label].scores)
        is_found = content.is_found(label)
        title = f"{segment.title}, NOT FOUND" if is_found is False else segment.title
        tracking = TrackingIdentifier(uid=content.uid("tracking", label), identifier=title)
        sites = None if segment.site is None else [FindingSite(anatomic_location=coded(segment.site))]
        evaluations = [make_evaluation(terms.WHICH, modifier) for modifier in segment.modifiers]
        if is_found is not None:
            evaluations.append(make_evaluation(terms.FOUND, terms.FOUND_STATES[is_found]))
        evaluations += [_outlined(label in outlined), *_failures(content, label)]
        if label in numbers and segmentation is not None:
            yield VolumetricROIMeasurementsAndQualitativeEvaluations(
                tracking_identifier=tracking,
                referenced_segment=ReferencedSegment(
                    sop_class_uid=segmentation.SOPClassUID,
                    sop_instance_uid=segmentation.SOPInstanceUID,
                    segment_number=numbers[label],
                    source_series=SourceSeriesForSegmentation(referenced_series_instance_uid=content.source.series_uid),
                ),
                finding_category=coded(segment.category),
                finding_type=coded(segment.kind),
                finding_sites=sites,
                algorithm_id=_algorithm(content),
                measurements=measurements,
                qualitative_evaluations=evaluations,
            )
        else:
            yield MeasurementsAndQualitativeEvaluations(
                tracking_identifier=tracking,
                finding_category=coded(segment.category),
                finding_type=coded(segment.kind),
                finding_sites=sites,
                algorithm_id=_algorithm(content),
                measurements=measurements,
                qualitative_evaluations=evaluations,
            )


def _outlined(is_outlined: bool) -> QualitativeEvaluation:
    return make_evaluation(terms.OUTLINED, terms.OUTLINED_STATES[is_outlined])


def _numbers(content: StudyContent, label: int | None) -> list[Measurement]:
    """Measurements of a label, or of the whole study, that have a value; with their uncertainty."""
    found = []
    for item in _measured(content, label):
        if item.value is None:
            continue
        quantity, level = quantity_of(item.name, _name(content, label), item.unit)
        number = make_number(quantity.name, item.value, unit_of(item.unit), lower=item.u95, upper=item.u95)
        more: list[ContentItem] = [
            CodeContentItem(coded(name), coded(code), RelationshipTypeValues.HAS_CONCEPT_MOD)
            for name, code in (
                (terms.MEASUREMENT_METHOD, quantity.method),
                (terms.DERIVATION, quantity.derivation),
                (terms.SITE, level),
            )
            if code is not None
        ]
        if item.reason:
            more.append(property_text(terms.WHY_NOT, item.reason))
        if more:
            number[0].ContentSequence = ContentSequence([*more, *number[0].get("ContentSequence", ())])
        found.append(number)
    return found


def _failures(content: StudyContent, label: int | None) -> list[QualitativeEvaluation]:
    """Measurements without a value, each with the reason.

    They are codes and no numbers: a number without a value is allowed (DICOM PS3.3 C.18.1), and makes readers fail.
    """
    found = []
    for item in _measured(content, label):
        if item.value is None:
            quantity, level = quantity_of(item.name, _name(content, label), item.unit)
            properties: list[ContentItem] = [property_text(terms.WHY_NOT, item.reason)]
            if level is not None:
                site = CodeContentItem(coded(terms.SITE), coded(level), RelationshipTypeValues.HAS_CONCEPT_MOD)
                properties.insert(0, site)
            found.append(make_evaluation(quantity.name, terms.MEASUREMENT_FAILURE, properties=properties))
    return found


def _measured(content: StudyContent, label: int | None) -> list[StudyMeasurement]:
    answer = content.result.answer
    return [] if answer is None else [item for item in answer.measurements if item.label_id == label]


def _name(content: StudyContent, label: int | None) -> str:
    return "" if label is None else content.name_of(label)


def _plane_scores(content: StudyContent, scores: np.ndarray) -> list[Measurement]:
    """The planes with the highest scores, each with its image; of two alike the lower plane first."""
    source = content.source
    found = []
    for z in np.argsort(-scores, kind="stable")[:_KEY_PLANES].tolist():
        header = source.headers[source.file_of_plane[z]]
        image = SourceImageForMeasurement(
            referenced_sop_class_uid=header.SOPClassUID,
            referenced_sop_instance_uid=header.SOPInstanceUID,
            referenced_frame_numbers=[source.frame_of_plane[z]] if source.is_multi_frame else None,
        )
        found.append(make_number(terms.PLANE_SCORE, float(scores[z]), unit_of("1"), images=[image]))
    return found


def _algorithm(content: StudyContent) -> AlgorithmIdentification:
    """What made the answer (DICOM PS3.16 TID 4019)."""
    engine = content.engine
    parameters = [
        f"engine: {engine.engine_id}",
        f"back end: {engine.backend}",
        f"precision: {engine.precision or 'not recorded'}",
        f"weights SHA-256: {engine.weights_sha256 or 'not recorded'}",
        f"intended use: {engine.intended_use or 'not recorded'}",
        f"program: usassist {engine.software_version}. {engine.research_use}",
    ]
    return AlgorithmIdentification(
        engine.engine_id.partition("@")[0] or "not recorded",
        engine.version or "not recorded",
        parameters,
        manufacturer=engine.manufacturer,
    )
