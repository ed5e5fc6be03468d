"""Modality worklist (PS3.4 annex K): which examinations are ordered, and the study that each belongs to."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

from pydicom import Dataset, Sequence

from usassist.dicom.network.find import answers, checked_keys, text_of
from usassist.dicom.network.nodes import Node
from usassist.dicom.study import StudyContext
from usassist.errors import ArchiveError, UsAssistError

__all__ = ["Ordered", "WorklistQuery", "find_ordered"]

_WORKLIST = "1.2.840.10008.5.1.4.31"
_STEP = (
    "Modality ScheduledStationAETitle ScheduledProcedureStepStartDate ScheduledProcedureStepStartTime "
    "ScheduledProcedureStepDescription ScheduledProcedureStepID ScheduledStationName"
)
_ORDER = (
    "PatientName PatientID PatientBirthDate PatientSex AccessionNumber StudyInstanceUID ReferringPhysicianName "
    "RequestedProcedureID RequestedProcedureDescription StudyDate StudyTime"
)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class WorklistQuery:
    """What to look for; empty = not asked for. It has no ``repr``, so that no identity gets into a log.

    Attributes
    ----------
    modality : of the scheduled step
    date : ``YYYYMMDD`` or a range, of the scheduled start
    station_ae : AE title of the station that it is scheduled for
    accession_number, patient_id : exact
    """

    modality: str = "US"
    date: str = ""
    station_ae: str = ""
    accession_number: str = ""
    patient_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Ordered:
    """A scheduled procedure step.

    Attributes
    ----------
    study : that its objects belong to
    modality, station_ae, description : of the step
    date, time : of its scheduled start, ``YYYYMMDD`` and ``HHMMSS``
    """

    study: StudyContext
    modality: str
    station_ae: str
    date: str
    time: str
    description: str


def find_ordered(node: Node, query: WorklistQuery) -> list[Ordered]:
    """The scheduled procedure steps that match, by start.

    Raises
    ------
    ArchiveDownError, ArchiveRefusedError
        See :class:`~usassist.dicom.network.nodes.Archive`.
    ArchiveError
        If an entry has a value that DICOM does not allow; the value is not in the message.
    """
    found = [_ordered(node, answer) for answer in answers(node, _WORKLIST, _identifier(query), "a worklist query")]
    return sorted(found, key=lambda item: (item.date, item.time))


def _identifier(query: WorklistQuery) -> Dataset:
    step, dataset = Dataset(), Dataset()
    of_step = {
        "Modality": query.modality,
        "ScheduledStationAETitle": query.station_ae,
        "ScheduledProcedureStepStartDate": query.date,
    }
    of_order = {"AccessionNumber": query.accession_number, "PatientID": query.patient_id}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they quote values
        for item, asked, keys in ((step, _STEP, of_step), (dataset, _ORDER, of_order)):
            for keyword in asked.split():
                setattr(item, keyword, None)
            for keyword, value in checked_keys(keys).items():
                setattr(item, keyword, value)
    dataset.ScheduledProcedureStepSequence = Sequence([step])
    if not (query.accession_number + query.patient_id).isascii():
        dataset.SpecificCharacterSet = "ISO_IR 192"
    return dataset


def _ordered(node: Node, answer: Dataset) -> Ordered:
    steps = answer.get("ScheduledProcedureStepSequence") or [Dataset()]
    step = steps[0]

    def text(keyword: str) -> str:
        return text_of(node, answer, keyword).strip()

    def of_step(keyword: str) -> str:
        return text_of(node, step, keyword).strip()

    values = {
        "patient_name": text("PatientName"),
        "patient_id": text("PatientID"),
        "patient_birth_date": text("PatientBirthDate"),
        "patient_sex": text("PatientSex"),
        "accession_number": text("AccessionNumber"),
        "study_instance_uid": text("StudyInstanceUID"),
        "study_id": text("RequestedProcedureID"),
        "study_date": text("StudyDate"),
        "study_time": text("StudyTime"),
        "study_description": text("RequestedProcedureDescription"),
        "referring_physician_name": text("ReferringPhysicianName"),
        "station_name": of_step("ScheduledStationName"),
        "requested_procedure_id": text("RequestedProcedureID"),
        "scheduled_procedure_step_id": of_step("ScheduledProcedureStepID"),
    }
    try:
        study = StudyContext(**values)
    except UsAssistError as error:
        raise ArchiveError(f"{node.name} has a worklist entry that cannot be used: {error}") from None
    return Ordered(
        study=study,
        modality=of_step("Modality"),
        station_ae=of_step("ScheduledStationAETitle"),
        date=of_step("ScheduledProcedureStepStartDate"),
        time=of_step("ScheduledProcedureStepStartTime"),
        description=of_step("ScheduledProcedureStepDescription") or text("RequestedProcedureDescription"),
    )
