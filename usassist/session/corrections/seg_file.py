"""Reads corrections from DICOM segmentations of our own objects: of the cine, and of its key frames.

The segmented images are known by their SOP instance UIDs, which follow from the session and the study
(``usassist/dicom/uids.py``), so that a segmentation of another session, or in another study, is noticed. DICOM PS3.3
A.51 and C.8.20: BINARY has one plane for each segment of an image, LABELMAP one plane whose values are segment numbers;
FRACTIONAL has no outline and is refused. Only frames that have a plane are taken: a plane without a pixel says that
there is no nodule, an image without any plane says nothing. A segmentation of the cine has all nodules of a frame; ours
of key frames have one each, so that the others of the frame stay as they are.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom

from usassist.errors import SessionError
from usassist.session.corrections.claims import ClaimedRegion, FrameClaim, Reading
from usassist.session.corrections.regions import Region
from usassist.session.corrections.seg_sources import SourceImage

__all__ = ["SEGMENTATION_KIND", "is_dicom", "read_segmentations"]

SEGMENTATION_KIND = "dicom_seg"

_SOP_CLASSES = (
    "1.2.840.10008.5.1.4.1.1.66.4",  # Segmentation Storage
    "1.2.840.10008.5.1.4.1.1.66.7",  # Label Map Segmentation Storage
)
_NODULE_TYPES = ("27925004", "4147007", "52988006", "108369006")  # SNOMED CT: nodule, mass, lesion, neoplasm
_AGAIN = "export it again"
# Nothing that names or describes a patient is loaded.
_TAGS = [
    *("SOPClassUID", "StudyInstanceUID", "SegmentationType", "SegmentSequence", "ReferencedSeriesSequence"),
    *("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence", "NumberOfFrames", "Rows", "Columns"),
    *("SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit"),
    *("PixelRepresentation", "PixelData", "ExtendedOffsetTable", "ExtendedOffsetTableLengths"),
]

Images = Mapping[str, SourceImage]


@dataclass(slots=True, kw_only=True)
class _Found:
    """What all files say about a frame: regions, the nodules that they speak of, and the file of each nodule."""

    regions: list[ClaimedRegion] = field(default_factory=list)
    speaks_of: set[int] = field(default_factory=set)
    of_all: bool = False
    files: dict[int, Path] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plane:
    """One segment on one frame; a region of None = it has no pixel there."""

    frame_id: int
    is_key: bool
    track_id: int | None
    region: ClaimedRegion | None


def is_dicom(content: bytes) -> bool:
    """True where a file has the prefix of DICOM files (PS3.10 7.1)."""
    return content[128:132] == b"DICM"


def read_segmentations(
    contents: Mapping[Path, bytes], images_of_study: Callable[[str], Images], reading: Reading
) -> list[FrameClaim]:
    """What segmentations say about the frames that they have planes of; several may have nodules of one frame.

    Parameters
    ----------
    contents : of the files
    images_of_study : study instance UID → SOP instance UID → image of ours
    reading : what is known of the session

    Raises
    ------
    SessionError
        If one is damaged, is of another kind, or segments other images.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of pydicom quote values, which may name a patient
        planes = [
            (path, plane)
            for path, content in contents.items()
            for plane in _read(content, str(path), images_of_study, reading)
        ]
    return _claims(planes)


def _claims(planes: Iterable[tuple[Path, _Plane]]) -> list[FrameClaim]:
    """Planes of all files, by frame."""
    found: dict[int, _Found] = {}
    for path, plane in planes:
        frame = found.setdefault(plane.frame_id, _Found())
        frame.of_all |= not plane.is_key
        if plane.track_id is not None:
            other = frame.files.setdefault(plane.track_id, path)
            if other != path:
                raise SessionError(
                    f"{other} and {path} both have nodule N{plane.track_id} of frame {plane.frame_id}, and only "
                    "one can hold; import them one after the other, the one that holds last"
                )
            frame.speaks_of.add(plane.track_id)
        if plane.region is not None:
            frame.regions.append(plane.region)
    return [
        FrameClaim(
            frame_id=frame_id,
            regions=tuple(frame.regions),
            speaks_of=None if frame.of_all else frozenset(frame.speaks_of),
        )
        for frame_id, frame in found.items()
    ]


def _read(content: bytes, where: str, images_of_study: Callable[[str], Images], reading: Reading) -> Iterator[_Plane]:
    dataset, planes = _open(content, where)
    segments = _segments(dataset, where, reading)
    images = images_of_study(str(dataset.get("StudyInstanceUID", "")))
    per_plane = dataset.get("PerFrameFunctionalGroupsSequence") or [pydicom.Dataset() for _ in planes]
    shared = (dataset.get("SharedFunctionalGroupsSequence") or [pydicom.Dataset()])[0]
    if len(per_plane) != len(planes):
        raise SessionError(f"{where} has {len(planes)} planes and describes {len(per_plane)}; {_AGAIN}")
    is_map = str(dataset.SegmentationType) == "LABELMAP"
    for place, (groups, plane) in enumerate(zip(per_plane, planes, strict=True), 1):
        name = f"{where}: plane {place}"
        frame_id, is_key = _frame(groups, shared, dataset, name, images)
        if plane.shape != reading.sizes_hw_px[frame_id]:
            height, width = reading.sizes_hw_px[frame_id]
            raise SessionError(f"{name} has another size than frame {frame_id} ({width} x {height} px); {_AGAIN}")
        there = np.unique(plane[plane > 0]).tolist() if is_map else [_segment(groups, shared, name)]
        for number in there:
            if number not in segments:
                raise SessionError(f"{name} has segment {number}, which is not described; {_AGAIN}")
        for number in segments if is_map else there:
            label_id, track_id = segments[number]
            region = Region.of_mask(plane == number if is_map else plane)
            item = None
            if region is not None:
                label = reading.labels[label_id]
                item = ClaimedRegion(region=region, label_id=label_id, label=label, track_id=track_id)
            yield _Plane(frame_id=frame_id, is_key=is_key, track_id=track_id, region=item)


