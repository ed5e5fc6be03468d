"""List the series of an input, and read one of them plane by plane."""

from __future__ import annotations

import dataclasses
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt
from pydicom import Dataset

from usassist.errors import SourceError, SourceFormatError, UsageError
from usassist.sources.dicom.encoding import read_dataset
from usassist.sources.dicom.header import PYDICOM_ERRORS
from usassist.sources.volumes.entries import Entry, find_entries, is_nifti_name
from usassist.sources.volumes.facts import SeriesFacts, SliceRef, StudyInput
from usassist.sources.volumes.headers import Common, Plane, Scan, pseudonym, read_scan
from usassist.sources.volumes.nifti import NiftiFile, open_nifti, sha256_of
from usassist.sources.volumes.pixels import (
    AIR_HU,
    decode_plane,
    missing_decoder,
    refuse_rescale,
    stored_range,
    to_values,
)
from usassist.sources.volumes.stacks import Stack, make_stacks
from usassist.volumes import Volume

__all__ = ["list_series", "read_volume"]

_MAX_VOXELS = 1 << 31
_LISTED = 12

Progress = Callable[[float], None]


class _Identity(TypedDict):
    session_id: str
    source_id: str
    series_id: str


_Found = tuple[SeriesFacts, "Stack | NiftiFile | None"]


def list_series(path: Path | str) -> list[SeriesFacts]:
    """What an input holds: a folder, a DICOM file, a zip, or a NIfTI file.

    A series that cannot be read as a volume is listed too, with the reason. Files that are no images are left out.

    Raises
    ------
    UsageError
        If there is no such input.
    SourceError, SourceFormatError
        If it cannot be read, or holds no images.
    """
    return [facts for facts, _ in _find(Path(path))]


def read_volume(
    path: Path | str,
    *,
    session_id: str,
    source_id: str = "ct0",
    series: int | str | None = None,
    scratch: Path | None = None,
    modality: str | None = None,
    progress: Progress | None = None,
) -> StudyInput:
    """Read one series.

    Parameters
    ----------
    path : folder, DICOM file, zip of DICOM files, or NIfTI file
    session_id, source_id : of the volume
    series : its number in :func:`list_series`, or its series_id; None = the only one that can be read and is no
        localizer
    scratch : a folder on whose disk the voxels lie, in a file without a name that goes with the volume or with the
        process; None = in memory
    modality : what a NIfTI file holds, which it does not say itself; None = CT where its values look like HU
    progress : called with the share that is read, 0 to 1; what it raises ends the reading

    Raises
    ------
    UsageError
        If there is no such input or series, or more than one to choose from.
    SourceError, SourceFormatError
        If it cannot be read: one line that states why and what to do.
    """
    facts, found = _choose(_find(Path(path)), series)
    if facts.unreadable or found is None:
        raise SourceFormatError(f"series {facts.number} {facts.unreadable}")
    if int(np.prod(facts.shape_zyx, dtype=np.int64)) > _MAX_VOXELS:
        raise SourceFormatError(f"series {facts.number} states {_size(facts)} voxels, which is more than can be read")
    identity = _Identity(session_id=session_id, source_id=source_id, series_id=facts.series_id)
    if isinstance(found, NiftiFile):
        return _read_nifti(facts, found, identity, scratch, modality, progress)
    return _read_stack(Path(path), facts, found, identity, scratch, progress)


def _find(path: Path) -> list[_Found]:
    entries = find_entries(path)
    planes: list[tuple[Common, Scan, Plane]] = []
    niftis: list[Path] = []
    damaged: list[str] = []
    for entry in entries:
        if is_nifti_name(entry.name):
            if entry.member is None:
                niftis.append(entry.path)
            continue
        try:
            planes += read_scan(entry) or []
        except SourceFormatError as error:
            damaged.append(str(error))
    if damaged and not planes and not niftis:
        what = path.name if len(entries) == 1 else f"{path.name}: a file"
        raise SourceFormatError(f"{what} {damaged[0]}; export or copy it again")
    found: list[_Found] = []
    for stack in make_stacks(planes):
        found.append((_facts_of_stack(len(found) + 1, stack), stack))
    for file in niftis:
        found.append(_of_nifti(len(found) + 1, file, alone=len(entries) == 1))
    if not found:
        raise SourceFormatError(f"{path.name} holds no images of CT or MR; name a folder, a DICOM file, a zip or NIfTI")
    if damaged:
        note = f"{len(damaged)} DICOM {'files' if len(damaged) > 1 else 'file'} beside it cannot be read"
        found = [(dataclasses.replace(facts, problems=(*facts.problems, note)), what) for facts, what in found]
    return found


