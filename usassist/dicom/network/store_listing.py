"""What a folder of DICOM files holds: its series for ``ct`` and ``mri``, and the clips of it that replay can play.

Only the headers are read, and of them only what is listed here: nothing that names a patient.
"""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from pydicom import Dataset
from pydicom.datadict import tag_for_keyword
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID

from usassist.dicom.network.store import INCOMING, STUDIES
from usassist.errors import StoreError
from usassist.sources.dicom.encoding import read_dataset
from usassist.sources.dicom.header import PYDICOM_ERRORS

__all__ = ["StoredObject", "StoredSeries", "StoredStudy", "is_store", "read_objects", "series_of", "studies"]

_KEYWORDS = (
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "Modality",
    "Manufacturer",
    "InstanceNumber",
    "NumberOfFrames",
    "NumberOfSeriesRelatedInstances",
    "AcquisitionDateTime",
    "AcquisitionDate",
    "AcquisitionTime",
    "ContentDate",
    "ContentTime",
    "SeriesDate",
    "SeriesTime",
)
_TAGS = [tag_for_keyword(keyword) or 0 for keyword in _KEYWORDS]
_ULTRASOUND = {  # PS3.6 table A-1; the last two are retired
    "1.2.840.10008.5.1.4.1.1.6.1": "ultrasound image",
    "1.2.840.10008.5.1.4.1.1.3.1": "ultrasound cine",
    "1.2.840.10008.5.1.4.1.1.6": "ultrasound image",
    "1.2.840.10008.5.1.4.1.1.3": "ultrasound cine",
}
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_DERIVED = {
    "1.2.840.10008.5.1.4.1.1.66.4": "segmentation",
    "1.2.840.10008.5.1.4.1.1.66.7": "label map segmentation",
    "1.2.840.10008.5.1.4.1.1.88.11": "structured report",
    "1.2.840.10008.5.1.4.1.1.88.22": "structured report",
    "1.2.840.10008.5.1.4.1.1.88.33": "structured report",
    "1.2.840.10008.5.1.4.1.1.88.34": "structured report",
    "1.2.840.10008.5.1.4.1.1.104.1": "PDF",
}
_OURS = "usassist"  # Manufacturer of what this program has made
_DICOMDIR = "1.2.840.10008.1.3.10"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """A DICOM file by its header.

    Attributes
    ----------
    path : of the file
    sop_class_uid, sop_instance_uid, study_uid, series_uid : empty where it has none
    modality : for example US, CT, MR, SR; empty where it has none
    frames : number of frames by the header; 1 where it states none
    acquired : when, as DICOM writes it (YYYYMMDDHHMMSS.F): of the acquisition, else of the content, else of the series;
        empty where no tag states it
    number : instance number, 0 where it has none
    expected : how many objects its series has, by the archive (0020,1209); None where that is not stated
    is_ours : this program has made it
    """

    path: Path
    sop_class_uid: str
    sop_instance_uid: str
    study_uid: str
    series_uid: str
    modality: str
    frames: int
    acquired: str
    number: int
    expected: int | None
    is_ours: bool

    @property
    def kind(self) -> str:
        """What it is, in words."""
        if self.sop_class_uid == _SECONDARY_CAPTURE or self.sop_class_uid.startswith(_SECONDARY_CAPTURE + "."):
            return "secondary capture"
        if self._is_our_key_image:
            return "key image of usassist"
        named = _ULTRASOUND.get(self.sop_class_uid) or _DERIVED.get(self.sop_class_uid)
        if named:
            return named
        uid = UID(self.sop_class_uid)
        return (
            uid.name.removesuffix(" Storage") if uid.name != uid else f"object of modality {self.modality or 'unknown'}"
        )

    @property
    def is_ultrasound(self) -> bool:
        """True for ultrasound images and cines, which replay plays: not for what was derived from them.

        Some scanners write a cine as a secondary capture of several frames; ours is a video with the overlay.
        """
        is_captured_cine = self.kind == "secondary capture" and self.modality == "US" and self.frames > 1
        is_ultrasound = self.sop_class_uid in _ULTRASOUND and not self._is_our_key_image
        return is_ultrasound or (is_captured_cine and not self.is_ours)

    @property
    def _is_our_key_image(self) -> bool:
        """True for the frame that our segmentation is of: it is in our cine too."""
        return self.is_ours and _ULTRASOUND.get(self.sop_class_uid) == "ultrasound image"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSeries:
    """A series of a study.

    Attributes
    ----------
    study_uid, series_uid : of it
    modality : of its first object
    sop_classes : of its objects, sorted
    objects : by instance number
    """

    study_uid: str
    series_uid: str
    modality: str
    sop_classes: tuple[str, ...]
    objects: tuple[StoredObject, ...]

    @property
    def paths(self) -> tuple[Path, ...]:
        """Of its files, by instance number."""
        return tuple(item.path for item in self.objects)

    @property
    def missing(self) -> int | None:
        """How many objects are missing by what the archive states in them; None where it states nothing."""
        stated = [item.expected for item in self.objects if item.expected is not None]
        return max(0, max(stated) - len(self.objects)) if stated else None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredStudy:
    """A complete study of a store.

    Attributes
    ----------
    folder : of its files
    series : of it
    """

    folder: Path
    series: tuple[StoredSeries, ...]


