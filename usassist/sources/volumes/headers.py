"""Read the header of a DICOM image as far as a volume needs it: one :class:`Plane` for each frame.

Attributes of an image with several frames stand in functional groups, of all frames or of each (PS3.3 C.7.6.16);
those of a single image stand at the top. Only the attributes listed here are read, and of free text only known words.
"""

from __future__ import annotations

import logging
import re
import warnings
from dataclasses import dataclass, replace

from pydicom import Dataset
from pydicom.datadict import tag_for_keyword
from pydicom.errors import InvalidDicomError

from usassist.errors import SourceFormatError
from usassist.sources.dicom.encoding import pixel_element, read_dataset, syntax_of
from usassist.sources.dicom.frames import Span, find_frames
from usassist.sources.dicom.header import PYDICOM_ERRORS, DicomHeader, make_header
from usassist.sources.volumes.attributes import find, first, integer, number, numbers, positive, text, texts
from usassist.sources.volumes.entries import Entry
from usassist.sources.volumes.facts import PatientFacts
from usassist.sources.volumes.words import BODY_PARTS, IMAGE_TYPES, kernel_name, known_words, says_contrast

__all__ = ["Common", "Plane", "Scan", "read_scan"]

MAX_SIDE_PX = 4096
_READ_HERE = ("CT", "MR")
_MULTI_FRAME = frozenset(
    f"1.2.840.10008.5.1.4.1.1.{tail}" for tail in ("2.1", "2.2", "4.1", "4.3", "4.4")
)  # enhanced CT and MR, and those converted from single frames
_KEYWORDS = (
    "SOPClassUID SOPInstanceUID SeriesInstanceUID Modality ImageType BodyPartExamined SeriesDescription",
    "ProtocolName StudyDescription ConvolutionKernel ContrastBolusAgent ContrastBolusAgentSequence",
    "PatientSize PatientWeight PatientSex PatientAge AcquisitionNumber InstanceNumber EchoNumbers",
    "TemporalPositionIdentifier ImagesInAcquisition SamplesPerPixel PhotometricInterpretation PlanarConfiguration",
    "NumberOfFrames Rows Columns BitsAllocated BitsStored HighBit PixelRepresentation PixelPaddingValue",
    "PixelPaddingRangeLimit RescaleSlope RescaleIntercept RescaleType PixelSpacing SliceThickness SpacingBetweenSlices",
    "GantryDetectorTilt ImagePositionPatient ImageOrientationPatient ExtendedOffsetTable",
    "SharedFunctionalGroupsSequence PerFrameFunctionalGroupsSequence ModalityLUTSequence",
)
_TAGS = [tag_for_keyword(keyword) or 0 for line in _KEYWORDS for keyword in line.split()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Common:
    """What all planes of a stack share. Planes of one series that differ in it lie in several stacks."""

    series_uid: str
    sop_class_uid: str
    modality: str
    rows: int
    columns: int
    image_type: tuple[str, ...]
    orientation: tuple[float, ...]  # six cosines, rounded; empty where the image has none
    spacing_rc_mm: tuple[float, float]  # zeros where it has none


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """What is said about a series by one of its images, beside :class:`Common`."""

    body_part: str
    words: tuple[str, ...]
    kernel: str
    contrast: bool | None
    patient: PatientFacts
    gantry_tilt_deg: float | None
    images_in_acquisition: int | None
    syntax_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """One plane.

    Attributes
    ----------
    cosines : six, of rows and columns; empty where they are not stated
    position_mm : of the centre of its first voxel, LPS; None where it is not stated
    slope, intercept : value = slope x stored + intercept; None where they are not stated
    is_hu : True where the values are HU
    signed, high_bit : of the stored values
    padding : values from the first to the second, stored, are no image; None without
    spans : where its bytes lie in the file; empty where they are missing
    fault : why it cannot be used, a clause; empty where it can
    order : number of the acquisition, echo and time that it belongs to, and its number in the series; -1 = not stated
    """

    entry: Entry
    sop_instance_uid: str
    frame_number: int
    cosines: tuple[float, ...]
    position_mm: tuple[float, float, float] | None
    thickness_mm: float | None
    between_mm: float | None
    slope: float | None
    intercept: float | None
    is_hu: bool
    signed: bool
    high_bit: int
    padding: tuple[int, int] | None
    coding: DicomHeader | None
    spans: tuple[Span, ...]
    fault: str
    order: tuple[int, int, int, int]


def read_scan(entry: Entry) -> list[tuple[Common, Scan, Plane]] | None:
    """Read one file.

    Returns
    -------
    planes : each with what it shares with others; None where the file is not DICOM, or no image (a report, a
        segmentation, a plan)

    Raises
    ------
    SourceFormatError
        If it is DICOM and damaged.
    """
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)  # its messages quote the header
    try:
        with entry.open() as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = read_dataset(file, _TAGS)
            if "Rows" not in dataset or text(dataset, "Modality") in ("SEG", "RTDOSE", "SR", "PR", "KO"):
                return None
            fault, coding, spans, is_cut = "", None, [], False
            try:
                _check(dataset)
                pixels = pixel_element(dataset, file)
                coding = make_header(dataset, syntax_of(dataset, pixels, file), pixels, may_be_signed=True)
                found = find_frames(coding, file)
                spans, is_cut = list(found.spans), found.is_cut
            except SourceFormatError as error:
                fault = str(error)
            return _planes(entry, dataset, coding, spans, fault or ("breaks off inside its pixels" if is_cut else ""))
    except InvalidDicomError:
        return None
    except SourceFormatError:
        raise
    except OSError as error:
        if error.strerror:
            raise SourceFormatError(f"cannot be read: {error.strerror}") from error
        raise SourceFormatError("has a damaged DICOM header") from None
    except PYDICOM_ERRORS:
        raise SourceFormatError("has a damaged DICOM header") from None


