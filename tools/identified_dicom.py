"""DICOM objects with an invented identity in every place where one has been seen, to be de-identified."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, UltrasoundMultiFrameImageStorage

__all__ = ["SECRETS", "identified", "planted_in"]

SECRETS = ("INVENTED", "NOBODY", "SIM-4711", "19510203", "Nowhere Clinic", "DrNoName", "1.2.826.0.1.3680043.8.498.4711")
"""Texts that stand in these objects and in nothing that was made of them."""

_NAME, _ID, _BORN, _PLACE, _DOCTOR, _ROOT = "INVENTED^NOBODY", *SECRETS[2:]


def identified(
    frames: Sequence[npt.NDArray[Any]], *, number: int = 1, modality: str = "US", area: tuple[int, ...] | None = None
) -> Dataset:
    """An uncompressed object with an invented patient.

    Parameters
    ----------
    frames : uint8 or int16 (H, W), or uint8 (H, W, 3) RGB, of one size
    number : of the object; the patient, the study and the series are the same for all
    modality : ``US`` or ``CT``
    area : region of the B-mode image that the header states, x1, y1, x2, y2 px; None = none
    """
    dataset = Dataset()
    dataset.SOPClassUID = UltrasoundMultiFrameImageStorage if modality == "US" else CTImageStorage
    dataset.SOPInstanceUID = UID(f"{_ROOT}.3.{number}")
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = UID(f"{_ROOT}.1"), UID(f"{_ROOT}.2")
    dataset.FrameOfReferenceUID = UID(f"{_ROOT}.4")
    dataset.Modality = modality
    _identity(dataset)
    _hidden_identity(dataset)
    if area is not None:
        dataset.SequenceOfUltrasoundRegions = Items([_region(area)])
    _pixels(dataset, frames, modality)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.SourceApplicationEntityTitle = "DrNoName"
    dataset.preamble = b"INVENTED^NOBODY".ljust(128, b"\0")
    return dataset


def planted_in(folder: Path) -> list[str]:
    """Which of the invented texts stand in the bytes or the names of the files of a folder."""
    everything = b"".join(
        str(path.relative_to(folder)).encode() + path.read_bytes() for path in folder.rglob("*") if path.is_file()
    )
    return [secret for secret in SECRETS if secret.encode() in everything]


def _identity(dataset: Dataset) -> None:
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate = _NAME, _ID, _BORN
    dataset.PatientSex, dataset.PatientAge, dataset.PatientAddress = "O", "075Y", _PLACE
    dataset.OtherPatientNames, dataset.OtherPatientIDs = _NAME, _ID
    dataset.InstitutionName, dataset.StationName = _PLACE, "DrNoName"
    dataset.ReferringPhysicianName = dataset.OperatorsName = dataset.PerformingPhysicianName = _DOCTOR
    dataset.AccessionNumber, dataset.StudyID = _ID, "SIM-4711"
    dataset.StudyDate, dataset.StudyTime = "20240229", "235930.5"
    dataset.SeriesDate, dataset.SeriesTime = "20240301", "000010"
    dataset.ContentDate, dataset.ContentTime = "20240301", "000130"
    dataset.AcquisitionDateTime = "20240301000130.250000+0100"
    dataset.StudyDescription = f"thyroid of {_NAME}"
    dataset.SeriesDescription, dataset.ProtocolName, dataset.ImageComments = _NAME, _NAME, f"{_NAME} {_ID}"
    dataset.Manufacturer, dataset.ManufacturerModelName = "Phantom", "Simulated scanner"
    dataset.InstanceNumber, dataset.SeriesNumber = 1, 1


def _hidden_identity(dataset: Dataset) -> None:
    """In items, private attributes, overlays, curves, unknown attributes, and attributes that hold no such thing."""
    inner = Dataset()
    inner.ReferencedSOPClassUID, inner.ReferencedSOPInstanceUID = UltrasoundMultiFrameImageStorage, UID(f"{_ROOT}.3.2")
    inner.PatientName, inner.TextValue = _NAME, f"{_NAME}, {_ID}"
    deeper = Dataset()
    deeper.CodeValue, deeper.CodingSchemeDesignator, deeper.CodeMeaning = "T-B6000", "SRT", "Thyroid"
    deeper.PersonName = _NAME
    inner.PurposeOfReferenceCodeSequence = Items([deeper])
    dataset.SourceImageSequence = Items([inner])
    place = Dataset()
    place.CodeValue, place.CodingSchemeDesignator, place.CodeMeaning = "T-B6000", "SRT", "Thyroid gland"
    place.InstitutionAddress, place.ContextGroupExtensionCreatorUID = _PLACE, UID(f"{_ROOT}.9")
    dataset.AnatomicRegionSequence = Items([place])
    request = Dataset()
    request.RequestedProcedureDescription, request.ScheduledProcedureStepID = _NAME, _ID
    dataset.RequestAttributesSequence = Items([request])
    block = dataset.private_block(0x0099, "INVENTED NOBODY", create=True)
    block.add_new(0x01, "LO", _NAME)
    block.add_new(0x02, "SQ", Items([deeper]))
    dataset.add_new(0x60000010, "US", 8)
    dataset.add_new(0x60003000, "OW", b"INVENTED^NOBODY ")
    dataset.add_new(0x60020022, "LO", _NAME)
    dataset.add_new(0x50003000, "OW", b"INVENTED^NOBODY ")
    dataset.add_new(0x00089999, "UN", b"INVENTED^NOBODY ")
    dataset.add_new(0x00280107, "UN", b"NOBODY")
    dataset.RetrieveURI = "http://SIM-4711.invalid/INVENTED"
    dataset.EncapsulatedDocument = b"INVENTED^NOBODY "
    icon = Dataset()
    icon.Rows, icon.Columns, icon.PixelData = 2, 8, b"INVENTED^NOBODY "
    icon.BitsAllocated = icon.BitsStored = 8
    dataset.IconImageSequence = Items([icon])
    wave = Dataset()
    wave.WaveformData, wave.MultiplexGroupLabel = b"INVENTED^NOBODY ", "NOBODY"
    wave.WaveformBitsAllocated = 8
    dataset.WaveformSequence = Items([wave])
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "THYROID"]
    dataset.ClinicalTrialSubjectID = _ID


def _region(area: tuple[int, ...]) -> Dataset:
    item = Dataset()
    item.RegionSpatialFormat, item.RegionDataType, item.RegionFlags = 1, 1, 0
    item.RegionLocationMinX0, item.RegionLocationMinY0, item.RegionLocationMaxX1, item.RegionLocationMaxY1 = area
    item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = 3
    item.PhysicalDeltaX = item.PhysicalDeltaY = 0.01
    return item


def _pixels(dataset: Dataset, frames: Sequence[npt.NDArray[Any]], modality: str) -> None:
    first = frames[0]
    dataset.Rows, dataset.Columns = first.shape[:2]
    dataset.SamplesPerPixel = 3 if first.ndim == 3 else 1
    dataset.PhotometricInterpretation = "RGB" if first.ndim == 3 else "MONOCHROME2"
    if first.ndim == 3:
        dataset.PlanarConfiguration = 0
    bits = 8 * first.dtype.itemsize
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
    dataset.PixelRepresentation = int(first.dtype.kind == "i")
    if modality == "US":
        dataset.NumberOfFrames, dataset.FrameTime = len(frames), 33.3
        dataset.FrameIncrementPointer = 0x00181063
    data = b"".join(np.ascontiguousarray(frame).tobytes() for frame in frames)
    dataset.add_new(0x7FE00010, "OW" if bits == 16 else "OB", data + bytes(len(data) % 2))
    dataset.add_new(0xFFFCFFFC, "OB", b"INVENTED^NOBODY ")
