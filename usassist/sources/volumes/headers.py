"""Read the header of a DICOM image as far as a volume needs it: one :class:`Plane` for each frame.

Attributes of an image with several frames stand in functional groups, of all frames or of each (PS3.3 C.7.6.16);
those of a single image stand at the top. Only the attributes listed here are read, and of free text only known words.
"""

from __future__ import annotations

import hashlib
import logging
import math
import os
import re
import warnings
from dataclasses import dataclass, replace
from typing import Any

from pydicom import Dataset
from pydicom.datadict import tag_for_keyword
from pydicom.errors import InvalidDicomError

from usassist.errors import SourceFormatError
from usassist.sources.dicom.encoding import pixel_element, read_dataset, syntax_of
from usassist.sources.dicom.frames import Span, find_frames
from usassist.sources.dicom.header import PYDICOM_ERRORS, DicomHeader, make_header
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
    "SOPClassUID SOPInstanceUID SeriesInstanceUID Modality ImageType BodyPartExamined SeriesDescription "
    "ProtocolName StudyDescription ConvolutionKernel ContrastBolusAgent ContrastBolusAgentSequence "
    "PatientSize PatientWeight PatientSex PatientAge AcquisitionNumber InstanceNumber EchoNumbers "
    "TemporalPositionIdentifier ImagesInAcquisition SamplesPerPixel PhotometricInterpretation PlanarConfiguration "
    "NumberOfFrames Rows Columns BitsAllocated BitsStored HighBit PixelRepresentation PixelPaddingValue "
    "PixelPaddingRangeLimit RescaleSlope RescaleIntercept RescaleType PixelSpacing SliceThickness SpacingBetweenSlices "
    "GantryDetectorTilt ImagePositionPatient ImageOrientationPatient ExtendedOffsetTable "
    "SharedFunctionalGroupsSequence PerFrameFunctionalGroupsSequence ModalityLUTSequence "
).split()
_TAGS = [tag_for_keyword(keyword) or 0 for keyword in _KEYWORDS]


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
            if "Rows" not in dataset or _text(dataset, "Modality") in ("SEG", "RTDOSE", "SR", "PR", "KO"):
                return None
            fault, coding, spans, is_cut = "", None, [], False
            try:
                _check_size(dataset)
                pixels = pixel_element(dataset, file)
                coding = make_header(dataset, syntax_of(dataset, pixels, file), pixels, may_be_signed=True)
                if coding.samples != 1:
                    raise SourceFormatError("holds colour pictures, no slices")
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


def _check_size(dataset: Dataset) -> None:
    rows, columns = _integer(dataset, "Rows"), _integer(dataset, "Columns")
    if rows is None or columns is None or not (0 < rows <= MAX_SIDE_PX and 0 < columns <= MAX_SIDE_PX):
        raise SourceFormatError(f"states an image of {columns} x {rows} px, which no scanner makes")


def _planes(
    entry: Entry, dataset: Dataset, coding: DicomHeader | None, spans: list[tuple[Span, ...]], fault: str
) -> list[tuple[Common, Scan, Plane]]:
    modality = _text(dataset, "Modality")
    if modality not in _READ_HERE:
        fault = f"holds images of another modality ({modality or 'not stated'}), not CT or MR"
    sop_class = _text(dataset, "SOPClassUID")
    shared = _first(dataset, "SharedFunctionalGroupsSequence")
    frames = list(dataset.get("PerFrameFunctionalGroupsSequence") or [])
    claimed = max(1, _integer(dataset, "NumberOfFrames") or 1)
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
    kinds = _texts(_find(here, ("CTImageFrameTypeSequence", "MRImageFrameTypeSequence"), "FrameType"))
    orientation = _numbers(_find(here, ("PlaneOrientationSequence",), "ImageOrientationPatient"))
    spacing = _numbers(_find(here, ("PixelMeasuresSequence",), "PixelSpacing"))
    return Common(
        series_uid=_text(dataset, "SeriesInstanceUID"),
        sop_class_uid=sop_class,
        modality=modality if re.fullmatch(r"[A-Z]{2,16}", modality) else "OT",
        rows=_integer(dataset, "Rows") or 0,
        columns=_integer(dataset, "Columns") or 0,
        image_type=tuple(kind for kind in kinds or _texts(dataset.get("ImageType")) if kind in IMAGE_TYPES),
        orientation=tuple(round(value, 3) for value in orientation) if len(orientation) == 6 else (),
        spacing_rc_mm=(round(spacing[0], 9), round(spacing[1], 9)) if len(spacing) == 2 else (0.0, 0.0),
    )