def _choose(found: list[_Found], series: int | str | None) -> _Found:
    if series is not None:
        for facts, what in found:
            if str(series) in (str(facts.number), facts.series_id):
                return facts, what
        raise UsageError(f"there is no series {series}; {_choices(found)}")
    if len(found) == 1:
        return found[0]
    usable = [item for item in found if not item[0].unreadable and not item[0].is_localizer]
    if len(usable) == 1:
        return usable[0]
    if not usable:
        facts = found[0][0]
        raise SourceFormatError(
            f"none of the {len(found)} series can be read as a volume; the first {facts.unreadable or 'is a localizer'}"
        )
    raise UsageError(f"there are {len(usable)} series to choose from; give one with --series: {_choices(usable)}")


def _choices(found: list[_Found]) -> str:
    names = [
        f"{facts.number} ({' '.join([facts.modality, _size(facts), *facts.description_words, facts.kernel]).strip()})"
        for facts, _ in found
    ]
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def _size(facts: SeriesFacts) -> str:
    return "x".join(map(str, reversed(facts.shape_zyx)))


def _facts_of_stack(number: int, stack: Stack) -> SeriesFacts:
    common, scan, first = stack.common, stack.scan, stack.planes[0]
    unreadable = stack.unreadable
    if not unreadable:
        unreadable = next(filter(None, map(refuse_rescale, stack.planes)), "")
    if not unreadable and first.coding is not None:
        unreadable = missing_decoder(first.coding.syntax)
    height, width = (common.columns, common.rows) if stack.turn.transpose else (common.rows, common.columns)
    spacing = (0.0, 0.0, 0.0)
    if stack.affine is not None:
        x_mm, y_mm, z_mm = (float(length) for length in np.linalg.norm(stack.affine[:3, :3], axis=0))
        spacing = (z_mm, y_mm, x_mm)
    part = (common.series_uid,) if stack.part == 0 else (common.series_uid, str(stack.part))
    return SeriesFacts(
        number=number,
        series_id=pseudonym(*part),
        modality=common.modality,
        body_part=scan.body_part,
        description_words=scan.words,
        kernel=scan.kernel,
        contrast=scan.contrast,
        image_type=common.image_type,
        shape_zyx=(len(stack.planes), height, width),
        spacing_zyx_mm=spacing,
        slice_thickness_mm=first.thickness_mm,
        tilt_deg=stack.tilt_deg,
        unit="HU" if all(plane.is_hu for plane in stack.planes) else "1",
        transfer_syntax=scan.syntax_name,
        spacing_is_known=stack.spacing_is_known and stack.affine is not None,
        problems=tuple(stack.problems),
        unreadable=unreadable,
        patient=scan.patient,
    )


def _of_nifti(number: int, path: Path, *, alone: bool) -> _Found:
    try:
        file = open_nifti(path)
        is_hu = file.looks_like_hu()
    except SourceFormatError as error:
        if alone:
            raise
        reason = str(error).removeprefix(f"{path.name} ")
        facts = SeriesFacts(
            number=number,
            series_id=sha256_of(path),
            modality="OT",
            shape_zyx=(0, 0, 0),
            spacing_zyx_mm=(0.0, 0.0, 0.0),
            transfer_syntax="NIfTI",
            spacing_is_known=False,
            unreadable=reason,
        )
        return facts, None
    x_mm, y_mm, z_mm = (float(length) for length in np.linalg.norm(file.affine[:3, :3], axis=0))
    facts = SeriesFacts(
        number=number,
        series_id=sha256_of(path),
        modality="CT" if is_hu else "OT",
        shape_zyx=file.shape_zyx,
        spacing_zyx_mm=(z_mm, y_mm, x_mm),
        unit="HU" if is_hu else "1",
        transfer_syntax="NIfTI",
        spacing_is_known=file.has_grid,
        problems=file.problems,
    )
    return facts, file


def _room(shape: tuple[int, ...], dtype: Any, scratch: Path | None) -> npt.NDArray[Any]:
    if scratch is None:
        try:
            return np.empty(shape, dtype)
        except MemoryError:
            raise SourceError("there is not enough memory for this series; give a folder for the voxels") from None
    try:
        with tempfile.TemporaryFile(dir=scratch, prefix=".voxels-") as file:
            size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
            os.posix_fallocate(file.fileno(), 0, size)  # a full disk later would end the process (SIGBUS)
            return np.memmap(file, dtype=dtype, mode="r+", shape=shape)
    except OSError as error:
        raise SourceError(f"no room for the voxels in {scratch}: {error.strerror}; free some") from error