def _check(dataset: Dataset) -> None:
    """Refuse what is no slice of one value a voxel, before anything is read or made room for."""
    rows, columns = integer(dataset, "Rows"), integer(dataset, "Columns")
    if rows is None or columns is None or not (0 < rows <= MAX_SIDE_PX and 0 < columns <= MAX_SIDE_PX):
        raise SourceFormatError(f"states an image of {columns} x {rows} px, which no scanner makes")
    if integer(dataset, "SamplesPerPixel") not in (None, 1):
        raise SourceFormatError("holds colour pictures, no slices")
    if not text(dataset, "PhotometricInterpretation").upper().startswith("MONOCHROME"):
        raise SourceFormatError("holds pictures with a palette or in colour, no slices")
    allocated, stored = integer(dataset, "BitsAllocated"), integer(dataset, "BitsStored")
    if allocated not in (8, 16) or (stored is not None and not 1 <= stored <= allocated):
        raise SourceFormatError(f"states {stored} of {allocated} bits a voxel, and only up to 16 of 8 or 16 are read")


def _planes(
    entry: Entry, dataset: Dataset, coding: DicomHeader | None, spans: list[tuple[Span, ...]], fault: str
) -> list[tuple[Common, Scan, Plane]]:
    modality = text(dataset, "Modality")
    modality = modality if re.fullmatch(r"[A-Z]{2,16}", modality) else "OT"
    if modality not in _READ_HERE:
        fault = f"holds images of another modality ({modality}), not CT or MR"
    sop_class = text(dataset, "SOPClassUID")
    shared = first(dataset, "SharedFunctionalGroupsSequence")
    frames = list(dataset.get("PerFrameFunctionalGroupsSequence") or [])
    claimed = max(1, integer(dataset, "NumberOfFrames") or 1)
    if claimed > 1 and not frames and not fault:
        fault = f"holds {claimed} frames without their positions"
    if frames and len(frames) != claimed and not fault:
        fault = f"states {claimed} frames and describes {len(frames)}"
    scan = _scan(dataset, shared, coding)
    result = []
    for index in range(len(frames) if frames else 1):
        here = [dataset] if not frames else [frames[index], *([shared] if shared is not None else []), dataset]
        own = spans[index] if index < len(spans) else ()
        lost = "" if own or fault else "breaks off inside its pixels"
        plane = _plane(entry, dataset, here, coding)
        plane = replace(plane, frame_number=index + 1, spans=own, fault=fault or lost)
        result.append((_common(dataset, here, modality, sop_class), scan, plane))
    return result


def _common(dataset: Dataset, here: list[Dataset], modality: str, sop_class: str) -> Common:
    kinds = texts(find(here, ("CTImageFrameTypeSequence", "MRImageFrameTypeSequence"), "FrameType"))
    orientation = numbers(find(here, ("PlaneOrientationSequence",), "ImageOrientationPatient"))
    spacing = numbers(find(here, ("PixelMeasuresSequence",), "PixelSpacing"))
    return Common(
        series_uid=text(dataset, "SeriesInstanceUID"),
        sop_class_uid=sop_class,
        modality=modality,
        rows=integer(dataset, "Rows") or 0,
        columns=integer(dataset, "Columns") or 0,
        image_type=tuple(kind for kind in kinds or texts(dataset.get("ImageType")) if kind in IMAGE_TYPES),
        orientation=tuple(round(value, 3) for value in orientation) if len(orientation) == 6 else (),
        spacing_rc_mm=(round(spacing[0], 9), round(spacing[1], 9)) if len(spacing) == 2 else (0.0, 0.0),
    )


