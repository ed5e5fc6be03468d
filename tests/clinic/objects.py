"""Small DICOM files for tests, of an invented patient."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset, FileMetaDataset, dcmwrite
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

__all__ = ["ULTRASOUND", "an_object", "write_object"]

ULTRASOUND = "1.2.840.10008.5.1.4.1.1.6.1"


def an_object(*, syntax: str = ExplicitVRLittleEndian, size_px: int = 16, **attributes: Any) -> Dataset:
    """An ultrasound image of one frame, `size_px` squared, in a study and series of its own unless they are given."""
    dataset = Dataset()
    dataset.SOPClassUID = ULTRASOUND
    dataset.SOPInstanceUID, dataset.StudyInstanceUID, dataset.SeriesInstanceUID = (generate_uid() for _ in range(3))
    dataset.PatientID, dataset.PatientName, dataset.Modality = "TEST-1", "Test^Invented", "US"
    dataset.PatientBirthDate, dataset.PatientSex = "19000101", "O"
    dataset.StudyDate, dataset.StudyTime, dataset.AccessionNumber, dataset.StudyID = "20260102", "101112", "A1", "1"
    dataset.ReferringPhysicianName, dataset.SeriesNumber, dataset.InstanceNumber = "", 1, 1
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = size_px, size_px, 1
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.PixelData = (np.arange(size_px * size_px) % 251).astype(np.uint8).tobytes()
    dataset["PixelData"].VR = "OB"
    for name, value in attributes.items():
        setattr(dataset, name, value)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    return dataset


def write_object(path: Path, **attributes: Any) -> str:
    """Write :func:`an_object` as a file. Returns its SOP instance UID."""
    dataset = an_object(**attributes)
    dcmwrite(path, dataset, enforce_file_format=True)
    return str(dataset.SOPInstanceUID)
