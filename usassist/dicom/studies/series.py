"""Write a volume as a series of CT images (DICOM PS3.3 A.3), one file a plane: for phantoms, and never for a patient.

The UIDs follow from the content, so the same volume written twice is the same series.
"""

from __future__ import annotations

import hashlib
import math
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage
from pydicom.valuerep import format_number_as_ds

from usassist import __version__
from usassist.common.private_files import sync_folder
from usassist.dicom.common import short_text, write_dataset
from usassist.dicom.uids import derived_uid
from usassist.errors import DicomError, UsageError
from usassist.volumes import Volume

__all__ = ["SeriesHeader", "write_series"]

Float64Array = npt.NDArray[np.float64]

_OFFSET_HU = -1024  # the usual intercept of CT, with unsigned values; below it values are stored as they are, signed
_LARGEST_UNSIGNED = 65535
_RIGHT_ANGLE = 1e-4  # largest cosine of the angle between rows and columns (C.7.6.2.1.1 allows rounding alone)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesHeader:
    """What the headers of a series say beside its geometry. All of it is invented.

    Attributes
    ----------
    patient_name, patient_id : ``Family^Given``; an identifier
    patient_sex : ``M``, ``F``, ``O`` or empty
    patient_height_m, patient_weight_kg : None = not in the header
    body_part : defined term of (0018,0015), for example ``HEAD``
    description : of the series
    kernel : of the reconstruction
    contrast_agent : empty = none was given
    windows : name → centre and width, HU; the first is shown
    """

    patient_name: str = "PHANTOM^CT"
    patient_id: str = "PHANTOM-CT"
    patient_sex: str = ""
    patient_height_m: float | None = None
    patient_weight_kg: float | None = None
    body_part: str = "HEAD"
    description: str = "Phantom"
    kernel: str = "STANDARD"
    contrast_agent: str = ""
    windows: tuple[tuple[str, float, float], ...] = (("BRAIN", 40.0, 80.0), ("BONE", 600.0, 2800.0))


def write_series(
    volume: Volume,
    folder: Path,
    header: SeriesHeader | None = None,
    *,
    progress: Callable[[float], None] | None = None,
) -> list[Path]:
    """Write the planes of a volume as CT images into a new folder, which appears whole or not at all.

    Parameters
    ----------
    volume : int16, in HU; may lie in a file. A tilted gantry is a shear of its affine.
    folder : must not exist yet; only this user can read it
    header : what the headers say beside the geometry
    progress : receives the share that is done, once per plane; what it raises ends the writing

    Returns
    -------
    paths : one file for each plane, in order of z

    Raises
    ------
    UsageError
        If the volume is no CT in HU, or its rows and columns are not at right angles.
    DicomError
        If the folder exists or cannot be written; nothing is left behind.
    """
    header = header or SeriesHeader()
    geometry = _Geometry.of(volume)
    lowest, highest, digest = _look(volume, header)
    offset = _OFFSET_HU if lowest >= _OFFSET_HU and highest - _OFFSET_HU <= _LARGEST_UNSIGNED else 0
    base = _base(header, geometry, digest, offset, volume.shape_zyx)
    depth = volume.shape_zyx[0]
    digits = max(4, len(str(depth)))
    names = [f"image_{z + 1:0{digits}d}.dcm" for z in range(depth)]
    with _whole(folder) as part:
        for z, name in enumerate(names):
            write_dataset(part / name, _image(base, geometry, volume.voxels[z], z, digest, offset))
            if progress is not None:
                progress((z + 1) / depth)
    return [folder / name for name in names]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Geometry:
    """Of the Image Plane module (DICOM PS3.3 C.7.6.2).

    Attributes
    ----------
    orientation : of rows and columns, six cosines
    normal : of the planes, towards the next plane
    spacing_rc_mm : of rows and of columns
    step_mm : between planes, along the normal
    tilt_deg : angle between the normal and the line through the origins of the planes
    affine : of the volume
    """

    orientation: Float64Array
    normal: Float64Array
    spacing_rc_mm: tuple[float, float]
    step_mm: float
    tilt_deg: float
    affine: Float64Array

    @classmethod
    def of(cls, volume: Volume) -> _Geometry:
        """Take the affine of a volume apart."""
        if volume.modality != "CT" or volume.unit != "HU" or volume.voxels.dtype != np.int16:
            raise UsageError(
                f"only CT in HU as int16 is written as a series, got {volume.modality} in {volume.unit} as "
                f"{volume.voxels.dtype}; write a .nii.gz"
            )
        affine = volume.affine_ijk_to_lps_mm
        along_i, along_j, along_k = affine[:3, 0], affine[:3, 1], affine[:3, 2]
        columns_mm, rows_mm = float(np.linalg.norm(along_i)), float(np.linalg.norm(along_j))
        across, down = along_i / columns_mm, along_j / rows_mm
        if abs(float(across @ down)) > _RIGHT_ANGLE:
            raise UsageError("rows and columns of the volume are not at right angles, as DICOM images must be")
        normal = np.cross(across, down)
        step_mm = float(normal @ along_k)
        if step_mm < 0:
            normal, step_mm = -normal, -step_mm
        cosine = step_mm / float(np.linalg.norm(along_k))
        aside = along_k - step_mm * normal
        tilt = math.degrees(math.acos(min(1.0, cosine)))
        return cls(
            orientation=np.concatenate([across, down]),
            normal=normal,
            spacing_rc_mm=(rows_mm, columns_mm),
            step_mm=step_mm,
            tilt_deg=math.copysign(tilt, float(aside @ down)) if tilt > 0.01 else 0.0,
            affine=affine,
        )


