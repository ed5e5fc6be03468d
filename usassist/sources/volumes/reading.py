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

from usassist.errors import SourceError, SourceFormatError
from usassist.sources.dicom.encoding import read_dataset
from usassist.sources.dicom.header import PYDICOM_ERRORS
from usassist.sources.volumes.entries import Entry
from usassist.sources.volumes.facts import SeriesFacts, SliceRef, StudyInput
from usassist.sources.volumes.listing import choose_series, find_series, size_of
from usassist.sources.volumes.nifti import NiftiFile
from usassist.sources.volumes.pixels import AIR_HU, decode_plane, stored_range, to_values
from usassist.sources.volumes.stacks import Stack
from usassist.volumes import Volume

__all__ = ["list_series", "read_volume"]

_MAX_VOXELS = 1 << 30
_MAX_CLIPPED = 0.05  # share of voxels above the range of int16; of metal with an extended scale less

Progress = Callable[[float], None]


class _Identity(TypedDict):
    session_id: str
    source_id: str
    series_id: str


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
    return [facts for facts, _ in find_series(Path(path))]


def read_volume(
    path: Path | str,
    *,
    session_id: str,
    source_id: str = "ct0",
    series: int | str | None = None,
    scratch: Path | None = None,
    modality: str | None = None,
    progress: Progress | None = None,
    unfit: Callable[[SeriesFacts], str] | None = None,
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
    unfit : says why a series is not wanted, a clause, or gives nothing; where `series` is None and there are several,
        the others alone are chosen from

    Raises
    ------
    UsageError
        If there is no such input or series, or more than one to choose from.
    SourceError, SourceFormatError
        If it cannot be read: one line that states why and what to do.
    """
    facts, found = choose_series(find_series(Path(path)), series, unfit)
    if facts.unreadable or found is None:
        raise SourceFormatError(f"series {facts.number} {facts.unreadable}")
    if int(np.prod(facts.shape_zyx, dtype=np.int64)) > _MAX_VOXELS:
        raise SourceFormatError(f"series {facts.number} states {size_of(facts)} voxels, which is more than can be read")
    identity = _Identity(session_id=session_id, source_id=source_id, series_id=facts.series_id)
    if isinstance(found, NiftiFile):
        return _read_nifti(facts, found, identity, scratch, modality, progress)
    return _read_stack(Path(path), facts, found, identity, scratch, progress)


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
    facts = _with_clipped(facts, clipped, voxels.size)
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
        facts=facts,
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
    target, clipped = file.as_file(voxels), 0
    for index in range(file.plane_count):
        plane = file.plane(index)
        if not np.isfinite(plane).all():
            raise SourceFormatError(
                f"series {facts.number} holds voxels that are not finite; replace them, and try again"
            )
        if is_hu:
            clipped += int((plane > np.iinfo(np.int16).max).sum())
            plane = np.clip(np.rint(plane), AIR_HU, np.iinfo(np.int16).max)
        target[:, :, index] = plane
        if progress is not None:
            progress((index + 1) / file.plane_count)
    facts = _with_clipped(facts, clipped, voxels.size)
    unit = "HU" if is_hu else "1"
    volume = Volume(modality=code, voxels=voxels, affine_ijk_to_lps_mm=file.affine, unit=unit, **identity)
    return StudyInput(volume=volume, facts=dataclasses.replace(facts, modality=code, unit=unit))


def _with_clipped(facts: SeriesFacts, clipped: int, count: int) -> SeriesFacts:
    if clipped > _MAX_CLIPPED * count:
        raise SourceFormatError(
            f"series {facts.number} has a rescale that gives values above 32767 HU; export it again"
        )
    if not clipped:
        return facts
    what = "1 voxel was" if clipped == 1 else f"{clipped} voxels were"
    return dataclasses.replace(facts, problems=(*facts.problems, f"{what} above 32767 HU, and clipped to it"))


def _is_unscaled(file: NiftiFile) -> bool:
    slope, intercept = (getattr(file.image.dataobj, name, None) for name in ("slope", "inter"))
    return slope in (None, 1.0) and intercept in (None, 0.0)
