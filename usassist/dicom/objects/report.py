"""The sweep as a structured report (DICOM PS3.16 TID 1500, in a Comprehensive SR, PS3.3 A.35.3), made with highdicom.

Every nodule is a measurement group with its outline on its frame of the cine; the sweep is one more group, which says
what was looked at and what was not. The document is never verified: a program made it.
"""

from __future__ import annotations

from highdicom.sr import (
    ComprehensiveSR,
    DeviceObserverIdentifyingAttributes,
    MeasurementReport,
    ObservationContext,
    ObserverContext,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import ComprehensiveSRStorage

from usassist.dicom.common import SERIES_NUMBERS, base_dataset, equipment_items, local_time, set_moment
from usassist.dicom.objects import terms
from usassist.dicom.objects.content import ULTRASOUND_MULTI_FRAME, SweepContent
from usassist.dicom.objects.report_groups import Group, groups_of
from usassist.dicom.objects.report_items import coded, comment, nameless
from usassist.dicom.objects.report_sweep import find_missing, list_comments, sweep_group
from usassist.dicom.objects.shown import list_shown

__all__ = ["make_report"]


def make_report(content: SweepContent) -> Dataset:
    """The report of a sweep. It refers to the frames of the cine objects, and reads nothing of their pixels.

    Parameters
    ----------
    content : of the sweep

    Raises
    ------
    DicomError
        If a plane of a nodule names a finding that its frame does not have.
    """
    groups: list[Group] = [sweep_group(content)]
    groups.extend(group for shown in list_shown(content) for group in groups_of(content, shown))
    tree = MeasurementReport(
        observation_context=_observed_by(content),
        procedure_reported=coded(terms.ULTRASONOGRAPHY),
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
    )
    tree[0].ContentSequence.extend(comment(text) for text in list_comments(content))
    missing = find_missing(content)
    document = ComprehensiveSR(
        evidence=_cines(content),
        content=tree,
        series_instance_uid=content.series_uid("report"),
        series_number=SERIES_NUMBERS["report"],
        sop_instance_uid=content.uid("report"),
        instance_number=1,
        manufacturer=content.engine.manufacturer,
        is_complete=not missing,
        is_final=False,
        is_verified=False,
    )
    document.update(
        base_dataset(
            content,
            sop_class_uid=ComprehensiveSRStorage,
            sop_instance_uid=content.uid("report"),
            kind="report",
            modality="SR",
            description="Structured report",
        )
    )
    set_moment(document, "Content", local_time(content, 1e3 * content.length_s))
    del document.InstanceCreationDate, document.InstanceCreationTime  # of the export, not of the content
    if missing:
        document.CompletionFlagDescription = missing[:64]
    more = Dataset()
    more.ContributingEquipmentSequence = equipment_items(content, "wrote the structured report", engine=True)
    more.CodingSchemeIdentificationSequence = [_own_scheme()]
    document.update(more)
    return document


def _observed_by(content: SweepContent) -> ObservationContext:
    """A program has observed, and nobody else (DICOM PS3.16 TID 1004)."""
    engine = content.engine
    return ObservationContext(
        observer_device_context=ObserverContext(
            observer_type=codes.DCM.Device,
            observer_identifying_attributes=DeviceObserverIdentifyingAttributes(
                uid=content.uid("observer", engine.engine_id),
                name="usassist",
                manufacturer_name=engine.manufacturer,
                model_name=engine.engine_id or "no engine",
            ),
        )
    )


def _cines(content: SweepContent) -> list[Dataset]:
    """What highdicom has to know of the cine objects: the study, and how they are referred to."""
    return [
        nameless(
            base_dataset(
                content,
                sop_class_uid=ULTRASOUND_MULTI_FRAME,
                sop_instance_uid=content.cine_uid(part),
                kind="cine",
                modality="US",
                description="Ultrasound cine",
            )
        )
        for part in content.parts
    ]


def _own_scheme() -> Dataset:
    item = Dataset()
    item.CodingSchemeDesignator = terms.OWN_SCHEME
    item.CodingSchemeName = terms.OWN_SCHEME_NAME
    item.CodingSchemeResponsibleOrganization = terms.OWN_SCHEME_ORGANIZATION
    return item
