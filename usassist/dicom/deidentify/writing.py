"""Writes a clean data set and its frames, one frame at a time, as an uncompressed DICOM file."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

from usassist import __version__
from usassist.common.private_files import create_private, sync_file
from usassist.dicom.deidentify.pictures import Pictures
from usassist.dicom.deidentify.profile import EDITION
from usassist.dicom.deidentify.refused import RefusedError

__all__ = ["describe_method", "describe_pixels", "write_object"]

_PIXEL_DATA = (0x7FE0, 0x0010)
_MOST_BYTES = 2**32 - 2  # the length of an element has 32 bits, and the greatest value stands for "undefined"
_METHODS = {  # PS3.16 CID 7050
    "113100": "Basic Application Confidentiality Profile",
    "113101": "Clean Pixel Data Option",
    "113107": "Retain Longitudinal Temporal Information Modified Dates Option",
}
_PALETTE = ("Red", "Green", "Blue", "Alpha")


def describe_method(dataset: Dataset, *, dates_shifted: bool, text_check: str) -> None:
    """State in a clean data set what was done to it (PS3.15 E.1.1, PS3.3 C.12.1.1.3 and C.7.1.1).

    Parameters
    ----------
    dates_shifted : dates were moved, and not removed
    text_check : what the frames were checked with
    """
    codes = ["113100", "113101", *(["113107"] if dates_shifted else [])]
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = [
        f"usassist {__version__}",
        f"PS3.15 E.1-1 {EDITION}, clean pixels",
        f"text checked: {text_check}"[:64],
    ]
    dataset.DeidentificationMethodCodeSequence = Sequence(_code(value) for value in codes)
    dataset.LongitudinalTemporalInformationModified = "MODIFIED" if dates_shifted else "REMOVED"
    dataset.BurnedInAnnotation = "NO"


def describe_pixels(dataset: Dataset, pictures: Pictures) -> None:
    """Make the description of the pixels fit what is written: RGB or grey, uncompressed, lossy once is lossy always."""
    frames = len(pictures.spans)
    if pictures.is_colour:
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PlanarConfiguration = 3, "RGB", 0
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
        for colour in _PALETTE:
            for part in (
                f"{colour}PaletteColorLookupTableDescriptor",
                f"{colour}PaletteColorLookupTableData",
                f"Segmented{colour}PaletteColorLookupTableData",
            ):
                if part in dataset:
                    delattr(dataset, part)
    else:
        dataset.BitsStored = pictures.header.bits_stored
        dataset.HighBit = pictures.header.bits_stored - 1
    if "NumberOfFrames" in dataset or frames > 1:
        dataset.NumberOfFrames = frames
    if pictures.is_lossy:
        dataset.LossyImageCompression = "01"


def write_object(path: Path, dataset: Dataset, pictures: Pictures, frames: Iterable[npt.NDArray[Any]]) -> None:
    """Write a new private file: explicit VR, little endian. Pixel data are its last element.

    Parameters
    ----------
    path : that does not exist
    dataset : clean, without pixel data; its file meta information is made here
    pictures : whose frames they are
    frames : samples, in order

    Raises
    ------
    RefusedError
        If it cannot be stored uncompressed.
    OSError
        If it cannot be written.
    """
    total = pictures.bytes_of_all
    if total > _MOST_BYTES:
        raise RefusedError("its frames have more than 4 GiB uncompressed; split it first")
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta = meta
    dataset.preamble = bytes(128)
    with create_private(path) as file:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its warnings quote values
            dataset.save_as(file, enforce_file_format=True)
        vr = b"OB" if pictures.is_colour or pictures.header.bits_allocated == 8 else b"OW"
        file.write(struct.pack("<HH2sHL", *_PIXEL_DATA, vr, 0, total + total % 2))
        written = 0
        for frame in frames:
            little = np.ascontiguousarray(frame, frame.dtype.newbyteorder("<"))
            file.write(little.data)
            written += little.nbytes
        if written != total:
            raise RefusedError("its frames do not have the size that its header states")
        file.write(bytes(total % 2))
    sync_file(path)


def _code(value: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", _METHODS[value]
    return item