def _look(volume: Volume, header: SeriesHeader) -> tuple[int, int, str]:
    """Lowest and highest value, and a digest of all that is written."""
    digest = hashlib.sha256(repr((volume.shape_zyx, volume.affine_ijk_to_lps_mm.tolist(), header)).encode())
    lowest, highest = np.iinfo(np.int16).max, np.iinfo(np.int16).min
    for plane in volume.voxels:
        digest.update(np.ascontiguousarray(plane, "<i2").data)
        lowest, highest = min(lowest, int(plane.min())), max(highest, int(plane.max()))
    return int(lowest), int(highest), digest.hexdigest()


def _base(
    header: SeriesHeader, geometry: _Geometry, digest: str, offset: int, shape_zyx: tuple[int, int, int]
) -> Dataset:
    """What all images of the series have in common."""
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.SOPClassUID = CTImageStorage
    dataset.StudyDate, dataset.StudyTime = None, None  # nothing was ever acquired
    dataset.AccessionNumber, dataset.ReferringPhysicianName = None, None
    dataset.Modality = "CT"
    dataset.Manufacturer = "usassist"
    dataset.ManufacturerModelName = "phantom"
    dataset.SoftwareVersions = __version__
    dataset.StudyDescription = "Simulated study, no patient"
    dataset.SeriesDescription = short_text(header.description)
    dataset.PatientName = header.patient_name
    dataset.PatientID = header.patient_id
    dataset.PatientBirthDate = None
    dataset.PatientSex = header.patient_sex or None
    if header.patient_height_m is not None:
        dataset.PatientSize = _decimal(header.patient_height_m)
    if header.patient_weight_kg is not None:
        dataset.PatientWeight = _decimal(header.patient_weight_kg)
    if header.contrast_agent:
        dataset.ContrastBolusAgent = header.contrast_agent
    dataset.BodyPartExamined = header.body_part
    dataset.SliceThickness = _decimal(geometry.step_mm)
    dataset.KVP = "120"
    dataset.GantryDetectorTilt = _decimal(geometry.tilt_deg)
    dataset.ConvolutionKernel = header.kernel
    dataset.PatientPosition = "HFS"
    dataset.ContentQualification = "RESEARCH"
    dataset.StudyInstanceUID = derived_uid("phantom", "study", digest)
    dataset.SeriesInstanceUID = derived_uid("phantom", "series", digest)
    dataset.FrameOfReferenceUID = derived_uid("phantom", "frame of reference", digest)
    dataset.PositionReferenceIndicator = None
    dataset.StudyID, dataset.SeriesNumber, dataset.AcquisitionNumber = "1", 1, 1
    dataset.ImageOrientationPatient = [_decimal(value) for value in geometry.orientation]
    dataset.ImageComments = "Simulated by usassist: no patient. Research use, not a medical device."
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = shape_zyx[1:]
    dataset.PixelSpacing = [_decimal(value) for value in geometry.spacing_rc_mm]
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.PixelRepresentation = 0 if offset else 1
    dataset.BurnedInAnnotation = "NO"
    names, centres, widths = zip(*header.windows, strict=True)
    dataset.WindowCenter, dataset.WindowWidth = list(map(_decimal, centres)), list(map(_decimal, widths))
    dataset.WindowCenterWidthExplanation = list(names)
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = str(offset), "1", "HU"
    return dataset


def _image(
    base: Dataset, geometry: _Geometry, plane: npt.NDArray[np.int16], z: int, digest: str, offset: int
) -> Dataset:
    dataset = Dataset()
    dataset.update(base)
    position = geometry.affine @ np.array([0.0, 0.0, z, 1.0])
    dataset.SOPInstanceUID = derived_uid("phantom", "image", digest, str(z))
    dataset.InstanceNumber = z + 1
    dataset.ImagePositionPatient = [_decimal(value) for value in position[:3]]
    dataset.SliceLocation = _decimal(float(position[:3] @ geometry.normal))
    values = plane.astype(np.int32) - offset
    dataset.PixelData = values.astype("<u2" if offset else "<i2").tobytes()
    dataset["PixelData"].VR = "OW"
    return dataset


def _decimal(value: float) -> str:
    """A decimal string: at most 16 characters (DICOM PS3.5 table 6.2-1), no negative zero."""
    return format_number_as_ds(float(value) + 0.0)


@contextmanager
def _whole(folder: Path) -> Iterator[Path]:
    """A hidden folder beside `folder`, which takes its name at the end or is removed."""
    if folder.exists() or folder.is_symlink():
        raise DicomError(f"{folder} exists already; name a folder that does not")
    try:
        part = Path(tempfile.mkdtemp(prefix=f".{folder.name}.part-", dir=folder.parent))
    except OSError as error:
        raise DicomError(f"nothing can be written beside {folder}: {error.strerror}; name another folder") from error
    try:
        yield part
        sync_folder(part)
        part.rename(folder)
        sync_folder(folder.parent)
    except DicomError:  # an OSError too, and says what to do
        raise
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DicomError(f"{folder} cannot be written: {reason}; free some space, or name another folder") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
