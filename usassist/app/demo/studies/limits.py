"""What a tab for studies takes: kinds of files, their size, and the size of the volume."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

from usassist.app.demo.limits import LIMITS
from usassist.errors import UsageError

__all__ = ["STUDY_LIMITS", "StudyLimits", "check_shape", "check_zip", "stored_study_name"]

_SUFFIXES = (".nii.gz", ".nii", ".zip", ".dcm")


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyLimits:
    """Limits of one visitor.

    Attributes
    ----------
    file_bytes : size of an uploaded file
    unpacked_bytes : size of all that is in a zip
    zip_files : number of files in a zip
    voxels : of the series that is read
    side_px : the longest side of a plane
    """

    file_bytes: int = LIMITS.file_bytes
    unpacked_bytes: int = 2**30
    zip_files: int = 3000
    voxels: int = 512 * 512 * 600
    side_px: int = 2048


STUDY_LIMITS = StudyLimits()


def stored_study_name(name: str, size_bytes: int, limits: StudyLimits = STUDY_LIMITS) -> str:
    """Name under which an uploaded file is kept: never its own, which may name a patient.

    Raises
    ------
    UsageError
        If its kind is not known, or it is empty or too large.
    """
    lower = Path(name).name.lower()
    known = next((suffix for suffix in _SUFFIXES if lower.endswith(suffix)), "")
    suffix = Path(lower).suffix
    if not known and suffix and not suffix[1:].isdigit():  # a UID may end in any number
        raise UsageError(
            f"a file that ends with {suffix[:16]} is not taken; give a zip of a DICOM series, a DICOM file, or a NIfTI "
            "file (.nii, .nii.gz)"
        )
    if not size_bytes:
        raise UsageError("the file is empty; choose another")
    if size_bytes > limits.file_bytes:
        raise UsageError(
            f"the file has {size_bytes / 2**20:.0f} MiB and at most {limits.file_bytes / 2**20:.0f} MiB are taken; "
            "give one series of it, or run usassist on your own machine"
        )
    return "study" + known


def check_zip(path: Path, limits: StudyLimits = STUDY_LIMITS) -> None:
    """Look at what a zip states of its files before any of them is unpacked.

    Raises
    ------
    UsageError
        If it is damaged, or holds too much.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = [item.file_size for item in archive.infolist() if not item.is_dir()]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        raise UsageError("the zip cannot be read; pack the series again") from None
    if len(sizes) > limits.zip_files:
        raise UsageError(f"the zip has {len(sizes)} files and at most {limits.zip_files} are taken; pack one series")
    if sum(sizes) > limits.unpacked_bytes:
        raise UsageError(
            f"the zip unpacks to {sum(sizes) / 2**20:.0f} MiB and at most {limits.unpacked_bytes / 2**20:.0f} MiB are "
            "taken; pack one series"
        )


def check_shape(shape_zyx: tuple[int, int, int], limits: StudyLimits = STUDY_LIMITS) -> None:
    """Look at the size of a series before it is read.

    Raises
    ------
    UsageError
        If it is too large.
    """
    depth, rows, columns = shape_zyx
    if max(rows, columns) > limits.side_px or depth * rows * columns > limits.voxels:
        raise UsageError(
            f"the series has {depth} slices of {columns} x {rows}; at most {limits.voxels / 1e6:.0f} million voxels, "
            f"{limits.side_px} a side, are taken; run usassist on your own machine"
        )