def is_store(folder: Path) -> bool:
    """True for a folder that ``usassist pacs listen`` receives into."""
    return (folder / INCOMING).is_dir() and (folder / STUDIES).is_dir()


def studies(folder: Path) -> list[StoredStudy]:
    """The complete studies of a store, sorted by name; those that are being received are not among them.

    Raises
    ------
    StoreError
        If it is no store, or cannot be read.
    """
    if not is_store(folder):
        raise StoreError(f"{folder} has no received studies; name a folder of usassist pacs listen")
    try:
        folders = sorted(path for path in (folder / STUDIES).iterdir() if path.is_dir())
    except OSError as error:
        reason = (error.strerror or "unknown reason").lower()
        raise StoreError(f"{folder} cannot be read: {reason}; check it") from error
    return [StoredStudy(folder=path, series=tuple(series_of(read_objects(_files(path))[0]))) for path in folders]


def series_of(objects: list[StoredObject]) -> list[StoredSeries]:
    """Objects by their series, in the order of study, series number by UID, and instance number."""

    def key(item: StoredObject) -> tuple[str, str]:
        return item.study_uid, item.series_uid

    found = []
    for (study_uid, series_uid), group in groupby(sorted(objects, key=key), key=key):
        members = sorted(group, key=lambda item: (item.number, item.sop_instance_uid))
        found.append(
            StoredSeries(
                study_uid=study_uid,
                series_uid=series_uid,
                modality=members[0].modality,
                sop_classes=tuple(sorted({item.sop_class_uid for item in members})),
                objects=tuple(members),
            )
        )
    return found


def read_objects(paths: list[Path]) -> tuple[list[StoredObject], list[Path]]:
    """Read the headers of files.

    Returns
    -------
    objects : of the DICOM files, in the order of `paths`; directories of media (DICOMDIR) are left out
    others : files that are not DICOM, or whose header is damaged
    """
    objects: list[StoredObject] = []
    others: list[Path] = []
    for path in paths:
        found = _read(path)
        if found is None:
            others.append(path)
        elif found.sop_class_uid != _DICOMDIR:
            objects.append(found)
    return objects, others


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))


def _read(path: Path) -> StoredObject | None:
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)  # its messages may quote the header
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = read_dataset(file, _TAGS)
            return _object(path, dataset)
    except (*PYDICOM_ERRORS, InvalidDicomError, OSError):
        return None


def _object(path: Path, dataset: Dataset) -> StoredObject:
    sop_class = _text(dataset, "SOPClassUID") or str(dataset.file_meta.get("MediaStorageSOPClassUID", "") or "")
    return StoredObject(
        path=path,
        sop_class_uid=sop_class,
        sop_instance_uid=_text(dataset, "SOPInstanceUID"),
        study_uid=_text(dataset, "StudyInstanceUID"),
        series_uid=_text(dataset, "SeriesInstanceUID"),
        modality=_text(dataset, "Modality"),
        frames=_number(dataset, "NumberOfFrames") or 1,
        acquired=_acquired(dataset),
        number=_number(dataset, "InstanceNumber") or 0,
        expected=_number(dataset, "NumberOfSeriesRelatedInstances"),
        is_ours=_text(dataset, "Manufacturer").lower() == _OURS,
    )


def _acquired(dataset: Dataset) -> str:
    """Date and time from the first pair of tags that states both."""
    if (text := _text(dataset, "AcquisitionDateTime"))[:8].isdigit():
        return text
    for what in ("Acquisition", "Content", "Series"):
        date, time = _text(dataset, f"{what}Date"), _text(dataset, f"{what}Time")
        if len(date) == 8 and date.isdigit() and time[:2].isdigit():
            return date + time
    return ""


def _text(dataset: Dataset, keyword: str) -> str:
    value = dataset.get(keyword)
    return "" if value is None else str(value).strip("\0 ")


def _number(dataset: Dataset, keyword: str) -> int | None:
    text = _text(dataset, keyword)
    return int(text) if text.lstrip("-").isdecimal() else None