def _plane(entry: Entry, dataset: Dataset, here: list[Dataset], coding: DicomHeader | None) -> Plane:
    """A plane without its bytes."""
    position = _numbers(_find(here, ("PlanePositionSequence",), "ImagePositionPatient"))
    cosines = _numbers(_find(here, ("PlaneOrientationSequence",), "ImageOrientationPatient"))
    value = ("PixelValueTransformationSequence",)
    kind = str(_find(here, value, "RescaleType") or "").strip().upper()
    padding, limit = _integer(dataset, "PixelPaddingValue"), _integer(dataset, "PixelPaddingRangeLimit")
    high_bit = _integer(dataset, "HighBit")
    acquisition, echo, time, number = (
        _order(here, keyword)
        for keyword in ("AcquisitionNumber", "EchoNumbers", "TemporalPositionIdentifier", "InstanceNumber")
    )
    return Plane(
        entry=entry,
        sop_instance_uid=_text(dataset, "SOPInstanceUID"),
        frame_number=1,
        cosines=tuple(cosines) if len(cosines) == 6 else (),
        position_mm=(position[0], position[1], position[2]) if len(position) == 3 else None,
        thickness_mm=_positive(_find(here, ("PixelMeasuresSequence",), "SliceThickness")),
        between_mm=_positive(_find(here, ("PixelMeasuresSequence",), "SpacingBetweenSlices")),
        slope=_number(_find(here, value, "RescaleSlope")),
        intercept=_number(_find(here, value, "RescaleIntercept")),
        is_hu=_text(dataset, "Modality") == "CT" and kind in ("", "HU"),
        signed=_integer(dataset, "PixelRepresentation") == 1,
        high_bit=high_bit if high_bit is not None else (coding.bits_stored if coding is not None else 16) - 1,
        padding=None if padding is None else (padding, padding if limit is None else limit),
        coding=coding,
        spans=(),
        fault="",
        order=(acquisition, echo, time, number),
    )


def _order(here: list[Dataset], keyword: str) -> int:
    number = _number(_find(here, ("FrameContentSequence", "MREchoSequence"), keyword))
    return -1 if number is None else int(number)


def _scan(dataset: Dataset, shared: Dataset | None, coding: DicomHeader | None) -> Scan:
    here = [item for item in (shared, dataset) if item is not None]
    text = " ".join(_text(dataset, key) for key in ("SeriesDescription", "ProtocolName", "StudyDescription"))
    words = known_words(text)
    anatomy = _first(_first(shared, "FrameAnatomySequence"), "AnatomicRegionSequence")
    part = _text(dataset, "BodyPartExamined") or _text(anatomy, "CodeMeaning")
    part = re.sub(r"[^A-Z]", "", part.upper())
    agent = _text(dataset, "ContrastBolusAgent")
    if not agent and dataset.get("ContrastBolusAgentSequence"):
        agent = "stated"
    kernel = _texts(_find(here, ("CTReconstructionSequence",), "ConvolutionKernel"))
    tilt = _number(dataset.get("GantryDetectorTilt"))
    return Scan(
        body_part=part if part in BODY_PARTS else "",
        words=words,
        kernel=kernel_name(kernel[0]) if kernel else "",
        contrast=says_contrast(agent, words),
        patient=_patient(dataset),
        gantry_tilt_deg=tilt,
        images_in_acquisition=_integer(dataset, "ImagesInAcquisition"),
        syntax_name=coding.syntax.name if coding is not None else "",
    )


def _patient(dataset: Dataset) -> PatientFacts:
    height, weight = _positive(dataset.get("PatientSize")), _positive(dataset.get("PatientWeight"))
    sex = _text(dataset, "PatientSex").upper()
    age = re.fullmatch(r"(\d{1,3})([DWMY])", _text(dataset, "PatientAge").upper())
    per_year = {"D": 365.25, "W": 365.25 / 7, "M": 12.0, "Y": 1.0}
    return PatientFacts(
        height_m=height if height is not None and 0.3 <= height <= 2.6 else None,
        weight_kg=weight if weight is not None and 0.3 <= weight <= 500 else None,
        sex=sex if sex in ("M", "F", "O") else None,
        age_years=round(int(age[1]) / per_year[age[2]], 2) if age and int(age[1]) else None,
    )


def pseudonym(*parts: str) -> str:
    """The first 12 hex digits of SHA-256 of the parts."""
    return hashlib.sha256(os.fsencode("/".join(parts))).hexdigest()[:12]


def _find(here: list[Dataset], groups: tuple[str, ...], keyword: str) -> Any:
    """An attribute of the first of these items that has it, in one of the groups or at the top."""
    for item in here:
        for group in groups:
            inner = _first(item, group)
            if inner is not None and inner.get(keyword) is not None:
                return inner.get(keyword)
        if item.get(keyword) is not None:
            return item.get(keyword)
    return None


def _first(dataset: Dataset | None, keyword: str) -> Dataset | None:
    items = dataset.get(keyword) if dataset is not None else None
    return items[0] if items else None


def _text(dataset: Dataset | None, keyword: str) -> str:
    return "" if dataset is None else " ".join(_texts(dataset.get(keyword)))


def _texts(value: Any) -> list[str]:
    if value is None:
        return []
    return [str(item).strip() for item in ([value] if isinstance(value, str | int | float) else value)]


def _numbers(value: Any) -> list[float]:
    """Finite numbers; empty where one is not."""
    if value is None or value == "":
        return []
    try:
        numbers = [
            float(item) for item in (value if hasattr(value, "__iter__") and not isinstance(value, str) else [value])
        ]
    except (TypeError, ValueError, ArithmeticError):
        return []
    return numbers if all(map(math.isfinite, numbers)) else []


def _number(value: Any) -> float | None:
    numbers = _numbers(value)
    return numbers[0] if numbers else None


def _positive(value: Any) -> float | None:
    number = _number(value)
    return number if number is not None and number > 0 else None


def _integer(dataset: Dataset, keyword: str) -> int | None:
    number = _number(dataset.get(keyword))
    return None if number is None else int(number)
