"""What the header of an ultrasound DICOM file says, as far as it is needed to play it.

Only the tags listed here are read: what names or describes a patient is never taken into memory. pydicom's own
warnings quote values of the header, so they are silenced.
"""

from __future__ import annotations

import logging
import struct
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from pydicom import Dataset, dcmread
from pydicom.datadict import tag_for_keyword
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.uid import UID

from usassist.errors import SourceError, SourceFormatError
from usassist.sources.dicom.palette import COLOURS, read_palette
from usassist.sources.dicom.regions import Regions, read_regions
from usassist.sources.dicom.syntax import refusal
from usassist.sources.dicom.timing import FrameTiming, number_of, read_timing

__all__ = ["PYDICOM_ERRORS", "DicomHeader", "read_header"]

# What pydicom raises on malformed bytes, beside InvalidDicomError; its wording may quote the header and is not shown.
PYDICOM_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    BytesLengthException,
    EOFError,
    InvalidDicomError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)

_GREY = frozenset({"MONOCHROME1", "MONOCHROME2"})
_HALVED = frozenset({"YBR_FULL_422", "YBR_PARTIAL_422"})
_THREE = _HALVED | {"RGB", "YBR_FULL", "YBR_PARTIAL", "YBR_ICT", "YBR_RCT"}
_PALETTE = "PALETTE COLOR"
_LARGEST_SIDE_PX = 16384
_VOLUME = "1.2.840.10008.5.1.4.1.1.6.2"  # Enhanced US Volume: its frames are slices
_UNDEFINED = 0xFFFFFFFF
_KEYWORDS = (
    "SOPClassUID Modality SamplesPerPixel PhotometricInterpretation PlanarConfiguration NumberOfFrames Rows Columns "
    "BitsAllocated BitsStored PixelRepresentation FrameIncrementPointer FrameTime FrameTimeVector CineRate "
    "RecommendedDisplayFrameRate SequenceOfUltrasoundRegions "
    + " ".join(f"{c}PaletteColorLookupTableDescriptor {c}PaletteColorLookupTableData" for c in COLOURS)
    + " "
    + " ".join(f"Segmented{c}PaletteColorLookupTableData" for c in COLOURS)
).split()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DicomHeader:
    """The facts of one file.

    Attributes
    ----------
    syntax : the transfer syntax
    hw_px : rows and columns
    frame_count : number of frames that the header claims
    samples : samples per pixel, 1 or 3
    photometric : photometric interpretation
    planar : planar configuration, 0 or 1
    bits_allocated, bits_stored : of one sample; 8 or 16, and 1 to 16
    palette : uint8 (65536, 3) RGB for every stored value, or None
    pixel_vr : OB or OW
    pixel_start, pixel_length : where the pixel data begin in the file and how many bytes they are; the length is None
        where they are encapsulated
    timing : when each frame is due
    regions : what the scanner says about the parts of its screen
    """

    syntax: UID
    hw_px: tuple[int, int]
    frame_count: int
    samples: int
    photometric: str
    planar: int
    bits_allocated: int
    bits_stored: int
    palette: npt.NDArray[np.uint8] | None
    pixel_vr: str
    pixel_start: int
    pixel_length: int | None
    timing: FrameTiming
    regions: Regions

    @property
    def is_halved(self) -> bool:
        """True when uncompressed pixels share their colour in pairs."""
        return self.photometric in _HALVED

    @property
    def channels(self) -> int:
        """1 for grey, 3 for RGB."""
        return 1 if self.photometric in _GREY else 3

    @property
    def frame_bytes(self) -> int:
        """Bytes of one uncompressed frame."""
        samples = 2 if self.is_halved else self.samples
        return self.hw_px[0] * self.hw_px[1] * samples * self.bits_allocated // 8


def read_header(path: Path) -> DicomHeader:
    """Read the header of an ultrasound DICOM file.

    Raises
    ------
    SourceError
        If it cannot be read.
    SourceFormatError
        If it is not DICOM, not ultrasound, holds no pixel data, or pixels that cannot be played here.
    """
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)  # its messages may quote the header
    tags = [tag_for_keyword(keyword) or 0 for keyword in _KEYWORDS]
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = dcmread(file, stop_before_pixels=True, specific_tags=list(tags))
            syntax = UID(str(dataset.file_meta.get("TransferSyntaxUID", "")))
            _check_kind(dataset, syntax)
            return _header(dataset, syntax, file)
    except SourceFormatError as error:
        raise SourceFormatError(f"{path.name} {error}") from None
    except InvalidDicomError:
        raise SourceFormatError(f"{path.name} is not a DICOM file; give an ultrasound DICOM file") from None
    except (*PYDICOM_ERRORS, OSError) as error:
        if isinstance(error, OSError) and error.strerror:
            raise SourceError(f"{path.name} cannot be read: {error.strerror}; check the file") from error
        raise SourceFormatError(f"{path.name} has a damaged DICOM header; export it again from the scanner") from None