def _open(content: bytes, where: str) -> tuple[pydicom.Dataset, npt.NDArray[Any]]:
    try:
        dataset = pydicom.dcmread(io.BytesIO(content), specific_tags=_TAGS)
    except Exception as error:  # noqa: BLE001 - pydicom raises many kinds for files that break off
        raise SessionError(f"{where} is cut off or no DICOM file ({type(error).__name__}); {_AGAIN}") from None
    if str(dataset.get("SOPClassUID", "")) not in _SOP_CLASSES:
        raise SessionError(f"{where} is DICOM and no segmentation; name a segmentation object")
    kind = str(dataset.get("SegmentationType", ""))
    if kind == "FRACTIONAL":
        raise SessionError(
            f"{where} is a fractional segmentation, which has no outline; save it as binary or label map"
        )
    if kind not in ("BINARY", "LABELMAP"):
        raise SessionError(f"{where} does not say its kind of segmentation; save it as binary or label map")
    try:
        planes = dataset.pixel_array
    except Exception as error:  # noqa: BLE001 - so do the decoders
        raise SessionError(f"{where} has pixels that cannot be read ({type(error).__name__}); {_AGAIN}") from None
    return dataset, planes if planes.ndim == 3 else planes[None]


def _segments(dataset: pydicom.Dataset, where: str, reading: Reading) -> dict[int, tuple[int, int | None]]:
    """Segment number → label of the session, and track id where the segment has one of ours."""
    found: dict[int, tuple[int, int | None]] = {}
    for item in dataset.get("SegmentSequence") or []:
        number = item.get("SegmentNumber")
        if number is None or int(number) in found:
            raise SessionError(f"{where} has two segments of one number, or one without; {_AGAIN}")
        if int(number) == 0:  # background of a label map
            continue
        name = str(item.get("SegmentLabel", ""))
        track = str(item.get("TrackingID", "")) or name
        track_id = int(track[1:]) if track[:1] == "N" and track[1:].isdecimal() and len(track) < 10 else None
        label_id = reading.label_of(name)
        codes = {str(code.get("CodeValue", "")) for code in item.get("SegmentedPropertyTypeCodeSequence") or []}
        if label_id is None and (codes & set(_NODULE_TYPES) or track_id is not None):
            label_id = next(iter(reading.labels)) if len(reading.labels) == 1 else None
        if label_id is None:
            raise SessionError(
                f"{where}: segment {number} is no label of the session; name it {reading.known_labels} there, or "
                "remove it"
            )
        found[int(number)] = label_id, track_id
    if not found:
        raise SessionError(f"{where} has no segments; {_AGAIN}")
    return found


def _segment(groups: pydicom.Dataset, shared: pydicom.Dataset, name: str) -> int:
    for group in (groups, shared):
        for item in group.get("SegmentIdentificationSequence") or []:
            if "ReferencedSegmentNumber" in item:
                return int(item.ReferencedSegmentNumber)
    raise SessionError(f"{name} does not say which segment it is; {_AGAIN}")


def _frame(
    groups: pydicom.Dataset,
    shared: pydicom.Dataset,
    dataset: pydicom.Dataset,
    name: str,
    known: Images,
) -> tuple[int, bool]:
    """The frame of the session that a plane segments, and whether through its key image."""
    images = [
        image
        for group in (groups, shared)
        for derivation in group.get("DerivationImageSequence") or []
        for image in derivation.get("SourceImageSequence") or []
    ]
    if not images:  # the only image that the object refers to, where there is one
        images = [
            item
            for series in dataset.get("ReferencedSeriesSequence") or []
            for item in series.get("ReferencedInstanceSequence") or []
        ]
        if len(images) > 1:
            raise SessionError(
                f"{name} does not say which image it segments; {_AGAIN} with references to source images"
            )
    if not images:
        raise SessionError(f"{name} does not say which image it segments; {_AGAIN} with references to source images")
    found: set[tuple[int, bool]] = set()
    for image in images:
        source = known.get(str(image.get("ReferencedSOPInstanceUID", "")))
        if source is None:
            continue
        frame_ids = source.frame_ids
        numbers = image.get("ReferencedFrameNumber")
        if numbers is None and len(frame_ids) > 1:
            raise SessionError(f"{name} refers to the cine without a frame number; {_AGAIN}")
        several = [1] if numbers is None else [int(n) for n in (numbers if _is_list(numbers) else [numbers])]
        if not all(1 <= number <= len(frame_ids) for number in several):
            raise SessionError(f"{name} refers to a frame that the cine has not; {_AGAIN}")
        found |= {(frame_ids[number - 1], source.is_key) for number in several}
    if not found:
        raise SessionError(
            f"{name} segments an image that is not of this session in this study; name the session that it belongs to"
        )
    if len({frame_id for frame_id, _ in found}) > 1:
        raise SessionError(f"{name} refers to {len(found)} frames; a plane segments one: {_AGAIN}")
    return min(found, key=lambda item: item[1])  # a cine before a key image


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence | pydicom.multival.MultiValue) and not isinstance(value, str)
