"""The records that flow from source to sink. They hold numpy arrays and nothing else.

A record that exists is valid: every field is checked when it is made, arrays are made read-only, and an error
says what was expected and what was given.

Image coordinates are continuous, x to the right, y down, with the origin at the *top-left corner* of the top-left
pixel. The whole image is ``(0, 0, W, H)``; the centre of pixel (row r, column c) is ``(c + 0.5, r + 0.5)``. All
results are in pixels of ``Frame.image``, never of an engine's input. The marked side of the probe is towards +x,
depth towards +y. See ``docs/adr/0003-coordinates.md``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from enum import StrEnum
from fractions import Fraction
from functools import cache
from operator import attrgetter
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from usassist.common.wire_fields import Int64, travels
from usassist.errors import RecordError

__all__ = [
    "Answer",
    "ApTState",
    "Cause",
    "Descriptor",
    "Descriptors",
    "Detections",
    "Frame",
    "FrameLine",
    "FrameMetadata",
    "LabelSpec",
    "Measurements",
    "Result",
    "ResultState",
    "Segmentation",
    "Signal",
    "SignalState",
    "SourceInfo",
    "frame_metadata",
]

UInt8Array = npt.NDArray[np.uint8]
Int32Array = npt.NDArray[np.int32]
Float32Array = npt.NDArray[np.float32]

_SOURCE_ID = re.compile(r"[a-z0-9_]+")


class ResultState(StrEnum):
    """State of a result. Only the first two are answers about the frame.

    ``finding``: the engine answered and found something. ``no_finding``: the engine answered and found nothing.
    ``no_result``: there is no answer for this frame; the cause says why. ``stale``: there is an answer, but it came
    too late to be shown on a live frame.
    """

    FINDING = "finding"
    NO_FINDING = "no_finding"
    NO_RESULT = "no_result"
    STALE = "stale"

    @property
    def is_answer(self) -> bool:
        """True when the result may be drawn as an answer about its frame."""
        return self in (ResultState.FINDING, ResultState.NO_FINDING)


class Cause(StrEnum):
    """Why a result is not an answer. Counted in summaries and in health messages."""

    DROPPED = "dropped"  # the frame was overwritten in the capture slot before the engine took it
    ENGINE_ERROR = "engine_error"  # the engine raised, or its output failed the checks
    NULL_ENGINE = "null_engine"  # the back end `null` computes nothing
    LATE = "late"  # the answer came later than the configured age
    MISSING = "missing"  # a sink never received a result for this frame
    INTERRUPTED = "interrupted"  # the run ended before the engine was asked
    NOT_LIVE = "not_live"  # the signal is frozen, changed, or no B-mode: such a frame gets no answer
    DAMAGED = "damaged"  # part of the frame, or of one that it is predicted from, was lost in transit
    OUT_OF_DOMAIN = "out_of_domain"  # the engine judged that the frame does not show what it was made for: it abstains


class SignalState(StrEnum):
    """State of a source's signal. Only on a live frame is anything drawn or measured."""

    LIVE = "live"
    FROZEN = "frozen"  # frames do not change: the scanner is frozen, or the grabber repeats a frame
    LOST = "lost"  # no frames: no device, no signal, or a blank one
    CHANGED = "changed"  # resolution, layout, depth or zoom are not what they were when the scan area was settled
    NOT_B_MODE = "not_b_mode"  # colour Doppler, a menu, or another number of views than in the profile
    DAMAGED = "damaged"  # part of it, or of a frame that it is predicted from, was lost in transit


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """State of a live source's signal.

    Attributes
    ----------
    state : of the signal
    reason : why it is not live, or a notice although it is; may be empty
    t_since_ns : monotonic ns since when that holds
    t_last_grab_ns : monotonic ns of the last screen received, None before the first
    reconnects : number of times the source was reopened
    skipped : screens that arrived faster than they could be processed
    """

    state: SignalState
    reason: str = ""
    t_since_ns: int = 0
    t_last_grab_ns: int | None = None
    reconnects: int = 0
    skipped: int = 0


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


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceInfo:
    """Properties of a stream that its source has before the first frame.

    Attributes
    ----------
    description : what it is, without any path or patient text
    image_hw_px : height and width of every ``Frame.image`` of this source
    channels : 1 for grey, 3 for RGB
    rate_hz : nominal frame rate, or None where it is not known
    frame_count : how many frames it will give, or None where that is not known
    roi_xyxy_px : where the crop lies in the grabbed screen
    grab_hw_px : height and width of the grabbed screen
    frame_count_estimate : about how many frames it will give, for a progress bar, where `frame_count` is not known
    """

    description: str
    image_hw_px: tuple[int, int]
    channels: int
    rate_hz: float | None
    frame_count: int | None
    roi_xyxy_px: tuple[int, int, int, int]
    grab_hw_px: tuple[int, int]
    frame_count_estimate: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FrameMetadata:
    """What messages and recordings hold of a frame, without its pixels. Its fields are defined here and nowhere else.

    How a field travels is in its metadata, see ``usassist/common/wire_fields.py``; "Add a field" in
    ``docs/bus.md`` has the steps.

    Attributes
    ----------
    frame_id : sequence number of the *source*, from 0; a gap is a drop
    t_capture_ns : monotonic ns at which the source delivered the frame; set once, copied everywhere
    roi_xyxy_px : where the crop lies in the grabbed screen, px
    spacing_rc_mm : mm per px, row step first; None when the frame is not calibrated
    spacing_rel_sd : relative standard uncertainty of the spacing; None exactly when the spacing is
    calibration_id : the geometry file the spacing came from; ``scale_by_ruler``, ``scale_by_dicom``
    pts, time_base : presentation stamp of the clip the frame came from
    t_decoded_ns, t_cropped_ns : monotonic ns at which the pixels were ready, and at which this frame was made of them;
        None where a source has done both before the frame was due
    picture : state of the signal; of a frame that is not live there is no answer
    picture_reason : why it is not live
    """

    frame_id: Int64
    t_capture_ns: Int64
    roi_xyxy_px: tuple[Int64, Int64, Int64, Int64]
    spacing_rc_mm: tuple[float, float] | None = None
    spacing_rel_sd: float | None = None
    calibration_id: str | None = None
    pts: Int64 | None = None
    time_base: Fraction | None = None
    t_decoded_ns: Int64 | None = field(default=None, metadata=travels(since=(1, 1)))
    t_cropped_ns: Int64 | None = field(default=None, metadata=travels(since=(1, 2)))
    picture: SignalState = field(default=SignalState.LIVE, metadata=travels(since=(1, 1)))
    picture_reason: str = field(default="", metadata=travels(since=(1, 1)))


