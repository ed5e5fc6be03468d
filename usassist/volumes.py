"""The volume half of the records: what a study is, and what is found in one. See :mod:`usassist.records`.

A record that exists is valid, and its arrays are read-only. Voxel values are the exception: a volume may lie in a file
(``numpy.memmap``) that is larger than memory, so they are checked when a plane is read, not when the record is made.

Arrays of voxels are ``[z, y, x]`` = ``[k, j, i]``. Voxel (i, j, k) has its *centre* at
``affine_ijk_to_lps_mm @ (i, j, k, 1)``, in mm, in the patient coordinates of DICOM: x to the patient's left, y to the
back, z to the head.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from usassist.errors import RecordError
from usassist.records import ResultState

__all__ = ["Measurement", "PlaneScores", "StudyAnswer", "StudyCause", "StudyResult", "Volume"]

UInt8Array = npt.NDArray[np.uint8]
Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]

_SOURCE_ID = re.compile(r"[a-z0-9_]+")
_CODE = re.compile(r"[A-Z]{2,16}")


class StudyCause(StrEnum):
    """Why a study has no result. Where a value is also one of ``records.Cause``, it means the same."""

    ENGINE_ERROR = "engine_error"  # the engine raised, or its output failed the checks
    NULL_ENGINE = "null_engine"  # the back end `null` computes nothing
    INTERRUPTED = "interrupted"  # the run was cancelled
    BAD_INPUT = "bad_input"  # a voxel is not finite, or the volume is not one that the task can process


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Volume:
    """One series of CT or MR, or a map computed from one.

    Attributes
    ----------
    session_id : the session it belongs to
    source_id : ``[a-z0-9_]+``, for example ``ct0``
    series_id : pseudonym of the series; never a UID or a name of the hospital's
    modality : DICOM code, for example ``CT``
    voxels : int16 or float32 (Z, Y, X), read-only; may lie in a file
    affine_ijk_to_lps_mm : float64 (4, 4), voxel index (i, j, k, 1) → mm; see the module
    unit : of the voxels: ``HU``, or a UCUM code such as ``1`` (no unit) or ``mL/(100.g.min)``
    spacing_rel_sd : relative standard uncertainty of the spacing, from a phantom measurement; None = not measured, and
        then what rests on lengths has no uncertainty
    spacing_is_known : False where lengths are made up, as for a file that states none; then nothing is measured in mm
    """

    session_id: str
    source_id: str
    series_id: str
    modality: str
    voxels: npt.NDArray[Any]
    affine_ijk_to_lps_mm: Float64Array
    unit: str
    spacing_rel_sd: float | None = None
    spacing_is_known: bool = True

    def __post_init__(self) -> None:
        """Check every field except the values of the voxels."""
        _require_identity(self.session_id, self.source_id, self.series_id, self.modality)
        if not self.unit:
            raise RecordError("unit must not be empty; write 1 for values without a unit")
        object.__setattr__(self, "voxels", _array(self.voxels, (np.int16, np.float32), "voxels"))
        if self.voxels.ndim != 3 or not self.voxels.size:
            raise RecordError(f"voxels must be (Z, Y, X) and not empty, got {self.voxels.shape}; pass one series")
        object.__setattr__(self, "affine_ijk_to_lps_mm", _affine(self.affine_ijk_to_lps_mm))
        sd = self.spacing_rel_sd
        if sd is not None and not (math.isfinite(sd) and sd >= 0):
            raise RecordError(f"spacing_rel_sd must be 0 or more, got {sd}; pass None where it was not measured")

    @property
    def shape_zyx(self) -> tuple[int, int, int]:
        """Planes, rows and columns."""
        depth, height, width = self.voxels.shape
        return depth, height, width

    @property
    def spacing_zyx_mm(self) -> tuple[float, float, float]:
        """Distance of neighbouring voxel centres along z, y and x, mm."""
        along_i, along_j, along_k = np.linalg.norm(self.affine_ijk_to_lps_mm[:3, :3], axis=0).tolist()
        return along_k, along_j, along_i

    @property
    def voxel_volume_mm3(self) -> float:
        """Volume of one voxel, mm³, also where the axes are sheared (a tilted gantry)."""
        return abs(float(np.linalg.det(self.affine_ijk_to_lps_mm[:3, :3])))


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One named number of a study.

    Attributes
    ----------
    name : ``[a-z0-9_]+``, for example ``haematoma_volume``
    value : finite; None = it could not be measured
    unit : UCUM code, for example ``mL``, ``mm``, ``[hnsf'U]`` or ``1``
    u95 : half-width of the 95 % interval (JCGM 100:2008, 6.2), in `unit`; None = not known
    reason : why there is no value or no uncertainty; set exactly when one is missing
    label_id : index into the engine's labels of what was measured; None = the whole study
    """

    name: str
    value: float | None
    unit: str
    u95: float | None = None
    reason: str = ""
    label_id: int | None = None

    def __post_init__(self) -> None:
        """Check that numbers are finite, and that whatever is missing has a reason."""
        if not _SOURCE_ID.fullmatch(self.name):
            raise RecordError(f"the name of a measurement must match [a-z0-9_]+, got {self.name!r}")
        if not self.unit:
            raise RecordError(f"measurement {self.name} needs a unit; write 1 for a number without one")
        if self.value is not None and not math.isfinite(self.value):
            raise RecordError(f"measurement {self.name} must be finite, got {self.value}; pass None and the reason")
        if self.u95 is not None and not (math.isfinite(self.u95) and self.u95 >= 0 and self.value is not None):
            raise RecordError(f"u95 of measurement {self.name} must be 0 or more and go with a value, got {self.u95}")
        if (self.u95 is None) != bool(self.reason):
            raise RecordError(f"measurement {self.name} has either an uncertainty or the reason why there is none")
        if self.label_id is not None and self.label_id < 0:
            raise RecordError(f"label_id of measurement {self.name} must not be negative, got {self.label_id}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlaneScores:
    """How the engine scored each plane of a volume for one label.

    Attributes
    ----------
    name : of the label
    label_id : index into the engine's labels
    scores : float32 (Z,), 0 to 1, in the order of the planes
    """

    name: str
    label_id: int
    scores: Float32Array

    def __post_init__(self) -> None:
        """Check that every plane has a score from 0 to 1."""
        if not self.name or self.label_id < 0:
            raise RecordError(f"plane scores need a name and a label_id from 0, got {self.name!r} and {self.label_id}")
        object.__setattr__(self, "scores", _array(self.scores, (np.float32,), "scores"))
        if self.scores.ndim != 1 or not self.scores.size:
            raise RecordError(f"scores of {self.name} must be (Z,) and not empty, got {self.scores.shape}")
        if not ((self.scores >= 0.0) & (self.scores <= 1.0)).all():  # false also where one is not a number
            raise RecordError(f"scores of {self.name} must lie from 0 to 1; divide them, or correct the task")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StudyAnswer:
    """What a modality's task gives for one study.

    Attributes
    ----------
    found : True: something was found, or an output volume was computed. False: the engine answered and found nothing
    labelmap : uint8 (Z, Y, X) on the voxels of the volume: 0 = background, label id + 1 elsewhere; None = the engine
        does not outline
    output : a computed volume, on a grid of its own; None = there is none
    measurements : each name once per label
    plane_scores : each label once; empty = planes are not scored
    heat : uint8 (Z, Y, X) on the voxels of the volume, 0 to 255 for a score of 0 to 1; may lie in a file; None = voxels
        are not scored
    """

    found: bool
    labelmap: UInt8Array | None = None
    output: Volume | None = None
    measurements: tuple[Measurement, ...] = ()
    plane_scores: tuple[PlaneScores, ...] = ()
    heat: UInt8Array | None = None

    def __post_init__(self) -> None:
        """Check that content and `found` agree."""
        for name in ("labelmap", "heat"):
            array = getattr(self, name)
            if array is not None:
                object.__setattr__(self, name, _array(array, (np.uint8,), name))
                if array.ndim != 3 or not array.size:
                    raise RecordError(f"{name} must be (Z, Y, X) and not empty, got {array.shape}")
        if self.labelmap is not None:
            has_labels = any(plane.any() for plane in _planes(self.labelmap))
            if has_labels and not self.found:
                raise RecordError("a labelmap with labels in it is a finding, got found=False")
            if self.found and not has_labels and self.output is None and not self.plane_scores:
                raise RecordError("found=True, but the labelmap is empty and planes are not scored; pass found=False")
        if self.found and self.labelmap is None and self.output is None and not self.measurements:
            raise RecordError("found=True needs a labelmap, an output volume or a measurement")
        if self.output is not None and not self.found:
            raise RecordError("an output volume was computed, so found must be True")
        names = [(item.name, item.label_id) for item in self.measurements]
        if len(set(names)) != len(names):
            raise RecordError(f"a measurement is given twice: {', '.join(name for name, _ in names)}")
        labels = [item.label_id for item in self.plane_scores]
        if len(set(labels)) != len(labels):
            raise RecordError(f"planes are scored twice for a label: {', '.join(i.name for i in self.plane_scores)}")

    def check_grid(self, shape_zyx: tuple[int, int, int]) -> None:
        """Raise ``RecordError`` unless everything that is on the voxels of the volume fits it."""
        for name, array in (("labelmap", self.labelmap), ("heat", self.heat)):
            if array is not None and array.shape != shape_zyx:
                raise RecordError(f"{name} must be as large as the volume, {shape_zyx}, got {array.shape}")
        for item in self.plane_scores:
            if len(item.scores) != shape_zyx[0]:
                raise RecordError(
                    f"{item.name} must have a score for each of {shape_zyx[0]} planes, got {len(item.scores)}"
                )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StudyResult:
    """One answer about one study, or the reason why there is none.

    Attributes
    ----------
    session_id, source_id, series_id, modality : copied from the volume
    shape_zyx, affine_ijk_to_lps_mm : likewise; the grid of the labelmap
    engine_id, backend : what answered, or would have; ``none`` where no back end runs
    t_start_ns, t_end_ns : monotonic ns around everything from voxels to answer
    state : ``finding``, ``no_finding`` or ``no_result``; a study is never ``stale``
    cause, reason : why there is no answer; set exactly when `state` is ``no_result``
    answer : empty exactly when `state` is ``no_result``
    failovers : one line for each back end that failed during the run, oldest first; the answer is `backend`'s alone
    """

    session_id: str
    source_id: str
    series_id: str
    modality: str
    shape_zyx: tuple[int, int, int]
    affine_ijk_to_lps_mm: Float64Array
    engine_id: str
    backend: str
    t_start_ns: int
    t_end_ns: int
    state: ResultState
    cause: StudyCause | None = None
    reason: str = ""
    answer: StudyAnswer | None = None
    failovers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check that state, cause and content agree."""
        _require_identity(self.session_id, self.source_id, self.series_id, self.modality)
        object.__setattr__(self, "affine_ijk_to_lps_mm", _affine(self.affine_ijk_to_lps_mm))
        if not self.engine_id or not self.backend:
            raise RecordError(f"a result needs engine_id and backend, got {self.engine_id!r} and {self.backend!r}")
        if self.t_end_ns < self.t_start_ns:
            raise RecordError(f"t_end_ns {self.t_end_ns} lies before t_start_ns {self.t_start_ns}")
        if self.state is ResultState.STALE:
            raise RecordError("a study cannot be stale: nothing shows it live")
        if self.state is ResultState.NO_RESULT:
            if self.cause is None or not self.reason:
                raise RecordError("state no_result must have a cause and a reason")
            if self.answer is not None:
                raise RecordError("state no_result cannot carry an answer")
            return
        if self.cause is not None or self.reason:
            raise RecordError(f"state {self.state} has no cause and no reason, got {self.cause} {self.reason!r}")
        if self.answer is None or self.answer.found != (self.state is ResultState.FINDING):
            raise RecordError(f"state {self.state} must carry an answer that agrees with it, got {self.answer}")
        self.answer.check_grid(self.shape_zyx)


def _require_identity(session_id: str, source_id: str, series_id: str, modality: str) -> None:
    if not session_id or not series_id:
        raise RecordError(f"session_id and series_id must not be empty, got {session_id!r} and {series_id!r}")
    if not _SOURCE_ID.fullmatch(source_id):
        raise RecordError(f"source_id must match [a-z0-9_]+, got {source_id!r}")
    if not _CODE.fullmatch(modality):
        raise RecordError(f"modality must be a DICOM code such as CT, got {modality!r}")


def _affine(value: Any) -> Float64Array:
    affine = _array(value, (np.float64,), "affine_ijk_to_lps_mm")
    if affine.shape != (4, 4) or not np.isfinite(affine).all():
        raise RecordError(f"affine_ijk_to_lps_mm must be (4, 4) and finite, got {affine.shape}; read it of the series")
    if (affine[3] != (0.0, 0.0, 0.0, 1.0)).any():
        raise RecordError(f"the last row of affine_ijk_to_lps_mm must be 0 0 0 1, got {affine[3].tolist()}")
    if abs(float(np.linalg.det(affine[:3, :3]))) < 1e-9:  # mm³; a voxel of a micrometre a side
        raise RecordError("affine_ijk_to_lps_mm is singular: a voxel has no volume; read it of the series again")
    affine = affine.copy()  # a later change of the caller's array must not move the voxels
    affine.flags.writeable = False
    return affine


def _array(value: Any, dtypes: tuple[Any, ...], name: str) -> npt.NDArray[Any]:
    """Check the type, and give a read-only view. An array in a file is not copied into memory."""
    if not isinstance(value, np.ndarray):
        raise RecordError(f"{name} must be a numpy array, got {type(value).__name__}")
    if value.dtype not in [np.dtype(kind) for kind in dtypes]:
        allowed = " or ".join(str(np.dtype(kind)) for kind in dtypes)
        raise RecordError(f"{name} must be {allowed}, got {value.dtype}")
    view = value.view()
    view.flags.writeable = False
    return view


def _planes(volume: npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
    for z in range(volume.shape[0]):
        yield volume[z]
