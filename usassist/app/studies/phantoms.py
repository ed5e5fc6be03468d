"""Simulated CT studies as files: a head with bleeds, an abdomen. Memory does not grow with the number of planes."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from usassist.dicom.studies.series import SeriesHeader, write_series
from usassist.errors import StudyError, UsageError
from usassist.phantom.ct.abdomen import make_abdomen
from usassist.phantom.ct.head import HeadBleed, draw_bleeds, head_affine, render_planes
from usassist.phantom.ct.head_anatomy import Tissue
from usassist.sources.volumes import write_nifti
from usassist.volumes import Volume

__all__ = ["BLEEDS", "CtPhantom", "make_abdomen_study", "make_head_study", "write_phantom"]

Report = Callable[[str, float], None]

BLEEDS: Mapping[str, Tissue | None] = {
    "none": None,
    "intraparenchymal": Tissue.INTRAPARENCHYMAL,
    "intraventricular": Tissue.INTRAVENTRICULAR,
    "extra_axial": Tissue.EXTRA_AXIAL,
}
"""Name → kind of the bleed in the head."""

_HEAD_MM = (160.0, 240.0)  # along z; rows and columns
_ABDOMEN_MM = (250.0, 490.0)
_MOST_SLICES, _MOST_SIZE = 2000, 1024


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CtPhantom:
    """A simulated study.

    Attributes
    ----------
    volume : int16 HU
    labels : uint8 (Z, Y, X), the truth
    label_names : value in `labels` → what it is
    header : for a series of it
    truth : what was drawn: volumes of bleeds in ml, positions of vertebrae in mm
    """

    volume: Volume
    labels: npt.NDArray[np.uint8]
    label_names: Mapping[int, str]
    header: SeriesHeader
    truth: Mapping[str, Any] = field(default_factory=dict)


def make_head_study(
    *,
    seed: int,
    slices: int,
    size: int,
    bleed: str,
    scratch: Path | None = None,
    report: Report = lambda what, share: None,
) -> CtPhantom:
    """A head of 160 mm by 240 mm, with one bleed or none.

    Parameters
    ----------
    seed : the same seed gives the same head
    slices, size : planes; rows, which are as many as columns
    bleed : key of :data:`BLEEDS`
    scratch : folder on whose disk the voxels lie; None = in memory
    report : receives ``rendering`` and the share that is done

    Raises
    ------
    UsageError
        If there is no such bleed, or the size is out of range.
    StudyError
        If the disk has no room.
    """
    if bleed not in BLEEDS:
        raise UsageError(f"there is no bleed {bleed!r}; choose {', '.join(BLEEDS)}")
    shape, spacing = _grid(slices, size, _HEAD_MM)
    bleeds = _bleeds(seed, BLEEDS[bleed])
    voxels, labels = _room(shape, np.int16, scratch), _room(shape, np.uint8, scratch)
    for z, (plane, found) in enumerate(render_planes(seed, shape, spacing, bleeds)):
        voxels[z], labels[z] = plane, found
        report("rendering", (z + 1) / slices)
    voxel_ml = float(np.prod(spacing)) / 1000.0
    names = {int(tissue): tissue.name.lower() for tissue in Tissue}
    return CtPhantom(
        volume=_volume(voxels, head_affine(shape, spacing), f"head-{seed}"),
        labels=labels,
        label_names=names,
        header=SeriesHeader(description="Head phantom without contrast"),
        truth={
            "bleed": bleed,
            "volume_ml": round(
                sum(int((plane == item.kind).sum()) for plane in labels for item in bleeds) * voxel_ml, 3
            ),
        },
    )


def make_abdomen_study(
    *, seed: int, slices: int, size: int, scratch: Path | None = None, report: Report = lambda what, share: None
) -> CtPhantom:
    """An abdomen from T11 to L5, of 250 mm by 490 mm. Odd seeds are men, even ones women, in the header alone.

    Parameters and errors are those of :func:`make_head_study`.
    """
    shape, spacing = _grid(slices, size, _ABDOMEN_MM)
    voxels = _room(shape, np.int16, scratch)
    _, labels, levels, affine = make_abdomen(
        seed, shape, spacing, out=voxels, report=lambda share: report("rendering", share)
    )
    return CtPhantom(
        volume=_volume(voxels, affine, f"abdomen-{seed}"),
        labels=labels,
        label_names=dict(enumerate(("outside", "subcutaneous", "muscle", "cavity", "bone"))),
        header=SeriesHeader(
            body_part="ABDOMEN",
            description="Abdomen phantom",
            patient_sex="M" if seed % 2 else "F",
            patient_height_m=1.70,
            patient_weight_kg=70.0,
            windows=(("SOFT TISSUE", 40.0, 400.0), ("BONE", 400.0, 1800.0)),
        ),
        truth={"vertebrae_z_mm": {name: round(float(z), 2) for name, z in levels.items()}},
    )


def write_phantom(
    phantom: CtPhantom,
    out: Path,
    *,
    nifti: bool = False,
    truth: Path | None = None,
    report: Report = lambda what, share: None,
) -> list[Path]:
    """Write a phantom as a DICOM series, or as NIfTI; each file or folder appears whole or not at all.

    Parameters
    ----------
    phantom : to write
    out : new folder, or with `nifti` a new ``.nii.gz``
    nifti : write NIfTI
    truth : new ``.nii.gz`` for the labels; None = they are not written
    report : receives ``writing`` and the share that is done

    Returns
    -------
    paths : of what was written

    Raises
    ------
    UsAssistError
        If something exists or cannot be written.
    """
    check_phantom_paths(out, nifti=nifti, truth=truth)
    affine = phantom.volume.affine_ijk_to_lps_mm
    written = [out]
    if nifti:
        write_nifti(out, phantom.volume.voxels, affine)
    else:
        write_series(phantom.volume, out, phantom.header, progress=lambda share: report("writing", share))
    if truth is not None:
        write_nifti(truth, phantom.labels, affine)
        written.append(truth)
    return written


def check_phantom_paths(out: Path, *, nifti: bool, truth: Path | None) -> None:
    """Raise where what is to be written exists or has the wrong name, before anything is computed."""
    for path, is_nifti, option in ((out, nifti, "--out"), (truth, True, "--truth")):
        if path is None:
            continue
        if is_nifti and not path.name.endswith(".nii.gz"):
            raise UsageError(f"{option} {path} must end with .nii.gz")
        if not is_nifti and path.name.endswith((".nii", ".nii.gz")):
            raise UsageError(f"{option} {path} is a folder for DICOM images; add --nifti to write a .nii.gz")
        if os.path.lexists(path):
            raise StudyError(f"{path} exists already; name another")
        if not path.parent.is_dir():
            raise StudyError(f"{path} cannot be made: its parent is not a folder; make that first")


def _grid(
    slices: int, size: int, extent_mm: tuple[float, float]
) -> tuple[tuple[int, int, int], tuple[float, float, float]]:
    if not (1 <= slices <= _MOST_SLICES and 32 <= size <= _MOST_SIZE):
        raise UsageError(
            f"a phantom has 1 to {_MOST_SLICES} slices of 32 to {_MOST_SIZE} rows, got {slices} of {size}; choose fewer"
        )
    along, across = extent_mm
    return (slices, size, size), (along / slices, across / size, across / size)


def _bleeds(seed: int, kind: Tissue | None) -> tuple[HeadBleed, ...]:
    """One bleed of a kind, drawn from the seed."""
    if kind is None:
        return ()
    for number in itertools.count():
        bleeds = draw_bleeds(seed * 1000 + number)
        if bleeds[0].kind == kind:
            return bleeds
    raise AssertionError  # the loop does not end otherwise


def _volume(voxels: npt.NDArray[np.int16], affine: npt.NDArray[np.float64], name: str) -> Volume:
    return Volume(
        session_id="phantom",
        source_id="ct0",
        series_id=name,
        modality="CT",
        voxels=voxels,
        affine_ijk_to_lps_mm=affine,
        unit="HU",
    )


def _room(shape: tuple[int, int, int], dtype: Any, scratch: Path | None) -> npt.NDArray[Any]:
    """An array of zeros, in memory or in a file without a name."""
    if scratch is None:
        return np.zeros(shape, dtype)
    try:
        with tempfile.TemporaryFile(dir=scratch) as file:
            os.posix_fallocate(file.fileno(), 0, int(np.prod(shape)) * np.dtype(dtype).itemsize)
            return np.memmap(file, dtype=dtype, mode="r+", shape=shape)
    except OSError as error:
        raise StudyError(f"no room for the voxels in {scratch}: {error.strerror}; free some") from error
