"""What the DICOM objects of a sweep have in common: patient, study, series, equipment, times; and writing them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import BinaryIO

from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from usassist.common.private_files import create_private
from usassist.dicom.objects.content import SweepContent
from usassist.dicom.study import StudyContext
from usassist.dicom.uids import derived_uid

__all__ = [
    "IMPLEMENTATION_CLASS_UID",
    "IMPLEMENTATION_VERSION_NAME",
    "SERIES_NUMBERS",
    "base_dataset",
    "code_item",
    "equipment_items",
    "local_time",
    "new_dicom_file",
    "set_moment",
    "short_text",
    "write_dataset",
]

IMPLEMENTATION_CLASS_UID = derived_uid("implementation")
IMPLEMENTATION_VERSION_NAME = "USASSIST"
SERIES_NUMBERS = {"cine": 1, "secondary": 2, "report": 3, "seg": 4, "key": 5, "pdf": 6, "labelmap": 7}
"""Kind of object → number of its series."""


def local_time(content: SweepContent, t_ms: float = 0.0) -> datetime:
    """When a frame was, in the zone of the objects.

    Parameters
    ----------
    t_ms : from the first frame
    """
    zone = timezone(timedelta(minutes=content.utc_offset_min))
    return datetime.fromisoformat(content.begun_utc).astimezone(zone) + timedelta(milliseconds=t_ms)


def set_moment(dataset: Dataset, stem: str, moment: datetime) -> None:
    """Set the date and the time of `stem` (``Series``, ``Acquisition``, ``Content``) to the microsecond."""
    setattr(dataset, f"{stem}Date", moment.strftime("%Y%m%d"))
    setattr(dataset, f"{stem}Time", moment.strftime("%H%M%S.%f"))


def base_dataset(
    content: SweepContent,
    *,
    sop_class_uid: str,
    sop_instance_uid: str,
    kind: str,
    modality: str,
    description: str,
    instance_number: int = 1,
) -> Dataset:
    """The modules Patient, General Study, General Series, General Equipment and SOP Common (DICOM PS3.3 C.7, C.12.1).

    Parameters
    ----------
    content : of the sweep
    sop_class_uid, sop_instance_uid : of the object
    kind : of object, a key of :data:`SERIES_NUMBERS`; objects of a kind are a series
    modality : of the series
    description : of the series; that it is for research use is added
    instance_number : in the series
    """
    study, begun = content.study, local_time(content)
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class_uid, sop_instance_uid
    dataset.TimezoneOffsetFromUTC = begun.strftime("%z")
    dataset.PatientName = study.patient_name
    dataset.PatientID = study.patient_id
    dataset.PatientBirthDate = study.patient_birth_date
    dataset.PatientSex = study.patient_sex
    dataset.StudyInstanceUID = study.study_instance_uid
    dataset.StudyID = study.study_id
    dataset.StudyDate = study.study_date or begun.strftime("%Y%m%d")
    dataset.StudyTime = study.study_time or begun.strftime("%H%M%S")
    dataset.AccessionNumber = study.accession_number
    dataset.ReferringPhysicianName = study.referring_physician_name
    if study.study_description:
        dataset.StudyDescription = study.study_description
    dataset.Modality = modality
    dataset.SeriesInstanceUID = content.series_uid(kind)
    dataset.SeriesNumber = SERIES_NUMBERS[kind]
    dataset.SeriesDescription = short_text(f"{description} (research use, not a medical device)")
    set_moment(dataset, "Series", begun)
    dataset.InstanceNumber = instance_number
    if study.requested_procedure_id or study.scheduled_procedure_step_id:
        if modality == "SR":
            dataset.ReferencedRequestSequence = [_report_request(study)]
        else:
            dataset.RequestAttributesSequence = [_series_request(study)]
    _set_equipment(dataset, content)
    if study.station_name:
        dataset.StationName = study.station_name
    return dataset


def equipment_items(content: SweepContent, did: str, *, engine: bool) -> list[Dataset]:
    """Items of the Contributing Equipment Sequence: this program, and the engine where its answers are in the object.

    Parameters
    ----------
    did : what the program did, in words
    engine : the object has answers of the engine
    """
    program = Dataset()
    _set_equipment(program, content)
    program.ContributionDescription = did
    items = [program]
    if engine and content.engine.engine_id:
        answered = Dataset()
        answered.Manufacturer = content.engine.manufacturer
        answered.ManufacturerModelName = short_text(content.engine.engine_id)
        answered.SoftwareVersions = content.engine.version
        what = f"outlined and measured; {content.engine.backend} {content.engine.precision}".rstrip()
        weights = content.engine.weights_sha256
        answered.ContributionDescription = f"{what}{f'; weights SHA-256 {weights}' if weights else ''}"
        items.append(answered)
    for item in items:
        item.PurposeOfReferenceCodeSequence = [code_item("109102", "DCM", "Processing Equipment")]
        item.ContributionDescription = f"{item.ContributionDescription}. {content.engine.research_use}"[:1024]
    return items


def code_item(value: str, scheme: str, meaning: str) -> Dataset:
    """An item of a code sequence (DICOM PS3.3 section 8)."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def short_text(text: str) -> str:
    """`text` as a value of LO: at most 64 characters, and none that separates values or controls."""
    return re.sub(r"[\\\x00-\x1f\x7f]", " ", text)[:64].strip()


def write_dataset(path: Path, dataset: Dataset) -> None:
    """Write a whole object into a new private file, in the transfer syntax that its file meta information names.

    Without one it is Explicit VR Little Endian.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    meta = getattr(dataset, "file_meta", None)
    with new_dicom_file(path, dataset, getattr(meta, "TransferSyntaxUID", ExplicitVRLittleEndian)):
        pass


@contextmanager
def new_dicom_file(path: Path, dataset: Dataset, transfer_syntax_uid: str) -> Iterator[BinaryIO]:
    """Write an object without its pixels into a new private file; what follows is written by the block.

    Parameters
    ----------
    path : of a file that does not exist
    dataset : its last attributes have a tag below that of Pixel Data
    transfer_syntax_uid : of it
    """
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = UID(transfer_syntax_uid)
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    dataset.file_meta = meta
    with create_private(path) as file:
        dcmwrite(file, dataset, enforce_file_format=True)
        yield file


def _set_equipment(dataset: Dataset, content: SweepContent) -> None:
    """The program: the version that recorded, and where it is another one, the version that made the object."""
    dataset.Manufacturer = content.engine.manufacturer
    dataset.ManufacturerModelName = "usassist"
    versions = [content.engine.software_version, content.made_by_version]
    dataset.SoftwareVersions = list(dict.fromkeys(version for version in versions if version)) or ""


def _series_request(study: StudyContext) -> Dataset:
    """An item of the Request Attributes Sequence (DICOM PS3.3 table 10-9)."""
    request = Dataset()
    request.RequestedProcedureID = study.requested_procedure_id
    request.ScheduledProcedureStepID = study.scheduled_procedure_step_id
    return request


def _report_request(study: StudyContext) -> Dataset:
    """An item of the Referenced Request Sequence of a structured report (DICOM PS3.3 table C.17-2)."""
    request = Dataset()
    request.StudyInstanceUID = study.study_instance_uid
    request.AccessionNumber = study.accession_number
    request.RequestedProcedureID = study.requested_procedure_id
    request.PlacerOrderNumberImagingServiceRequest = ""
    request.FillerOrderNumberImagingServiceRequest = ""
    request.RequestedProcedureDescription = study.study_description
    request.ReferencedStudySequence = []
    request.RequestedProcedureCodeSequence = []
    return request