def _check_kind(dataset: Dataset, syntax: UID) -> None:
    modality = str(dataset.get("Modality", "") or "")
    sop_class = str(dataset.get("SOPClassUID", "") or dataset.file_meta.get("MediaStorageSOPClassUID", "") or "")
    if modality != "US":
        what = f"pictures of modality {modality}" if modality.isalpha() and len(modality) <= 8 else "no known modality"
        raise SourceFormatError(f"holds {what}, but this source plays ultrasound (US); give an ultrasound DICOM file")
    if sop_class == _VOLUME:
        raise SourceFormatError("holds an ultrasound volume, not a sequence in time; export a cine loop instead")
    if not syntax:
        raise SourceFormatError("states no transfer syntax; write it anew with: dcmconv FILE OUT.dcm")
    why = refusal(syntax)
    if why is not None:
        raise SourceFormatError(why)


def _header(dataset: Dataset, syntax: UID, file: BinaryIO) -> DicomHeader:
    """The facts, with `file` at the pixel data."""
    found = _pixel_element(syntax, file)
    rows, columns = _whole(dataset, "Rows"), _whole(dataset, "Columns")
    if not (0 < rows <= _LARGEST_SIDE_PX and 0 < columns <= _LARGEST_SIDE_PX):
        raise SourceFormatError(f"says that its picture has {columns} x {rows} px; export it again from the scanner")
    frame_count = _whole(dataset, "NumberOfFrames", 1)
    if frame_count < 1:
        raise SourceFormatError(f"says that it holds {frame_count} frames; export it again from the scanner")
    photometric = str(dataset.get("PhotometricInterpretation", "")).strip().upper()
    header = DicomHeader(
        syntax=syntax,
        hw_px=(rows, columns),
        frame_count=frame_count,
        samples=_whole(dataset, "SamplesPerPixel"),
        photometric=photometric,
        planar=_whole(dataset, "PlanarConfiguration", 0),
        bits_allocated=_whole(dataset, "BitsAllocated"),
        bits_stored=_whole(dataset, "BitsStored", _whole(dataset, "BitsAllocated")),
        palette=read_palette(dataset, syntax) if photometric == _PALETTE else None,
        pixel_vr=found[0],
        pixel_start=file.tell(),
        pixel_length=None if found[1] == _UNDEFINED else found[1],
        timing=read_timing(dataset, frame_count),
        regions=read_regions(dataset.get("SequenceOfUltrasoundRegions") or (), (rows, columns)),
    )
    _check_pixels(header, signed=_whole(dataset, "PixelRepresentation", 0) != 0)
    return header


def _pixel_element(syntax: UID, file: BinaryIO) -> tuple[str, int]:
    """Type and length of the pixel data; `file` is left at their first byte."""
    order = "<" if syntax.is_little_endian else ">"
    start = file.read(8)
    if len(start) < 8:
        raise SourceFormatError("holds no pixel data, or breaks off before them; export the pictures again")
    if syntax.is_implicit_VR:
        group, element, length = struct.unpack(f"{order}HHL", start)
        vr = "OW"
    else:
        group, element, letters, _ = struct.unpack(f"{order}HH2sH", start)
        vr = letters.decode("ascii", "replace")
        length = struct.unpack(f"{order}L", file.read(4))[0]
    if (group, element) != (0x7FE0, 0x0010):
        raise SourceFormatError("holds pixels that are not whole numbers, no picture; export the pictures again")
    if syntax.is_encapsulated != (length == _UNDEFINED):
        raise SourceFormatError(
            f"stores its pixels in another way than its transfer syntax says ({syntax.name}); "
            "export it again from the scanner"
        )
    return vr, int(length)


def _check_pixels(header: DicomHeader, *, signed: bool) -> None:
    """Refuse what cannot be shown as uint8 grey or RGB without guessing."""
    wanted = 3 if header.photometric in _THREE else 1
    shown = header.photometric if header.photometric.replace(" ", "").replace("_", "").isalnum() else "nothing known"
    problem = ""
    if header.photometric not in _GREY | _THREE | {_PALETTE}:
        problem = f"photometric interpretation {shown[:20]}"
    elif header.samples != wanted:
        problem = f"{header.samples} samples per pixel for {shown}"
    elif header.bits_allocated not in (8, 16) or not 1 <= header.bits_stored <= header.bits_allocated:
        problem = f"{header.bits_stored} of {header.bits_allocated} bits a sample"
    elif wanted == 3 and header.bits_allocated != 8:
        problem = f"colour with {header.bits_allocated} bits a sample"
    elif signed:
        problem = "samples with a sign"
    elif header.planar not in (0, 1):
        problem = f"planar configuration {header.planar}"
    elif header.is_halved and not header.syntax.is_encapsulated and (header.hw_px[1] % 2 or header.planar):
        problem = f"{shown} in planes or with an odd number of columns"
    elif not header.syntax.is_little_endian and header.bits_allocated == 8 and header.frame_bytes % 2:
        problem = "big-endian frames of an odd number of bytes"
    if problem:
        raise SourceFormatError(f"has {problem}, which is not played here; export it as 8-bit MONOCHROME2 or RGB")


def _whole(dataset: Dataset, keyword: str, default: int | None = None) -> int:
    number = number_of(dataset, keyword)
    if number is None:
        if default is not None and keyword not in dataset:
            return default
        raise SourceFormatError(f"does not state {keyword} as a number; export it again from the scanner")
    return int(number)