_METADATA = tuple(item.name for item in fields(FrameMetadata))
_metadata_values = attrgetter(*_METADATA)


def frame_metadata(source: Any) -> dict[str, Any]:
    """The fields of :class:`FrameMetadata`, by name.

    Parameters
    ----------
    source : a frame, a line of a recording, or the body of a frame's message
    """
    return dict(zip(_METADATA, _metadata_values(source), strict=True))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frame(FrameMetadata):
    """One frame of a stream, cropped to the scan area.

    Attributes
    ----------
    session_id : the session it belongs to
    source_id : ``[a-z0-9_]+``, for example ``us0``
    image : uint8 (H, W) grey or (H, W, 3) RGB, C order, read-only
    text_xyxy_px : boxes of text and marks that the source has burnt into it, px of the image, x2 and y2
        exclusive; a recorder covers them, and looks for others
    """

    session_id: str
    source_id: str = field(metadata=travels(message=False))
    image: UInt8Array = field(metadata=travels(message=False))
    text_xyxy_px: tuple[tuple[Int64, Int64, Int64, Int64], ...] = field(default=(), metadata=travels(since=(1, 1)))

    def __post_init__(self) -> None:
        """Check every field and make the pixels read-only."""
        _require_identity(self.session_id, self.source_id, self.frame_id)
        image = _array(self.image, np.uint8, "image")
        if not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)):
            raise RecordError(f"image must be (H, W) or (H, W, 3), got {image.shape}")
        if not image.size:
            raise RecordError(f"image must not be empty, got {image.shape}")
        object.__setattr__(self, "image", image)
        x1, y1, x2, y2 = self.roi_xyxy_px
        if (y2 - y1, x2 - x1) != image.shape[:2]:
            raise RecordError(f"roi_xyxy_px {self.roi_xyxy_px} does not have the size of the image {image.shape[:2]}")
        if (self.spacing_rc_mm is None) != (self.spacing_rel_sd is None):
            raise RecordError(
                "spacing_rc_mm and spacing_rel_sd go together: a length without its uncertainty is not given"
            )
        spacing, rel_sd = self.spacing_rc_mm, self.spacing_rel_sd
        if spacing is not None and rel_sd is not None and not (min(spacing) > 0 and rel_sd >= 0):
            raise RecordError(f"spacing must be positive, got {spacing} with relative sd {rel_sd}")

    @property
    def image_hw_px(self) -> tuple[int, int]:
        """Height and width of the image, px."""
        return int(self.image.shape[0]), int(self.image.shape[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameLine(FrameMetadata):
    """One line of ``frames.jsonl``: a frame without its pixels, and where these are.

    Attributes
    ----------
    file : video file that holds the pixels
    channels : of the frame as it was published: 1 for grey, 3 for RGB
    covered_xyxy_px : boxes that the recorder covered, px of the image, x2 and y2 exclusive
    crc32 : of the frame as it is coded in the file; recordings before 2.1 have none
    """

    file: str
    channels: int
    covered_xyxy_px: tuple[tuple[Int64, Int64, Int64, Int64], ...] = field(
        default=(), metadata=travels(line="unless_default")
    )
    crc32: int | None = field(default=None, metadata=travels(line="unless_default"))

    @property
    def t_given_ns(self) -> int:
        """When the source had the frame ready, which is never before it was captured."""
        return max(self.t_capture_ns, self.t_decoded_ns or 0, self.t_cropped_ns or 0)


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
        xyxy = _array(self.xyxy_px, np.float32, "xyxy_px")
        score = _array(self.score, np.float32, "score")
        label_id = _array(self.label_id, np.int32, "label_id")
        track_id = _array(self.track_id, np.int32, "track_id")
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
        points = _array(self.contour_xy_px, np.float32, "contour_xy_px")
        start = _array(self.contour_start, np.int32, "contour_start")
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


class ApTState(StrEnum):
    """Whether a section is taller than wide: where the 95 % interval of its AP/T ratio lies."""

    TALLER = "taller"  # all of it above 1
    WIDER = "wider"  # all of it below 1
    UNCERTAIN = "uncertain"  # it includes 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Measurements:
    """Sizes of the outlines, one row per detection. What each is: ``docs/measurement.md``.

    Pixels are always there. Millimetres are there only on a calibrated frame, and then each with its expanded
    uncertainty (coverage factor 2, about 95 %; JCGM 100:2008, 6.2). The columns after ``area_u95_mm2`` came with
    ``result`` 1.5; they are None in what was recorded before.

    A section that the border of the scan cuts is at least as large as what is seen of it. Its longest diameter, AP and
    transverse extent, perimeter and area are lower bounds then; nothing else is said about it, see :meth:`row`.

    Attributes
    ----------
    major_px, minor_px : float32 (N,), longest diameter of the outline and the widest extent across it
    area_px2 : float32 (N,)
    major_mm, minor_mm, area_mm2 : float32 (N,), or None when the frame is not calibrated
    major_u95_mm, minor_u95_mm, area_u95_mm2 : float32 (N,), half-width of the 95 % interval, or None likewise
    ap_px, transverse_px : float32 (N,), extent along the beam (rows) and across it (columns)
    perimeter_px : float32 (N,)
    solidity : float32 (N,), area over that of the convex hull, 0 to 1
    total_curvature : float32 (N,), how far the smoothed outline turns, in full turns; 1 = convex
    ap_mm, transverse_mm, perimeter_mm : float32 (N,), or None when the frame is not calibrated
    ap_u95_mm, transverse_u95_mm, perimeter_u95_mm : float32 (N,), half-width of the 95 % interval, or None likewise
    ap_t_low, ap_t_high : float32 (N,), 95 % interval of the AP/T ratio, or None likewise: without a scale pixels
        need not be square
    cut : uint8 (N,), 1 where the outline touches the border of the scan
    """

    major_px: Float32Array
    minor_px: Float32Array
    area_px2: Float32Array
    major_mm: Float32Array | None = None
    minor_mm: Float32Array | None = None
    area_mm2: Float32Array | None = None
    major_u95_mm: Float32Array | None = None
    minor_u95_mm: Float32Array | None = None
    area_u95_mm2: Float32Array | None = None
    ap_px: Float32Array | None = None
    transverse_px: Float32Array | None = None
    perimeter_px: Float32Array | None = None
    solidity: Float32Array | None = None
    total_curvature: Float32Array | None = None
    ap_mm: Float32Array | None = None
    transverse_mm: Float32Array | None = None
    perimeter_mm: Float32Array | None = None
    ap_u95_mm: Float32Array | None = None
    transverse_u95_mm: Float32Array | None = None
    perimeter_u95_mm: Float32Array | None = None
    ap_t_low: Float32Array | None = None
    ap_t_high: Float32Array | None = None
    cut: UInt8Array | None = None

    PIXEL_COLUMNS: ClassVar[tuple[str, ...]] = ("major_px", "minor_px", "area_px2")
    MILLIMETRE_COLUMNS: ClassVar[tuple[str, ...]] = (
        "major_mm",
        "minor_mm",
        "area_mm2",
        "major_u95_mm",
        "minor_u95_mm",
        "area_u95_mm2",
    )
    SHAPE_COLUMNS: ClassVar[tuple[str, ...]] = ("ap_px", "transverse_px", "perimeter_px", "solidity", "total_curvature")
    SHAPE_MILLIMETRE_COLUMNS: ClassVar[tuple[str, ...]] = (
        "ap_mm",
        "transverse_mm",
        "perimeter_mm",
        "ap_u95_mm",
        "transverse_u95_mm",
        "perimeter_u95_mm",
        "ap_t_low",
        "ap_t_high",
    )
    COLUMNS: ClassVar[tuple[str, ...]] = (
        *PIXEL_COLUMNS,
        *MILLIMETRE_COLUMNS,
        *SHAPE_COLUMNS,
        *SHAPE_MILLIMETRE_COLUMNS,
        "cut",
    )

    def __post_init__(self) -> None:
        """Check that all columns have one length, and that mm never come without their uncertainty."""
        count = len(self.major_px)
        for names in (self.MILLIMETRE_COLUMNS, self.SHAPE_COLUMNS, self.SHAPE_MILLIMETRE_COLUMNS):
            given = [name for name in names if getattr(self, name) is not None]
            if len(given) not in (0, len(names)):
                raise RecordError(
                    f"{', '.join(names)} come together, so that mm come with their uncertainty or not at all, got only "
                    f"{', '.join(given)}"
                )
        if self.ap_mm is not None and (self.major_mm is None or self.ap_px is None):
            raise RecordError("ap_mm comes with major_mm and ap_px, or not at all")
        arrays = {}
        for name in self.COLUMNS:
            if (column := getattr(self, name)) is None:
                continue
            array = _array(column, np.uint8 if name == "cut" else np.float32, name)
            if array.shape != (count,):
                raise RecordError(f"{name} must be ({count},), got {array.shape}")
            arrays[name] = array
            object.__setattr__(self, name, array)
        together = np.concatenate(list(arrays.values()), dtype=np.float32)
        if not (np.isfinite(together).all() and (together >= 0).all()):
            wrong = [name for name, array in arrays.items() if not ((array >= 0) & np.isfinite(array)).all()]
            raise RecordError(f"{', '.join(wrong)} must be finite and not negative")

    def __len__(self) -> int:
        """How many detections are measured."""
        return len(self.major_px)

    @property
    def calibrated(self) -> bool:
        """True when the sizes are also given in mm."""
        return self.major_mm is not None

    @property
    def ap_t(self) -> Float32Array | None:
        """AP over transverse extent, float32 (N,): of mm where there are mm, else of px as if they were square."""
        ap, transverse = (self.ap_px, self.transverse_px) if self.ap_mm is None else (self.ap_mm, self.transverse_mm)
        return None if ap is None or transverse is None else ap / transverse

    @property
    def equivalent_px(self) -> Float32Array:
        """Diameter of the circle of the same area, float32 (N,)."""
        return _equivalent(self.area_px2)

    @property
    def equivalent_mm(self) -> Float32Array | None:
        """As `equivalent_px`, in mm; None when the frame is not calibrated."""
        return None if self.area_mm2 is None else _equivalent(self.area_mm2)

    @property
    def equivalent_u95_mm(self) -> Float32Array | None:
        """Half-width of the 95 % interval of `equivalent_mm`, which follows from that of the area."""
        if self.area_mm2 is None or self.area_u95_mm2 is None:
            return None
        return _equivalent(self.area_mm2) * self.area_u95_mm2 / (2.0 * self.area_mm2)

    def is_cut(self, row: int) -> bool:
        """True when the border of the scan cuts the section, so that its sizes are lower bounds."""
        return self.cut is not None and bool(self.cut[row])

    def ap_t_state(self, row: int) -> ApTState | None:
        """Whether one section is taller than wide; None where it is cut, or there is no scale."""
        if self.ap_t_low is None or self.ap_t_high is None or self.is_cut(row):
            return None
        if self.ap_t_low[row] > 1.0:
            return ApTState.TALLER
        return ApTState.WIDER if self.ap_t_high[row] < 1.0 else ApTState.UNCERTAIN

    def row(self, row: int) -> dict[str, float | bool | str | None]:
        """Everything about one section, by name; None where it is not known.

        Of a section that is cut, an interval, the extent across the longest diameter, the AP/T ratio and the shape of
        the outline are not known.
        """
        names = self.PIXEL_COLUMNS + self.MILLIMETRE_COLUMNS
        values: dict[str, float | bool | str | None] = {name: _at(getattr(self, name), row) for name in names}
        if self.ap_px is not None:
            shape = self.SHAPE_COLUMNS + (self.SHAPE_MILLIMETRE_COLUMNS if self.calibrated else ())
            values |= {name: _at(getattr(self, name), row) for name in (*shape, *_DERIVED, "ap_t")}
            values["ap_t_state"] = None if (state := self.ap_t_state(row)) is None else str(state)
        if self.cut is not None:
            values["cut"] = self.is_cut(row)
        if self.is_cut(row):
            values |= {name: None for name in values if name not in _LOWER_BOUNDS}
        return values

    @classmethod
    @cache
    def empty(cls) -> Measurements:
        """Nothing to measure."""
        nothing = np.empty(0, np.float32)
        return cls(major_px=nothing, minor_px=nothing, area_px2=nothing)


_DERIVED = ("equivalent_px", "equivalent_mm", "equivalent_u95_mm")
_LOWER_BOUNDS = frozenset(
    ["cut", "area_px2", "area_mm2"]
    + [f"{name}_{unit}" for name in ("major", "ap", "transverse", "perimeter", "equivalent") for unit in ("px", "mm")]
)


def _equivalent(area: Float32Array) -> Float32Array:
    diameter: Float32Array = np.sqrt(area * np.float32(4.0 / np.pi))
    return diameter


def _at(column: Float32Array | None, row: int) -> float | None:
    return None if column is None else float(column[row])


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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answer:
    """The answer of an engine's modality for one frame: one row each per detection, descriptors where estimated.

    Attributes
    ----------
    detections, segmentation, measurements, descriptors : see :class:`Result`
    domain_prob : probability that the frame shows what the engine was made for; None = it does not judge that
    abstains : why the engine abstains, in words; there is nothing else then, and it does not mean that nothing was
        found. Empty = it answers
    """

    detections: Detections = field(default_factory=Detections.empty)
    segmentation: Segmentation = field(default_factory=Segmentation.empty)
    measurements: Measurements = field(default_factory=Measurements.empty)
    descriptors: Descriptors = ()
    domain_prob: float | None = None
    abstains: str = ""

    def __post_init__(self) -> None:
        """Check that an engine that abstains has found nothing."""
        if self.abstains and len(self.detections):
            raise RecordError(f"an engine that abstains cannot give {len(self.detections)} detections")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Result:
    """One answer about one frame, or the reason why there is none.

    Attributes
    ----------
    session_id, source_id, frame_id, t_capture_ns : copied from the frame
    t_infer_start_ns, t_infer_end_ns : monotonic ns around everything from pixels to answer; None when the engine was
        not asked
    t_input_ns, t_output_ns : monotonic ns around the engine's own call within that; None where it was not reached
    engine_id, backend : what answered, or would have
    calibration_id : the geometry file that the millimetres rest on
    image_hw_px : height and width of the frame's image
    frames_dropped : frames overwritten in the capture slot since the previous result that the engine was asked for
    state : see :class:`ResultState`
    cause, reason : why there is no answer; set exactly when ``state`` is ``no_result`` or ``stale``
    detections, segmentation, measurements : one row each per detection
    descriptors : see :data:`Descriptors`; only in state ``finding``, a late answer is not described
    follows_frame_id : the last frame before it that it depends on, where findings are associated over frames; None =
        on its own frame alone
    """

    session_id: str = field(metadata=travels(line="never"))
    source_id: str = field(metadata=travels(message=False, line="never"))
    frame_id: Int64
    t_capture_ns: Int64
    t_infer_start_ns: Int64 | None
    t_infer_end_ns: Int64 | None
    engine_id: str
    backend: str
    calibration_id: str | None
    image_hw_px: tuple[Int64, Int64]
    frames_dropped: Int64
    state: ResultState
    cause: Cause | None = None
    reason: str = ""
    detections: Detections = field(default_factory=Detections.empty, metadata=travels(message=False, line="never"))
    segmentation: Segmentation = field(
        default_factory=Segmentation.empty, metadata=travels(message=False, line="never")
    )
    measurements: Measurements = field(
        default_factory=Measurements.empty, metadata=travels(message=False, line="never")
    )
    descriptors: Descriptors = field(default=(), metadata=travels(since=(1, 1), line="never"))
    t_input_ns: Int64 | None = field(default=None, metadata=travels(since=(1, 2), line="always"))
    t_output_ns: Int64 | None = field(default=None, metadata=travels(since=(1, 2), line="always"))
    follows_frame_id: Int64 | None = field(default=None, metadata=travels(since=(1, 4)))

    @property
    def is_verdict(self) -> bool:
        """True where the engine's own verdict on the frame stands: an answer, or that it abstains."""
        return self.state.is_answer or self.cause is Cause.OUT_OF_DOMAIN

    def __post_init__(self) -> None:
        """Check that state, cause and content agree."""
        _require_identity(self.session_id, self.source_id, self.frame_id)
        count = len(self.detections)
        if len(self.segmentation) != count or len(self.measurements) != count:
            raise RecordError(
                f"{count} detections, {len(self.segmentation)} outlines and {len(self.measurements)} measurements: "
                "there must be one of each per detection"
            )
        if self.state.is_answer:
            if self.cause is not None or self.reason:
                raise RecordError(
                    f"a result in state {self.state} has no cause and no reason, got {self.cause} {self.reason!r}"
                )
            if self.t_infer_start_ns is None or self.t_infer_end_ns is None:
                raise RecordError(f"a result in state {self.state} must have the times of the engine")
        else:
            if self.cause is None or not self.reason:
                raise RecordError(f"a result in state {self.state} must have a cause and a reason")
            if self.cause is Cause.OUT_OF_DOMAIN and self.state is not ResultState.NO_RESULT:
                raise RecordError(f"an engine that abstains gives no result, got state {self.state}")
        if self.state is ResultState.FINDING and not count:
            raise RecordError("state finding needs at least one detection")
        if self.state in (ResultState.NO_FINDING, ResultState.NO_RESULT) and count:
            raise RecordError(f"state {self.state} cannot carry detections")
        if self.follows_frame_id is not None and not 0 <= self.follows_frame_id < self.frame_id:
            raise RecordError(f"frame {self.frame_id} cannot follow frame {self.follows_frame_id}")
        if self.descriptors:
            if self.state is not ResultState.FINDING:
                raise RecordError(f"state {self.state} cannot carry descriptors")
            if len(self.descriptors) != count:
                raise RecordError(
                    f"{count} detections and {len(self.descriptors)} entries of descriptors: there must be one entry "
                    "per detection, or none at all"
                )
            for entry in self.descriptors:
                names = [descriptor.name for descriptor in entry]
                if len(set(names)) != len(names):
                    raise RecordError(f"a nodule has a descriptor twice: {', '.join(names)}")
        if count:
            height_px, width_px = self.image_hw_px
            xyxy = self.detections.xyxy_px
            if (xyxy < 0).any() or (xyxy[:, 2] > width_px).any() or (xyxy[:, 3] > height_px).any():
                raise RecordError(f"every box must lie inside the image of {height_px} x {width_px} px")


def _require_identity(session_id: str, source_id: str, frame_id: int) -> None:
    if not session_id:
        raise RecordError("session_id must not be empty")
    if not _SOURCE_ID.fullmatch(source_id):
        raise RecordError(f"source_id must match [a-z0-9_]+, got {source_id!r}")
    if frame_id < 0:
        raise RecordError(f"frame_id must not be negative, got {frame_id}")


def _array(value: Any, dtype: Any, name: str) -> npt.NDArray[Any]:
    """Check the dtype, and give a C-ordered read-only array; pixels are copied only when they are not in C order."""
    if not isinstance(value, np.ndarray):
        raise RecordError(f"{name} must be a numpy array, got {type(value).__name__}")
    if value.dtype != dtype:
        raise RecordError(f"{name} must be {np.dtype(dtype)}, got {value.dtype}")
    array: npt.NDArray[Any] = np.ascontiguousarray(value) if value.ndim else value
    if array.flags.writeable:
        array = array.view()
        array.flags.writeable = False
    return array