def _plane(entry: Entry, dataset: Dataset, here: list[Dataset], coding: DicomHeader | None) -> Plane:
    """A plane without its bytes."""
    position = numbers(find(here, ("PlanePositionSequence",), "ImagePositionPatient"))
    cosines = numbers(find(here, ("PlaneOrientationSequence",), "ImageOrientationPatient"))
    value = ("PixelValueTransformationSequence",)
    kind = str(find(here, value, "RescaleType") or "").strip().upper()
    padding, limit = integer(dataset, "PixelPaddingValue"), integer(dataset, "PixelPaddingRangeLimit")
    high_bit = integer(dataset, "HighBit")
    acquisition, echo, time, instance = (
        _order(here, *keywords)
        for keywords in (
            ("AcquisitionNumber", "FrameAcquisitionNumber"),
            ("EchoNumbers",),
            ("TemporalPositionIdentifier", "TemporalPositionIndex"),
            ("InstanceNumber",),
        )
    )
    return Plane(
        entry=entry,
        sop_instance_uid=text(dataset, "SOPInstanceUID"),
        frame_number=1,
        cosines=tuple(cosines) if len(cosines) == 6 else (),
        position_mm=(position[0], position[1], position[2]) if len(position) == 3 else None,
        thickness_mm=positive(find(here, ("PixelMeasuresSequence",), "SliceThickness")),
        between_mm=positive(find(here, ("PixelMeasuresSequence",), "SpacingBetweenSlices")),
        slope=number(find(here, value, "RescaleSlope")),
        intercept=number(find(here, value, "RescaleIntercept")),
        is_hu=text(dataset, "Modality") == "CT" and kind in ("", "HU"),
        signed=integer(dataset, "PixelRepresentation") == 1,
        high_bit=high_bit if high_bit is not None else (coding.bits_stored if coding is not None else 16) - 1,
        padding=None if padding is None else (padding, padding if limit is None else limit),
        coding=coding,
        spans=(),
        fault="",
        order=(acquisition, echo, time, instance),
    )


def _order(here: list[Dataset], *keywords: str) -> int:
    for keyword in keywords:
        found = number(find(here, ("FrameContentSequence",), keyword))
        if found is not None:
            return int(found)
    return -1


def _scan(dataset: Dataset, shared: Dataset | None, coding: DicomHeader | None) -> Scan:
    here = [item for item in (shared, dataset) if item is not None]
    words = known_words(*(text(dataset, key) for key in ("SeriesDescription", "ProtocolName", "StudyDescription")))
    anatomy = first(first(shared, "FrameAnatomySequence"), "AnatomicRegionSequence")
    part = text(dataset, "BodyPartExamined") or text(anatomy, "CodeMeaning")
    part = re.sub(r"[^A-Z]", "", part.upper())
    agent = text(dataset, "ContrastBolusAgent")
    if not agent and dataset.get("ContrastBolusAgentSequence"):
        agent = "stated"
    kernel = texts(find(here, ("CTReconstructionSequence",), "ConvolutionKernel"))
    tilt = number(dataset.get("GantryDetectorTilt"))
    return Scan(
        body_part=part if part in BODY_PARTS else "",
        words=words,
        kernel=kernel_name(kernel[0]) if kernel else "",
        contrast=says_contrast(agent, words),
        patient=_patient(dataset),
        gantry_tilt_deg=tilt,
        images_in_acquisition=integer(dataset, "ImagesInAcquisition"),
        syntax_name=coding.syntax.name if coding is not None else "",
    )


def _patient(dataset: Dataset) -> PatientFacts:
    height, weight = positive(dataset.get("PatientSize")), positive(dataset.get("PatientWeight"))
    sex = text(dataset, "PatientSex").upper()
    age = re.fullmatch(r"(\d{1,3})([DWMY])", text(dataset, "PatientAge").upper())
    per_year = {"D": 365.25, "W": 365.25 / 7, "M": 12.0, "Y": 1.0}
    return PatientFacts(
        height_m=height if height is not None and 0.3 <= height <= 2.6 else None,
        weight_kg=weight if weight is not None and 0.3 <= weight <= 500 else None,
        sex=sex if sex in ("M", "F", "O") else None,
        age_years=round(int(age[1]) / per_year[age[2]], 2) if age and int(age[1]) else None,
    )
