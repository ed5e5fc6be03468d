"""The answer on a study as a structured report (DICOM PS3.16 TID 1500, in a Comprehensive SR), made with highdicom.

One group says how the series was answered. A series without a result says so in its description, in the state of that
group and in the completion of the document, so that it is never taken for a series without a finding. The document is
never verified: a program made it.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

from highdicom.sr import (
    ComprehensiveSR,
    DeviceObserverIdentifyingAttributes,
    MeasurementReport,
    ObservationContext,
    ObserverContext,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from usassist.dicom.objects.report_items import coded, comment
from usassist.dicom.objects.terms import OWN_SCHEME, OWN_SCHEME_NAME, OWN_SCHEME_ORGANIZATION
from usassist.dicom.studies.report_groups import label_groups, study_group
from usassist.dicom.studies.source import SERIES_NUMBERS, StudyContent
from usassist.dicom.studies.terms import CT_PROCEDURE, MR_PROCEDURE
from usassist.errors import DicomError
from usassist.records import ResultState

__all__ = ["make_report"]

_DESCRIPTIONS = {
    ResultState.FINDING: "Report: finding",
    ResultState.NO_FINDING: "Report: no finding by program",
    ResultState.NO_RESULT: "NO RESULT: not assessed",
}
_PROCEDURES = {"CT": CT_PROCEDURE, "MR": MR_PROCEDURE}


def make_report(content: StudyContent, segmentation: Dataset | None = None) -> Dataset:
    """The report of a study.

    Parameters
    ----------
    content : of the study; its result may be without an answer
    segmentation : of the same content, to which the groups then refer; None = there is none

    Raises
    ------
    DicomError
        If the images do not say what an object that refers to them needs.
    """
    result, engine = content.result, content.engine
    source = content.source
    groups = [study_group(content), *label_groups(content, segmentation)]
    missing = result.state is ResultState.NO_RESULT
    evidence = source.for_highdicom(range(len(source.headers)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they quote values of the images
        try:
            tree = MeasurementReport(
                observation_context=_observed_by(content),
                procedure_reported=coded(_PROCEDURES[result.modality]),
                imaging_measurements=groups,
                title=codes.DCM.ImagingMeasurementReport,
            )
            tree[0].ContentSequence.extend(comment(text) for text in _comments(content))
            document = ComprehensiveSR(
                evidence=evidence if segmentation is None else [*evidence, segmentation],
                content=tree,
                series_instance_uid=content.uid("series", "report"),
                series_number=SERIES_NUMBERS["report"],
                sop_instance_uid=content.uid("report"),
                instance_number=1,
                manufacturer=engine.manufacturer,
                is_complete=not missing,
                is_final=False,
                is_verified=False,
            )
        except (ValueError, TypeError, AttributeError) as error:
            raise DicomError(
                "the images do not say what a report on them needs; use result.json, or export the series again"
            ) from error
        document.update(content.base(kind="report", modality="SR", description=_describe(content)))
    if missing:
        document.CompletionFlagDescription = "No result: this series was not assessed"
    scheme = Dataset()
    scheme.CodingSchemeDesignator = OWN_SCHEME
    scheme.CodingSchemeName = OWN_SCHEME_NAME
    scheme.CodingSchemeResponsibleOrganization = OWN_SCHEME_ORGANIZATION
    document.CodingSchemeIdentificationSequence = [scheme]
    return document


def _describe(content: StudyContent) -> str:
    if content.result.state is ResultState.FINDING and not content.looks_for_abnormalities:
        return "Report: measurements"
    return _DESCRIPTIONS[content.result.state]


def _observed_by(content: StudyContent) -> ObservationContext:
    """A program has observed, and nobody else (DICOM PS3.16 TID 1004)."""
    engine = content.engine
    return ObservationContext(
        observer_device_context=ObserverContext(
            observer_type=codes.DCM.Device,
            observer_identifying_attributes=DeviceObserverIdentifyingAttributes(
                uid=content.uid("observer", engine.engine_id),
                name="usassist",
                manufacturer_name=engine.manufacturer,
                model_name=engine.engine_id,
            ),
        )
    )


def _comments(content: StudyContent) -> Iterator[str]:
    """What a reader has to keep in mind, as sentences."""
    result, engine = content.result, content.engine
    yield (
        f"{engine.research_use} Outlines, scores and measurements are of a computer program and may be wrong. "
        "A physician reads the images and decides."
    )
    if result.state is ResultState.NO_RESULT:
        yield (
            f"NO RESULT. This series was not assessed: {result.reason}. That is not the same as no finding: nothing is "
            "known of what it shows."
        )
    elif result.state is ResultState.NO_FINDING:
        yield (
            "The program answered and found nothing. This does not mean that there is nothing: it finds what it was "
            f"made for ({engine.intended_use or 'see its card'}), and misses some of that."
        )
    if result.answer is not None and any(item.u95 is None for item in result.answer.measurements):
        yield "Where a measurement has no uncertainty or no value, the reason stands beside it."
    if result.failovers:
        yield f"Other back ends failed before this answer ({len(result.failovers)}); it is the work of one alone."
    yield from content.notes
