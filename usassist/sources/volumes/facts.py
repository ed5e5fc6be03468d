"""What is said about a series, and what reading one gives. No field names a patient, a hospital or a device."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from usassist.volumes import Volume

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["PatientFacts", "PlaneTurn", "SeriesFacts", "SliceRef", "StudyInput"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientFacts:
    """What measures are related to, where the header states it; never who it is.

    Attributes
    ----------
    height_m, weight_kg, age_years : None where the header has none, or one that cannot be true
    sex : ``M``, ``F``, ``O`` or None
    """

    height_m: float | None = None
    weight_kg: float | None = None
    sex: str | None = None
    age_years: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesFacts:
    """One stack of slices of an input.

    Attributes
    ----------
    number : from 1 on, in the order of the list; what ``--series N`` takes
    series_id : pseudonym: the first 12 hex digits of SHA-256 of the series UID, or of the bytes of a NIfTI file. A
        series that holds several stacks gives each of them its own
    modality : DICOM code; ``OT`` where a NIfTI file does not hold HU
    body_part : a body part of DICOM, upper case; empty where the header states none that is known
    description_words : known words of the descriptions, for example ``bone``; no other text of them is kept
    kernel : name of the reconstruction kernel; empty where none is stated
    contrast : whether contrast medium was given; None where the header does not say
    image_type : known values of Image Type
    shape_zyx : planes, rows, columns
    spacing_zyx_mm : distances of voxel centres; along z that of neighbouring planes as they are stacked, which is
        longer than that of the planes themselves where the gantry was tilted. Zeros where it is not known
    slice_thickness_mm : nominal; None where it is not stated
    tilt_deg : angle between the normal of the planes and the direction they are stacked in; 0 without a tilt
    unit : ``HU``, or ``1`` for values without a unit
    transfer_syntax : name of the encoding of the pixels; ``NIfTI`` for NIfTI files
    spacing_is_known : False where lengths are made up (a NIfTI file without a grid, one plane without thickness)
    problems : everything that is wrong or unusual, one clause each
    unreadable : why it cannot be read, a clause that begins with a verb; empty where it can
    patient : see there
    """

    number: int
    series_id: str
    modality: str
    body_part: str = ""
    description_words: tuple[str, ...] = ()
    kernel: str = ""
    contrast: bool | None = None
    image_type: tuple[str, ...] = ()
    shape_zyx: tuple[int, int, int]
    spacing_zyx_mm: tuple[float, float, float]
    slice_thickness_mm: float | None = None
    tilt_deg: float = 0.0
    unit: str = "1"
    transfer_syntax: str = ""
    spacing_is_known: bool = True
    problems: tuple[str, ...] = ()
    unreadable: str = ""
    patient: PatientFacts = field(default_factory=PatientFacts)

    @property
    def is_localizer(self) -> bool:
        """True for a scout view (PS3.3 C.8.2.1.1.1, value 3)."""
        return "LOCALIZER" in self.image_type or "localizer" in self.description_words

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return dataclasses.asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceRef:
    """Which DICOM image a plane of the volume comes from, for objects that refer to it. Holds UIDs: never log it.

    Attributes
    ----------
    sop_class_uid, sop_instance_uid : of the image
    frame_number : from 1 on; 1 for an image of one frame
    file : path, or member of the zip
    """

    sop_class_uid: str
    sop_instance_uid: str
    frame_number: int
    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaneTurn:
    """How planes were turned after decoding, so that axial ones have the front at the top and the patient's left right.

    Axes are exchanged first, then flipped.
    """

    transpose: bool = False
    flip_y: bool = False
    flip_x: bool = False

    def apply(self, plane: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """A plane as stored, (…, rows, columns) → as in the volume, (…, Y, X); a view."""
        plane = np.swapaxes(plane, -1, -2) if self.transpose else plane
        return plane[..., :: -1 if self.flip_y else 1, :: -1 if self.flip_x else 1]

    def undo(self, plane: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """A plane of the volume, (…, Y, X) → as stored, (…, rows, columns); a view."""
        plane = plane[..., :: -1 if self.flip_y else 1, :: -1 if self.flip_x else 1]
        return np.swapaxes(plane, -1, -2) if self.transpose else plane


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StudyInput:
    """One series as it was read.

    Attributes
    ----------
    volume : int16 HU of CT; int16 or float32 of another modality. Axial planes lie as in :class:`PlaneTurn`, z to the
        head; other planes lie as they were stored, in the order of x (sagittal) or y (coronal)
    facts : of the series
    slices : one for each plane of the volume, in its order; empty for NIfTI
    turn : from a stored plane to a plane of the volume
    """

    volume: Volume
    facts: SeriesFacts
    slices: tuple[SliceRef, ...] = ()
    turn: PlaneTurn = field(default_factory=PlaneTurn)
    _headers: Callable[[], Iterator[Dataset]] | None = None

    def dicom_files(self) -> Iterator[Dataset]:
        """The whole header of each DICOM file of the series, without pixels, in the order of the planes.

        They name the patient. They are read from the input again, one at a time. Nothing for NIfTI.

        Raises
        ------
        SourceError
            If a file is gone or cannot be read any more.
        """
        if self._headers is not None:
            yield from self._headers()
