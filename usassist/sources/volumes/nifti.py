"""NIfTI files in and out. NIfTI counts millimetres to the right, the front and the head (RAS), a volume to the left,
the back and the head (LPS); both count voxels from the first one's centre.

Read voxels are turned by exchange and flips of axes, without resampling, so that x goes to the left, y to the back and
z to the head as nearly as the file's axes do.
"""

from __future__ import annotations

import gzip
import hashlib
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from usassist.common.private_files import replacing
from usassist.errors import SourceError, SourceFormatError, UsageError

__all__ = ["NiftiFile", "open_nifti", "read_labelmap", "write_nifti"]

Float64Array = npt.NDArray[np.float64]

_MAX_SIDE, _MAX_VOXELS = 4096, 1 << 30
_MM = {"mm": 1.0, "unknown": 1.0, "meter": 1000.0, "micron": 0.001}
_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_AIR_BELOW, _AIR_SHARE = -300, 0.005
_DAMAGED = (OSError, EOFError, ValueError, TypeError, KeyError, OverflowError, zlib.error, struct.error)
_CHUNK = 1 << 20
_GZIP_LEVEL = 4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NiftiFile:
    """A NIfTI file whose header was read.

    Attributes
    ----------
    shape_zyx, affine : of the turned volume; index (i, j, k) → LPS mm
    axes : for each of x, y and z of the volume the axis of the file, and whether it is flipped
    has_grid : False where the file states no grid (no qform and no sform, or the identity)
    problems : what is unusual
    """

    path: Path
    image: Any
    shape_zyx: tuple[int, int, int]
    affine: Float64Array
    axes: tuple[tuple[int, bool], ...]
    has_grid: bool
    problems: tuple[str, ...]

    @property
    def plane_count(self) -> int:
        """Planes along the last axis of the file, which are read one at a time."""
        return int(self.image.shape[2]) if len(self.image.shape) > 2 else 1

    def plane(self, index: int) -> npt.NDArray[Any]:
        """Scaled values of a plane of the file, (i, j).

        Raises
        ------
        SourceFormatError
            If the file breaks off.
        """
        try:
            proxy = self.image.dataobj
            one = proxy[:, :, index] if len(self.image.shape) > 2 else proxy[:, :]
            return np.asarray(one).reshape(self.image.shape[:2])
        except (*_DAMAGED, MemoryError):
            raise SourceFormatError(f"{self.path.name} breaks off, or is damaged; copy it again") from None

    def as_file(self, voxels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """A view of voxels (Z, Y, X) with the axes of the file, (i, j, k)."""
        xyz = np.transpose(voxels, (2, 1, 0))
        xyz = xyz[tuple(slice(None, None, -1 if flip else 1) for _, flip in self.axes)]
        return np.transpose(xyz, np.argsort([axis for axis, _ in self.axes]))

    def looks_like_hu(self) -> bool:
        """True when planes of the middle hold air as HU have it; a NIfTI file does not say what its values are."""
        count = self.plane_count
        planes = [self.plane(index) for index in sorted({count // 4, count // 2, 3 * count // 4})]
        share = float(np.mean([np.mean(plane < _AIR_BELOW) for plane in planes]))
        return share >= _AIR_SHARE and min(float(np.nanmin(plane)) for plane in planes) >= -32768


def open_nifti(path: Path) -> NiftiFile:
    """Read the header of a NIfTI file.

    Raises
    ------
    SourceError, SourceFormatError
        If it cannot be read, is damaged, holds more than one volume, or states a grid that cannot be true.
    """
    nib = _nibabel()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = nib.load(path, keep_file_open=True)
            shape = tuple(int(length) for length in image.shape)
            zooms = tuple(float(zoom) for zoom in image.header.get_zooms())
            affine, codes = np.array(image.affine, np.float64), (image.header["qform_code"], image.header["sform_code"])
            unit = image.header.get_xyzt_units()[0]
            kind = image.header.get_data_dtype()
    except FileNotFoundError:
        raise UsageError(f"{path} does not exist; name a NIfTI file") from None
    except (*_DAMAGED, nib.filebasedimages.ImageFileError, nib.spatialimages.HeaderDataError) as error:
        if isinstance(error, OSError) and error.strerror:
            raise SourceError(f"{path.name} cannot be read: {error.strerror}; check the file") from error
        raise SourceFormatError(f"{path.name} is no NIfTI file, or is damaged; copy or convert it again") from None
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) not in (2, 3):
        raise SourceFormatError(f"{path.name} holds {len(shape)} dimensions, not one volume; export one volume of it")
    shape = (*shape, 1)[:3]
    if not all(0 < length <= _MAX_SIDE for length in shape) or int(np.prod(shape)) > _MAX_VOXELS:
        raise SourceFormatError(f"{path.name} states {' x '.join(map(str, shape))} voxels, which no scanner makes")
    if kind.kind not in "iuf":
        raise SourceFormatError(f"{path.name} holds colours or complex numbers, no volume; export one number per voxel")
    if not all(np.isfinite(zoom) and zoom > 0 for zoom in zooms[:3]):
        raise SourceFormatError(f"{path.name} states no voxel spacing, or one that cannot be true; convert it again")
    return _turned(path, image, (shape[0], shape[1], shape[2]), affine, any(int(code) > 0 for code in codes), unit)


def _turned(
    path: Path, image: Any, shape: tuple[int, int, int], ras: Float64Array, has_form: bool, unit: str
) -> NiftiFile:
    problems = []
    affine = _LPS @ ras
    affine[:3] *= _MM.get(unit, 1.0)
    if not np.isfinite(affine).all() or abs(float(np.linalg.det(affine[:3, :3]))) < 1e-9:
        raise SourceFormatError(f"{path.name} states a grid whose voxels have no volume; convert it again")
    has_grid = has_form and not np.allclose(ras, np.eye(4))
    if not has_grid:
        problems.append(
            "it states no grid, so spacing, left and right are not known; 1 mm or its pixel sizes are taken"
        )
    axes = _axes(affine)
    turned = np.eye(4)
    turned[:3, 3] = affine[:3, 3]
    for to, (axis, flip) in enumerate(axes):
        column = affine[:3, axis]
        turned[:3, to] = -column if flip else column
        if flip:
            turned[:3, 3] += column * (shape[axis] - 1)
    lengths = [shape[axis] for axis, _ in axes]
    if tuple(image.shape) != shape and len(image.shape) > 3:
        image = image.slicer[(slice(None),) * 3 + (0,) * (len(image.shape) - 3)]
    return NiftiFile(
        path=path,
        image=image,
        shape_zyx=(lengths[2], lengths[1], lengths[0]),
        affine=turned,
        axes=axes,
        has_grid=has_grid,
        problems=tuple(problems),
    )


def _axes(affine: Float64Array) -> tuple[tuple[int, bool], ...]:
    """For x, y and z the file's axis that is nearest to it, and whether it runs the other way."""
    cosines = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    left: list[tuple[int, bool]] = [(-1, False)] * 3
    weights = np.abs(cosines)
    for _ in range(3):
        to, axis = (int(index) for index in np.unravel_index(int(np.argmax(weights)), (3, 3)))
        left[to] = axis, bool(cosines[to, axis] < 0)
        weights[to, :], weights[:, axis] = -1, -1
    return tuple(left)


def sha256_of(path: Path) -> str:
    """The first 12 hex digits of SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()[:12]


def write_nifti(path: Path, array: npt.NDArray[Any], affine_ijk_to_lps_mm: Float64Array) -> None:
    """Write voxels as NIfTI-1, whole or not at all.

    Parameters
    ----------
    path : ``.nii`` or ``.nii.gz``; an existing file is replaced
    array : bool, uint8, int16, int32 or float32 (Z, Y, X); bool is written as uint8
    affine_ijk_to_lps_mm : (4, 4)

    Raises
    ------
    UsageError
        If the name, shape or type does not fit.
    SourceError
        If the file cannot be written.
    """
    nib = _nibabel()
    if not path.name.lower().endswith((".nii", ".nii.gz")):
        raise UsageError(f"{path.name} is no name of a NIfTI file; end it with .nii or .nii.gz")
    array = array.view(np.uint8) if array.dtype == np.bool_ else array
    if array.ndim != 3 or not array.size or array.dtype not in (np.uint8, np.int16, np.int32, np.float32):
        raise UsageError(f"voxels of type {array.dtype} and shape {array.shape} cannot be written; pass (Z, Y, X)")
    image = nib.Nifti1Image(np.transpose(array, (2, 1, 0)), _LPS @ np.asarray(affine_ijk_to_lps_mm, np.float64))
    image.header.set_xyzt_units("mm")
    image.set_sform(image.affine, code=1)
    image.set_qform(image.affine, code=1, strip_shears=True)
    try:
        with replacing(path, private=True) as temporary, temporary.open("wb") as raw, _packed(raw, path) as target:
            holder = nib.FileHolder(fileobj=target)
            image.to_file_map({"header": holder, "image": holder})
    except OSError as error:
        raise SourceError(f"{path} cannot be written: {error.strerror or error}; name another file") from error


@contextmanager
def _packed(raw: BinaryIO, path: Path) -> Iterator[Any]:
    """The stream to write into; the same voxels give the same bytes."""
    if not path.name.lower().endswith(".gz"):
        yield raw
        return
    with gzip.GzipFile(filename="", mode="wb", compresslevel=_GZIP_LEVEL, fileobj=raw, mtime=0) as target:
        yield target


def read_labelmap(path: Path) -> tuple[npt.NDArray[np.uint8], Float64Array]:
    """Read a mask or label map.

    Returns
    -------
    labels : uint8 (Z, Y, X), turned like a volume that is read
    affine_ijk_to_lps_mm : (4, 4)

    Raises
    ------
    SourceError, SourceFormatError
        As :func:`open_nifti`, or if a value is no whole number from 0 to 255.
    """
    file = open_nifti(path)
    labels = np.zeros(file.shape_zyx, np.uint8)
    target = file.as_file(labels)
    for index in range(file.plane_count):
        plane = file.plane(index)
        if not (
            np.isfinite(plane).all() and (plane == np.rint(plane)).all() and 0 <= plane.min() <= plane.max() <= 255
        ):
            raise SourceFormatError(f"{path.name} holds values that are no labels (0 to 255); give a label map")
        target[:, :, index] = plane
    return labels, file.affine


def _nibabel() -> Any:
    try:
        import nibabel
    except ImportError:
        raise UsageError("NIfTI needs nibabel; install it with: pip install 'usassist[volumes]'") from None
    return nibabel
