"""Reads corrections from DICOM segmentations of our own objects: of the cine, and of its key frames.

The segmented images are known by their SOP instance UIDs, which follow from the session and the study
(``usassist/dicom/uids.py``), so that a segmentation of another session, or in another study, is noticed. DICOM PS3.3
A.51 and C.8.20: BINARY has one plane for each segment of an image, LABELMAP one plane whose values are segment numbers;
FRACTIONAL has no outline and is refused. Only frames that have a plane are taken: a plane without a pixel says that
there is no nodule, an image without any plane says nothing.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom

from usassist.errors import SessionError
from usassist.session.corrections.claims import ClaimedRegion, FrameClaim, Reading
from usassist.session.corrections.regions import Region

__all__ = ["SEGMENTATION_KIND", "is_dicom", "read_segmentations"]

SEGMENTATION_KIND = "dicom_seg"

_SOP_CLASSES = (
    "1.2.840.10008.5.1.4.1.1.66.4",  # Segmentation Storage
    "1.2.840.10008.5.1.4.1.1.66.7",  # Label Map Segmentation Storage
)
_NODULE_TYPES = ("27925004", "4147007", "52988006", "108369006")  # SNOMED CT: nodule, mass, lesion, neoplasm
_AGAIN = "export it again"

Sources = Callable[[str], Mapping[str, Sequence[int]]]


def is_dicom(content: bytes) -> bool:
    """True where a file has the prefix of DICOM files (PS3.10 7.1)."""
    return content[128:132] == b"DICM"


def read_segmentations(contents: Mapping[Path, bytes], sources: Sources, reading: Reading) -> list[FrameClaim]:
    """What segmentations say about the frames that they have planes of; several may have segments of one frame.

    Parameters
    ----------
    contents : of the files
    sources : study instance UID → SOP instance UID of an image → the frame ids of its frames, in order
    reading : what is known of the session

    Raises
    ------
    SessionError
        If one is damaged, is of another kind, or segments other images.
    """
    found: dict[int, list[ClaimedRegion]] = {}
    of_file: dict[tuple[int, int], Path] = {}
    for path, content in contents.items():
        for frame_id, number, item in _read(content, str(path), sources, reading):
            regions = found.setdefault(frame_id, [])
            if item is None:
                continue
            track = item.track_id if item.track_id is not None else -number
            other = of_file.setdefault((frame_id, track), path)
            if other != path and item.track_id is not None:
                raise SessionError(
                    f"{other} and {path} have nodule N{track} of frame {frame_id} both, and only one can hold; import "
                    "them one after the other, the one that holds last"
                )
            regions.append(item)
    return [FrameClaim(frame_id=frame_id, regions=tuple(regions)) for frame_id, regions in found.items()]


def _read(
    content: bytes, where: str, sources: Sources, reading: Reading
) -> Iterator[tuple[int, int, ClaimedRegion | None]]:
    """Frame, segment and region of each plane; a region of None where the plane is empty."""
    dataset, planes = _open(content, where)
    segments = _segments(dataset, where, reading)
    frames_of = sources(str(dataset.get("StudyInstanceUID", "")))
    per_plane = dataset.get("PerFrameFunctionalGroupsSequence") or [pydicom.Dataset() for _ in planes]
    shared = (dataset.get("SharedFunctionalGroupsSequence") or [pydicom.Dataset()])[0]
    if len(per_plane) != len(planes):
        raise SessionError(f"{where} has {len(planes)} planes and describes {len(per_plane)}; {_AGAIN}")
    is_map = str(dataset.SegmentationType) == "LABELMAP"
    for place, (groups, plane) in enumerate(zip(per_plane, planes, strict=True), 1):
        name = f"{where}: plane {place}"
        frame_id = _frame(groups, shared, dataset, name, frames_of)
        if plane.shape != reading.sizes_hw_px[frame_id]:
            height, width = reading.sizes_hw_px[frame_id]
            raise SessionError(f"{name} has another size than frame {frame_id} ({width} x {height} px); {_AGAIN}")
        numbers = np.unique(plane[plane > 0]).tolist() if is_map else [_segment(groups, shared, name)]
        if not numbers:
            yield frame_id, 0, None
        for number in numbers:
            if number not in segments:
                raise SessionError(f"{name} has segment {number}, which is not described; {_AGAIN}")
            label_id, track_id = segments[number]
            region = Region.of_mask(plane == number if is_map else plane)
            item = None
            if region is not None:
                label = reading.labels[label_id]
                item = ClaimedRegion(region=region, label_id=label_id, label=label, track_id=track_id)
            yield frame_id, number, item


def _open(content: bytes, where: str) -> tuple[pydicom.Dataset, npt.NDArray[Any]]:
    try:
        dataset = pydicom.dcmread(io.BytesIO(content))
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
    frames_of: Mapping[str, Sequence[int]],
) -> int:
    """The frame of the session that a plane segments."""
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
    found: set[int] = set()
    for image in images:
        frame_ids = frames_of.get(str(image.get("ReferencedSOPInstanceUID", "")))
        if frame_ids is None:
            continue
        numbers = image.get("ReferencedFrameNumber")
        if numbers is None and len(frame_ids) > 1:
            raise SessionError(f"{name} refers to the cine without a frame number; {_AGAIN}")
        several = [1] if numbers is None else [int(n) for n in (numbers if _is_list(numbers) else [numbers])]
        if not all(1 <= number <= len(frame_ids) for number in several):
            raise SessionError(f"{name} refers to a frame that the cine has not; {_AGAIN}")
        found |= {frame_ids[number - 1] for number in several}
    if not found:
        raise SessionError(
            f"{name} segments an image that is not of this session in this study; name the session that it belongs to"
        )
    if len(found) > 1:
        raise SessionError(f"{name} refers to {len(found)} frames; a plane segments one: {_AGAIN}")
    return found.pop()


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence | pydicom.multival.MultiValue) and not isinstance(value, str)
