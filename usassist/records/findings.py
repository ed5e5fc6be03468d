"""What was found in a frame: labels, boxes with scores, outlines and descriptors."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from usassist.errors import RecordError
from usassist.records.checks import checked_array

__all__ = ["Descriptor", "Descriptors", "Detections", "LabelSpec", "Segmentation"]

Int32Array = npt.NDArray[np.int32]
Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSpec:
    """One label that an engine can give.

    Attributes
    ----------
    id : index used in ``Detections.label_id``, from 0
    name : short English name, as shown
    scheme, value, meaning : coded term, for example SCT 27925004 "Nodule"
    color_rgb : 0 to 255 each
    score_threshold : the least score at which a detection counts as a finding, 0 to 1
    """

    id: int
    name: str
    scheme: str
    value: str
    meaning: str
    color_rgb: tuple[int, int, int]
    score_threshold: float

    def __post_init__(self) -> None:
        """Check ranges."""
        if self.id < 0:
            raise RecordError(f"label id must not be negative, got {self.id}")
        if not self.name:
            raise RecordError("a label needs a name")
        if not (len(self.color_rgb) == 3 and all(0 <= value <= 255 for value in self.color_rgb)):
            raise RecordError(
                f"color_rgb of label {self.name} must be three numbers from 0 to 255, got {self.color_rgb}"
            )
        if not (0.0 <= self.score_threshold <= 1.0):
            raise RecordError(f"score_threshold of label {self.name} must lie in 0 to 1, got {self.score_threshold}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Detections:
    """What was found in one frame: N rows in four arrays.

    Attributes
    ----------
    xyxy_px : float32 (N, 4): x1, y1, x2, y2 in image coordinates
    score : float32 (N,), 0 to 1; raw, or calibrated where the engine has a score calibration
    label_id : int32 (N,), index into the engine's labels
    track_id : int32 (N,), -1 = not tracked
    """

    xyxy_px: Float32Array
    score: Float32Array
    label_id: Int32Array
    track_id: Int32Array

    def __post_init__(self) -> None:
        """Check shapes, ranges and order of corners."""
        xyxy = checked_array(self.xyxy_px, np.float32, "xyxy_px")
        score = checked_array(self.score, np.float32, "score")
        label_id = checked_array(self.label_id, np.int32, "label_id")
        track_id = checked_array(self.track_id, np.int32, "track_id")
        count = len(score)
        if xyxy.shape != (count, 4):
            raise RecordError(f"xyxy_px must be ({count}, 4), got {xyxy.shape}")
        for name, array in (("score", score), ("label_id", label_id), ("track_id", track_id)):
            if array.shape != (count,):
                raise RecordError(f"{name} must be ({count},), got {array.shape}")
        if not np.isfinite(xyxy).all():
            raise RecordError("xyxy_px must be finite")
        if not (xyxy[:, 2:] > xyxy[:, :2]).all():
            raise RecordError("every box needs x2 > x1 and y2 > y1")
        if not ((score >= 0) & (score <= 1)).all():
            raise RecordError("every score must lie in 0 to 1")
        if (label_id < 0).any():
            raise RecordError("every label_id must be 0 or more")
        for name, array in (("xyxy_px", xyxy), ("score", score), ("label_id", label_id), ("track_id", track_id)):
            object.__setattr__(self, name, array)

    def __len__(self) -> int:
        """How many were found."""
        return len(self.score)

    @classmethod
    @cache
    def empty(cls) -> Detections:
        """Nothing was found: the engine looked and there is nothing."""
        return cls(
            xyxy_px=np.empty((0, 4), np.float32),
            score=np.empty(0, np.float32),
            label_id=np.empty(0, np.int32),
            track_id=np.empty(0, np.int32),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Segmentation:
    """One closed outline per detection, in the order of the detections.

    The outlines of all detections lie behind one another in one array, so that a frame costs two arrays whatever it
    shows. An outline runs through the centres of the region's outermost pixels; filling it gives the region back
    (``usassist.frames.fill_labelmap``).

    Attributes
    ----------
    contour_xy_px : float32 (K, 2), image coordinates
    contour_start : int32 (N + 1,); outline i is ``contour_xy_px[contour_start[i]:contour_start[i + 1]]``
    """

    contour_xy_px: Float32Array
    contour_start: Int32Array

    def __post_init__(self) -> None:
        """Check that the starts cover the points in order."""
        points = checked_array(self.contour_xy_px, np.float32, "contour_xy_px")
        start = checked_array(self.contour_start, np.int32, "contour_start")
        if points.ndim != 2 or points.shape[1] != 2:
            raise RecordError(f"contour_xy_px must be (K, 2), got {points.shape}")
        if start.ndim != 1 or not len(start):
            raise RecordError(f"contour_start must be (N + 1,), got {start.shape}")
        if not np.isfinite(points).all():
            raise RecordError("contour_xy_px must be finite")
        if start[0] != 0 or start[-1] != len(points) or (start[1:] <= start[:-1]).any():
            raise RecordError(
                "contour_start must rise from 0 to the number of points, with at least one point per outline"
            )
        object.__setattr__(self, "contour_xy_px", points)
        object.__setattr__(self, "contour_start", start)

    def __len__(self) -> int:
        """How many outlines there are."""
        return len(self.contour_start) - 1

    def __iter__(self) -> Iterator[Float32Array]:
        """The outlines, one float32 (K_i, 2) each."""
        for begin, end in zip(self.contour_start[:-1], self.contour_start[1:], strict=True):
            yield self.contour_xy_px[begin:end]

    @classmethod
    @cache
    def empty(cls) -> Segmentation:
        """No outlines."""
        return cls(contour_xy_px=np.empty((0, 2), np.float32), contour_start=np.zeros(1, np.int32))

    @classmethod
    def of(cls, contours: list[Float32Array]) -> Segmentation:
        """Join outlines, each float32 (K_i, 2), in the order of the detections."""
        if not contours:
            return cls.empty()
        start = np.zeros(len(contours) + 1, np.int32)
        np.cumsum([len(contour) for contour in contours], out=start[1:])
        return cls(contour_xy_px=np.concatenate(contours).astype(np.float32, copy=False), contour_start=start)


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """One descriptor of one nodule. How well such values agree with readers is a property of the engine, not of the
    nodule: it is published once, in the message ``engine``, and readers join the two by name.

    Attributes
    ----------
    name : what is described, for example ``echogenicity``
    value : one of the descriptor's classes
    probability : of that value, 0 to 1, where all classes are equally frequent
    basis : its origin; ``estimated`` = by a model, for a reader to confirm
    """

    name: str
    value: str
    probability: float
    basis: str = "estimated"

    def __post_init__(self) -> None:
        """Check that nothing is empty."""
        if not (self.name and self.value and self.basis):
            raise RecordError(
                f"a descriptor needs name, value and basis, got {self.name!r}, {self.value!r}, {self.basis!r}"
            )
        if not (math.isfinite(self.probability) and 0.0 <= self.probability <= 1.0):
            raise RecordError(f"probability of descriptor {self.name} must lie in 0 to 1, got {self.probability}")


Descriptors = tuple[tuple[Descriptor, ...], ...]
"""Of one frame: empty where none are estimated, else one entry per detection; an entry without any = nothing can be
said about that nodule."""