def _read_stack(
    path: Path,
    facts: SeriesFacts,
    stack: Stack,
    identity: _Identity,
    scratch: Path | None,
    progress: Progress | None,
) -> StudyInput:
    assert stack.affine is not None  # else it is unreadable
    voxels = _room(facts.shape_zyx, _dtype(stack), scratch)
    clipped = 0
    for index, plane in enumerate(stack.planes):
        try:
            stored = decode_plane(plane)
        except SourceFormatError as error:
            raise SourceFormatError(
                f"series {facts.number}, plane {index + 1} of {len(stack.planes)} {error}"
            ) from None
        except OSError as error:
            raise SourceError(f"{path.name} cannot be read any more: {error.strerror}; check the disk") from error
        clipped += to_values(plane, stored, stack.turn.undo(voxels[index]))
        if progress is not None:
            progress((index + 1) / len(stack.planes))
    problems = facts.problems
    if clipped:
        problems = (*problems, f"{clipped} voxels were above 32767 HU and are 32767 HU")
    refs = tuple(
        SliceRef(
            sop_class_uid=stack.common.sop_class_uid,
            sop_instance_uid=plane.sop_instance_uid,
            frame_number=plane.frame_number,
            file=plane.entry.name,
        )
        for plane in stack.planes
    )
    entries = list(dict.fromkeys(plane.entry for plane in stack.planes))
    volume = Volume(
        modality=facts.modality, voxels=voxels, affine_ijk_to_lps_mm=stack.affine, unit=facts.unit, **identity
    )
    return StudyInput(
        volume=volume,
        facts=dataclasses.replace(facts, problems=problems),
        slices=refs,
        turn=stack.turn,
        _headers=lambda: _headers(path, entries),
    )


def _dtype(stack: Stack) -> type[np.int16] | type[np.float32]:
    """int16 for HU, and where all values of the series are whole numbers that fit."""
    for plane in stack.planes:
        if plane.is_hu:
            continue
        slope, intercept = plane.slope or 1.0, plane.intercept or 0.0
        ends = [value * slope + intercept for value in stored_range(plane)]
        if slope != int(slope) or intercept != int(intercept) or min(ends) < -32768 or max(ends) > 32767:
            return np.float32
    return np.int16


def _headers(path: Path, entries: list[Entry]) -> Iterator[Dataset]:
    for entry in entries:
        try:
            with entry.open() as file, warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield read_dataset(file, None)
        except SourceError:
            raise
        except (*PYDICOM_ERRORS, OSError):
            raise SourceError(f"{path.name} cannot be read any more; it was changed or removed") from None


def _read_nifti(
    facts: SeriesFacts,
    file: NiftiFile,
    identity: _Identity,
    scratch: Path | None,
    modality: str | None,
    progress: Progress | None,
) -> StudyInput:
    code = (modality or facts.modality).upper()
    is_hu = code == "CT"
    kind = file.image.header.get_data_dtype()
    voxels = _room(file.shape_zyx, np.int16 if is_hu or kind in (np.uint8, np.int8, np.int16) else np.float32, scratch)
    if voxels.dtype == np.int16 and not is_hu and not _is_unscaled(file):
        voxels = _room(file.shape_zyx, np.float32, scratch)
    target = file.as_file(voxels)
    for index in range(file.plane_count):
        plane = file.plane(index)
        if not np.isfinite(plane).all():
            raise SourceFormatError(
                f"series {facts.number} holds voxels that are not finite; replace them, and try again"
            )
        target[:, :, index] = np.clip(np.rint(plane), AIR_HU, 32767) if is_hu else plane
        if progress is not None:
            progress((index + 1) / file.plane_count)
    unit = "HU" if is_hu else "1"
    volume = Volume(modality=code, voxels=voxels, affine_ijk_to_lps_mm=file.affine, unit=unit, **identity)
    return StudyInput(volume=volume, facts=dataclasses.replace(facts, modality=code, unit=unit))


def _is_unscaled(file: NiftiFile) -> bool:
    slope, intercept = (getattr(file.image.dataobj, name, None) for name in ("slope", "inter"))
    return slope in (None, 1.0) and intercept in (None, 0.0)
