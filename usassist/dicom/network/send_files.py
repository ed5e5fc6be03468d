"""DICOM files that are to be sent: each is looked at before anything is queued."""

from __future__ import annotations

import re
import warnings
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from usassist.dicom.network.nodes import Instance
from usassist.errors import DicomError
from usassist.sources.dicom.header import PYDICOM_ERRORS

__all__ = ["Looked", "files_below", "look_at", "read_instance"]

_UID = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*))+")  # PS3.5 section 9.1
_DIRECTORY = "1.2.840.10008.1.3.10"  # Media Storage Directory, PS3.10
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData", "PixelDataProviderURL")
_UNDEFINED = 0xFFFFFFFF
_SHORTEST_ELEMENT_BYTES = 8
_LARGE_BYTES = 4096  # larger values are not read into memory
_WANTED = {
    "SOPClassUID": "SOP class UID",
    "SOPInstanceUID": "SOP instance UID",
    "StudyInstanceUID": "study instance UID",
    "SeriesInstanceUID": "series instance UID",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What was found.

    Attributes
    ----------
    instances : files that can be sent, each SOP instance UID once
    refused : one line for each file that cannot be sent, with what to do
    with_private : how many of `instances` have private attributes, which are sent as they are
    """

    instances: list[Instance]
    refused: list[str]
    with_private: int


def files_below(paths: Sequence[Path]) -> list[Path]:
    """The files that are meant: those that are named, and all in folders that are named, but hidden ones.

    Raises
    ------
    DicomError
        If one does not exist, or a folder has no file.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = [item for item in sorted(path.rglob("*")) if item.is_file()]
            inside = [item for item in inside if not any(part.startswith(".") for part in item.relative_to(path).parts)]
            if not inside:
                raise DicomError(f"the folder {path} has no files; name one that holds DICOM files")
            files += inside
        elif path.exists():
            files.append(path)
        else:
            raise DicomError(f"there is no file {path}; check the path")
    return files


def look_at(files: Sequence[Path]) -> Looked:
    """Look at every file; see :class:`Looked`."""
    instances: dict[str, Instance] = {}
    refused: list[str] = []
    with_private = 0
    for path in files:
        try:
            instance, private = _read(path)
        except DicomError as error:
            refused.append(str(error))
            continue
        known = instances.get(instance.sop_instance_uid)
        if known is None:
            instances[instance.sop_instance_uid] = instance
            with_private += private
        elif known.path.read_bytes() != path.read_bytes():
            refused.append(f"{path} has the SOP instance UID of {known.path}, and other content; send one of them")
    return Looked(instances=list(instances.values()), refused=refused, with_private=with_private)


def read_instance(path: Path) -> Instance:
    """Look at a file: its structure to the last element, and its UIDs. Values of attributes are not judged.

    Raises
    ------
    DicomError
        If it cannot be read, is not DICOM, is cut off or malformed, or lacks a UID. No value of it is in the message.
    """
    return _read(path)[0]


def _read(path: Path) -> tuple[Instance, bool]:
    """The instance, and whether it has private attributes."""
    try:
        size = path.stat().st_size
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they quote values
            dataset = pydicom.dcmread(path, defer_size=_LARGE_BYTES)
            if dataset.file_meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:  # there zlib notices
                _check_ends(path, dataset, size)
            uids = {name: str(dataset.get(name, "") or "").strip() for name in _WANTED}
            syntax = str(dataset.file_meta.get("TransferSyntaxUID", "") or "").strip()
            stated = str(dataset.file_meta.get("MediaStorageSOPInstanceUID", "") or "").strip()
            stated_class = str(dataset.file_meta.get("MediaStorageSOPClassUID", "") or "").strip()
    except InvalidDicomError:
        raise DicomError(f"{path} is not a DICOM file; leave it out") from None
    except DicomError:
        raise
    except (*PYDICOM_ERRORS, zlib.error, OSError) as error:
        if isinstance(error, OSError) and error.strerror:
            raise DicomError(f"{path} cannot be read: {error.strerror.lower()}; check the file") from error
        raise DicomError(f"{path} is damaged DICOM; export it again") from None
    if uids["SOPClassUID"] == _DIRECTORY or stated_class == _DIRECTORY:
        raise DicomError(f"{path} is an index of a medium (DICOMDIR) and no object; leave it out")
    for name, words in (*_WANTED.items(), ("TransferSyntaxUID", "transfer syntax UID")):
        value = syntax if name == "TransferSyntaxUID" else uids[name]
        if not value:
            raise DicomError(f"{path} has no {words}, and no archive can take it; export it again")
        if len(value) > 64 or not _UID.fullmatch(value):
            raise DicomError(f"{path} has a {words} that is no UID; export it again")
    if (stated, stated_class) != (uids["SOPInstanceUID"], uids["SOPClassUID"]):
        raise DicomError(f"{path} has other UIDs in its file meta information than in its data set; export it again")
    instance = Instance(
        path=path,
        size_bytes=size,
        sop_class_uid=uids["SOPClassUID"],
        sop_instance_uid=uids["SOPInstanceUID"],
        study_instance_uid=uids["StudyInstanceUID"],
        series_instance_uid=uids["SeriesInstanceUID"],
        transfer_syntax_uid=syntax,
    )
    return instance, any(tag.is_private for tag in dataset.keys())  # noqa: SIM118


def _check_ends(path: Path, dataset: Dataset, size_bytes: int) -> None:
    """Nothing is missing at the end of the file; pydicom reads one that is cut off as a shorter one."""
    end = 0
    for tag in dataset.keys():  # noqa: SIM118 - iterating over a data set decodes its values
        raw = dataset.get_item(tag)
        known = isinstance(raw, RawDataElement) and raw.length != _UNDEFINED
        end = raw.value_tell + raw.length if isinstance(raw, RawDataElement) and known else 0
        if end > size_bytes:
            raise DicomError(f"{path} is cut off; copy or export it again")
    has_image = "Rows" in dataset or "Image Storage" in UID(str(dataset.get("SOPClassUID", ""))).name
    if has_image and not any(name in dataset for name in _PIXELS):
        raise DicomError(f"{path} has no pixels after its header, it may be cut off; copy or export it again")
    if end and 0 < size_bytes - end < _SHORTEST_ELEMENT_BYTES:
        raise DicomError(f"{path} is cut off; copy or export it again")
