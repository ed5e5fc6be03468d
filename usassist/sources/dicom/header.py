"""Read the header of an ultrasound DICOM file, as far as it is needed to play the file.

Only the tags listed here are read: nothing that names or describes a patient is loaded. pydicom's own warnings quote
header values, so they are silenced.
"""

from __future__ import annotations

import logging
import struct
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom import Dataset
from pydicom.datadict import tag_for_keyword
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.pixels.processing import apply_color_lut
from pydicom.uid import UID

from usassist.errors import SourceError, SourceFormatError
from usassist.sources.dicom.encoding import (
    PixelElement,
    missing_parts,
    pixel_element,
    read_dataset,
    refusal,
    stated_syntax,
    syntax_of,
)
from usassist.sources.dicom.regions import Regions, read_regions
from usassist.sources.dicom.timing import StatedTiming, number_of, read_timing

__all__ = ["PYDICOM_ERRORS", "DicomHeader", "make_header", "read_header"]

# What pydicom raises on malformed bytes besides InvalidDicomError. The messages may quote the header: never show them.
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
_MAX_SIDE_PX = 16384
_VOLUME = "1.2.840.10008.5.1.4.1.1.6.2"  # Enhanced US Volume: its frames are slices
_COLOURS = ("Red", "Green", "Blue")
_KEYWORDS = (
    "SOPClassUID Modality SamplesPerPixel PhotometricInterpretation PlanarConfiguration NumberOfFrames Rows Columns "
    "BitsAllocated BitsStored PixelRepresentation FrameIncrementPointer FrameTime FrameTimeVector CineRate "
    "RecommendedDisplayFrameRate SequenceOfUltrasoundRegions ExtendedOffsetTable "
    + " ".join(f"{c}PaletteColorLookupTableDescriptor {c}PaletteColorLookupTableData" for c in _COLOURS)
    + " "
    + " ".join(f"Segmented{c}PaletteColorLookupTableData" for c in _COLOURS)
).split()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DicomHeader:
    """Header of one file.

    Attributes
    ----------
    syntax : the transfer syntax
    hw_px : rows and columns
    claimed_frames : number of frames by the header; None where it states none
    samples : samples per pixel, 1 or 3
    photometric : photometric interpretation
    planar : planar configuration, 0 or 1
    bits_allocated, bits_stored : of one sample; 8 or 16, and 1 to 16
    palette : uint8 (65536, 3) RGB for every stored value, or None
    pixel_vr : OB or OW
    pixel_start, pixel_length : offset of the pixel data in the file, and their bytes; the length is None where they are
        encapsulated
    extended_offsets : offsets of the frames by the extended offset table; empty without one
    timing : timing by the header
    regions : regions of the screen by the header
    faults : problems of a file that can be played, one clause each
    """

    syntax: UID
    hw_px: tuple[int, int]
    claimed_frames: int | None
    samples: int
    photometric: str
    planar: int
    bits_allocated: int
    bits_stored: int
    palette: npt.NDArray[np.uint8] | None
    pixel_vr: str
    pixel_start: int
    pixel_length: int | None
    extended_offsets: tuple[int, ...]
    timing: StatedTiming
    regions: Regions
    faults: tuple[str, ...]

    @property
    def is_halved(self) -> bool:
        """True when uncompressed pixels share their chroma in pairs."""
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
        If it is not DICOM, not ultrasound, holds no pixel data, or pixels that are not supported.
    """
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)  # its messages may quote the header
    tags = [tag_for_keyword(keyword) or 0 for keyword in _KEYWORDS]
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = read_dataset(file, tags)
            _check_kind(dataset)
            pixels = pixel_element(dataset, file)
            syntax = syntax_of(dataset, pixels, file)
            return make_header(dataset, syntax, pixels)
    except SourceFormatError as error:
        raise SourceFormatError(f"{path.name} {error}") from None
    except InvalidDicomError:
        raise SourceFormatError(f"{path.name} is not a DICOM file; give an ultrasound DICOM file") from None
    except (*PYDICOM_ERRORS, OSError) as error:
        if isinstance(error, OSError) and error.strerror:
            raise SourceError(f"{path.name} cannot be read: {error.strerror}; check the file") from error
        raise SourceFormatError(f"{path.name} has a damaged DICOM header; export it again from the scanner") from None


def _check_kind(dataset: Dataset) -> None:
    modality = str(dataset.get("Modality", "") or "")
    sop_class = str(dataset.get("SOPClassUID", "") or dataset.file_meta.get("MediaStorageSOPClassUID", "") or "")
    if modality != "US":
        what = f"images of modality {modality}" if modality.isalpha() and len(modality) <= 8 else "no known modality"
        raise SourceFormatError(f"holds {what}, but this source plays ultrasound (US); give an ultrasound DICOM file")
    if sop_class == _VOLUME:
        raise SourceFormatError("holds an ultrasound volume, not a sequence in time; export a cine loop instead")
    if stated_syntax(dataset):
        _check_played(stated_syntax(dataset))


def _check_played(syntax: UID) -> None:
    why = refusal(syntax)
    if why is not None:
        raise SourceFormatError(why)


def _check_coding(syntax: UID, pixels: PixelElement) -> None:
    _check_played(syntax)
    if syntax.is_encapsulated != (pixels.length is None):
        raise SourceFormatError(
            f"stores its pixels in another way than its transfer syntax states ({syntax.name}); "
            "export it again from the scanner"
        )


def make_header(dataset: Dataset, syntax: UID, pixels: PixelElement, *, may_be_signed: bool = False) -> DicomHeader:
    """The header of a data set that was read already.

    Parameters
    ----------
    dataset : with the elements that describe the pixels
    syntax, pixels : of its file
    may_be_signed : samples may be signed; then :func:`usassist.sources.dicom.pixels.decode_frame` does not fit

    Raises
    ------
    SourceFormatError
        If the pixels are not supported; the message is a clause that begins with a verb.
    """
    _check_coding(syntax, pixels)
    rows, columns = _whole(dataset, "Rows"), _whole(dataset, "Columns")
    if not (0 < rows <= _MAX_SIDE_PX and 0 < columns <= _MAX_SIDE_PX):
        raise SourceFormatError(f"states an image size of {columns} x {rows} px; export it again from the scanner")
    faults = []
    missing = missing_parts(dataset)
    if missing:
        faults.append(f"the file has no {missing}, and is read as {syntax.name}; fix it with: dcmconv FILE OUT.dcm")
    claimed = number_of(dataset, "NumberOfFrames")
    if "NumberOfFrames" in dataset and (claimed is None or claimed < 1):
        faults.append("NumberOfFrames is not a number from 1 on, and is ignored")
        claimed = None
    photometric = str(dataset.get("PhotometricInterpretation", "")).strip().upper()
    header = DicomHeader(
        syntax=syntax,
        hw_px=(rows, columns),
        claimed_frames=None if claimed is None else int(claimed),
        samples=_whole(dataset, "SamplesPerPixel"),
        photometric=photometric,
        planar=_whole(dataset, "PlanarConfiguration", 0),
        bits_allocated=_whole(dataset, "BitsAllocated"),
        bits_stored=_whole(dataset, "BitsStored", _whole(dataset, "BitsAllocated")),
        palette=_read_palette(dataset, syntax) if photometric == _PALETTE else None,
        pixel_vr=pixels.vr,
        pixel_start=pixels.start,
        pixel_length=pixels.length,
        extended_offsets=_extended_offsets(dataset),
        timing=read_timing(dataset),
        regions=read_regions(dataset.get("SequenceOfUltrasoundRegions") or (), (rows, columns)),
        faults=tuple(faults),
    )
    if _is_whole_colour(header):
        fault = f"the header states {photometric}, but the pixels have full colour and are read so"
        header = replace(header, photometric=photometric.removesuffix("_422"), faults=(*faults, fault))
    _check_pixels(header, signed=_whole(dataset, "PixelRepresentation", 0) != 0 and not may_be_signed)
    return header


def _is_whole_colour(header: DicomHeader) -> bool:
    """True when pixels whose header states shared chroma have three samples each, by their total length."""
    if not header.is_halved or header.pixel_length is None or header.samples != 3:
        return False
    whole = header.hw_px[0] * header.hw_px[1] * 3
    if header.claimed_frames is not None:
        return 0 <= header.pixel_length - whole * header.claimed_frames <= 1
    return header.pixel_length % whole <= 1 < header.pixel_length % header.frame_bytes


def _extended_offsets(dataset: Dataset) -> tuple[int, ...]:
    data = dataset.get("ExtendedOffsetTable")
    return struct.unpack(f"<{len(data) // 8}Q", data[: len(data) // 8 * 8]) if isinstance(data, bytes) else ()


def _check_pixels(header: DicomHeader, *, signed: bool) -> None:
    """Reject what cannot be converted to uint8 grey or RGB without guessing."""
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
        problem = "signed samples"
    elif header.planar not in (0, 1):
        problem = f"planar configuration {header.planar}"
    elif header.is_halved and not header.syntax.is_encapsulated and (header.hw_px[1] % 2 or header.planar):
        problem = f"{shown} in planes or with an odd number of columns"
    elif not header.syntax.is_little_endian and header.bits_allocated == 8 and header.frame_bytes % 2:
        problem = "big-endian frames of an odd number of bytes"
    if problem:
        raise SourceFormatError(f"has {problem}, which is not supported; export it as 8-bit MONOCHROME2 or RGB")


def _whole(dataset: Dataset, keyword: str, default: int | None = None) -> int:
    number = number_of(dataset, keyword)
    if number is None:
        if default is not None and keyword not in dataset:
            return default
        raise SourceFormatError(f"does not state {keyword} as a number; export it again from the scanner")
    return int(number)


def _read_palette(dataset: Dataset, syntax: UID) -> npt.NDArray[np.uint8]:
    """Build the RGB value of every possible sample.

    Entries of 16 bits give their upper eight, unless none of them uses those: then the lower eight are the colour.

    Parameters
    ----------
    dataset : header with the palette, plain or segmented
    syntax : transfer syntax of the file

    Returns
    -------
    palette : uint8 (65536, 3)
    """
    if "SegmentedRedPaletteColorLookupTableData" in dataset:
        colours = apply_color_lut(np.arange(65536, dtype=np.int32), dataset)
    else:
        columns = [_column(dataset, colour, syntax) for colour in _COLOURS]
        colours = np.stack(columns, axis=1)
    if int(colours.max()) > 255:
        colours = colours >> 8
    return np.ascontiguousarray(colours, np.uint8)


def _column(dataset: Dataset, colour: str, syntax: UID) -> npt.NDArray[np.uint16]:
    """The level of one colour for every value, 8 or 16 bits as stored."""
    entries, first, bits = (int(value) for value in dataset[f"{colour}PaletteColorLookupTableDescriptor"].value)
    entries = entries or 65536
    data = bytes(dataset[f"{colour}PaletteColorLookupTableData"].value)
    wide = bits > 8 or len(data) >= 2 * entries  # entries of 8 bits may be stored in 16
    order = "<" if syntax.is_little_endian else ">"
    levels = np.frombuffer(data, f"{order}u2" if wide else "u1", count=entries)
    value = np.arange(65536) - first
    return np.asarray(levels[np.clip(value, 0, entries - 1)], np.uint16)
