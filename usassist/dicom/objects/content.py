"""What a recorded sweep holds, as the DICOM objects need it. They refer to each other by the UIDs that are made here.

Lengths are mm and px, areas mm² and px²; ``u95`` is the half-width of the 95 % interval. Points are ``(x, y)`` in px of
the image, the centre of the first pixel at (0.5, 0.5), as in recordings. What is not known is None.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from usassist.dicom.study import StudyContext
from usassist.dicom.uids import derived_uid

__all__ = [
    "ULTRASOUND_MULTI_FRAME",
    "AnsweredFrame",
    "CinePart",
    "Dimensions",
    "EngineUsed",
    "FrameNodule",
    "FrameReference",
    "NoduleSection",
    "Quantity",
    "Size",
    "SweepContent",
    "SweepFrame",
    "SweepNodule",
    "Unanswered",
]

ULTRASOUND_MULTI_FRAME = "1.2.840.10008.5.1.4.1.1.3.1"
"""SOP class of the cine (DICOM PS3.4 table B.5-1)."""

Image = npt.NDArray[np.uint8]
Point = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """One length or area of an outline: px (or px²), and with a scale mm (or mm²) with `u95_mm`."""

    px: float
    mm: float | None
    u95_mm: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """A value with the half-width of its 95 % interval."""

    value: float
    u95: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FrameNodule:
    """A nodule that was outlined on one frame.

    Attributes
    ----------
    row : its place in the frame's answer, from 0
    track_id : its identity over the sweep; -1 = none
    label : of the engine
    score : 0 to 1
    box_xyxy_px : x2 and y2 exclusive
    contour_xy_px : float32 (N, 2), closed, through the centres of the outermost pixels
    major_ends_xy_px, minor_ends_xy_px : ends of the longest diameter and of the one across it; None where not recorded
    sizes : ``longest_diameter``, ``across``, ``ap``, ``transverse``, ``equivalent_diameter``, ``perimeter``, ``area``;
        only those that are known: a nodule that the border of the scan cuts has lower bounds, or none
    cut : the border of the scan cuts it, so that its sizes are lower bounds; None = not looked for
    ap_t : AP over transverse extent, `ap_t_low` and `ap_t_high` its interval
    descriptors : of each ``name``, ``value``, ``probability``, and ``basis``, ``agreement`` where recorded
    """

    row: int
    track_id: int
    label: str | None
    score: float
    box_xyxy_px: tuple[float, float, float, float]
    contour_xy_px: npt.NDArray[np.float32]
    major_ends_xy_px: tuple[Point, Point] | None
    minor_ends_xy_px: tuple[Point, Point] | None
    sizes: Mapping[str, Size]
    cut: bool | None
    ap_t: float | None = None
    ap_t_low: float | None = None
    ap_t_high: float | None = None
    descriptors: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AnsweredFrame:
    """The result of one frame: an answer, or why there is none.

    Attributes
    ----------
    state : ``finding``, ``no_finding``, ``no_result``, ``stale``; ``missing`` where the recording has no result of it
    cause, reason : why there is no answer; empty where there is one
    engine_id, backend : that answered, or would have
    nodules : of an answer
    """

    state: str
    cause: str = ""
    reason: str = ""
    engine_id: str = ""
    backend: str = ""
    nodules: tuple[FrameNodule, ...] = ()

    @property
    def is_answer(self) -> bool:
        """True where the engine has answered."""
        return self.state in ("finding", "no_finding")


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepFrame:
    """One frame whose pixels are there.

    Attributes
    ----------
    frame_id : number of the source; a gap is a frame that is missing
    t_ms : when it was, from the first frame of the session
    hw_px, channels : of its image; 1 = grey, 3 = RGB
    spacing_rc_mm, spacing_rel_sd, calibration_id : mm per px, row step first, with its relative standard uncertainty;
        None where the frame has no scale
    picture, picture_reason : state of the signal; of a frame that is not ``live`` there is no answer
    """

    frame_id: int
    t_ms: float
    hw_px: tuple[int, int]
    channels: int
    spacing_rc_mm: tuple[float, float] | None
    spacing_rel_sd: float | None
    calibration_id: str | None
    picture: str = "live"
    picture_reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoduleSection:
    """A nodule on the frame of one of its planes.

    Attributes
    ----------
    frame_index, row : of the frame in the sweep, and of the nodule in its answer
    plane : ``transverse`` or ``longitudinal`` where a person has marked it
    side : as marked
    """

    frame_index: int
    row: int
    plane: str | None
    side: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dimensions:
    """Three diameters from two orthogonal planes, and the volume of the ellipsoid."""

    length_mm: Quantity
    width_mm: Quantity
    depth_mm: Quantity
    volume_ml: Quantity


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepNodule:
    """A nodule over the sweep, as the report of the sweep lists it; or a run of frames with findings without identity.

    Attributes
    ----------
    track_id, name : its identity, and ``N1``, ``N2``, …; -1 and empty of a run, which is not a nodule
    label : of the engine
    frames, frames_cut : on how many frames it was outlined, and on how many of them cut by the border
    first_frame_index, last_frame_index : where it was seen first and last
    best, transverse, longitudinal : its planes; the last two where a person has marked such a plane
    dimensions : where both planes are there, whole and with a scale
    descriptors : of each ``name``, ``basis``, ``words``, ``probability``, ``same_in_frames``, ``agreement``
    categories : of each ``system_id``, ``name``, ``edition``, ``source``, ``level``, ``meaning``, ``points``,
        ``missing``, ``reason``; ``level`` is None where there is none
    """

    track_id: int
    name: str
    label: str | None
    frames: int
    frames_cut: int
    first_frame_index: int
    last_frame_index: int
    best: NoduleSection
    transverse: NoduleSection | None = None
    longitudinal: NoduleSection | None = None
    dimensions: Dimensions | None = None
    descriptors: tuple[Mapping[str, Any], ...] = ()
    categories: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Unanswered:
    """Frames with one cause why they have no answer (or one state of the signal): how many, and how long, s."""

    name: str
    frames: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineUsed:
    """What answered.

    Attributes
    ----------
    engine_id, version, backend, precision : of the engine; empty where no engine was announced
    intended_use : in the words of the engine
    software_version : of usassist, that recorded
    weights_sha256 : of the weights that were loaded; empty = not recorded
    point : operating point
    score_calibration_id : what made the scores probabilities; empty = they are raw
    manufacturer : of the program
    research_use : statement that stands in every object
    """

    engine_id: str
    version: str
    backend: str
    precision: str
    intended_use: str
    software_version: str
    weights_sha256: str = ""
    point: str = ""
    score_calibration_id: str = ""
    manufacturer: str = "usassist"
    research_use: str = "Research use only; not a medical device."


@dataclass(frozen=True, slots=True, kw_only=True)
class CinePart:
    """Frames that one cine object holds: those of one size and kind of pixels, in order.

    Attributes
    ----------
    number : from 1
    frame_indices : of its frames in the sweep
    """

    number: int
    frame_indices: Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameReference:
    """A frame of a cine object: SOP class and instance, series, and the frame's number from 1."""

    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    frame_number: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class SweepContent:
    """Everything that the objects of one sweep are made of.

    Attributes
    ----------
    study : that the objects belong to, with or without identity
    session_id : of the recording
    fingerprint : of its content, so that a part or a repaired copy of a session has objects of its own
    begun_utc : when it began, ISO 8601
    state : how the stream ended: ``ended``, ``interrupted``, ``failed``
    engine : what answered
    frames : those whose pixels are there, in order
    images : the images of `frames`, in order, as ``(index in frames, image)``; uint8 (H, W) or (H, W, 3) RGB. Each call
        reads them anew, and only one is in memory
    answers : result of each of `frames`; an item is read when it is asked for
    nodules, untracked : what the sweep comes to; `untracked` where findings have no identity
    not_shown : how many of these are left out, because the pixels of their best plane are lost
    not_listed : identities that the report of the sweep counts and does not list
    parts : how `frames` are divided into cine objects
    text_free : the search for burnt-in text covered every frame, and found none left
    unanswered, not_live : frames without an answer, by cause; and without a live signal, by state
    answered_frames, finding_frames, no_finding_frames : how many
    answered_s, length_s : how long
    frames_lost, pixels_lost, results_lost : how many are missing
    marks : of each ``kind``, ``frame_id``, and what its kind has
    drawings : the images of `frames` with their results drawn on them, in order, as `images`: uint8 (H, W, 3) RGB
    utc_offset_min : offset of the local times in the objects, minutes east of UTC
    source : what the frames came from, in words, without any path or text of a patient
    source_lossy : the source had compressed its images with loss; None = not known
    covered_frames : frames in which burnt-in text was covered when they were recorded
    made_by_version : of the usassist that makes the objects, which may be another than the one that recorded
    """

    study: StudyContext
    session_id: str
    fingerprint: str
    begun_utc: str
    state: str
    engine: EngineUsed
    frames: Sequence[SweepFrame]
    images: Callable[[], Iterator[tuple[int, Image]]]
    answers: Sequence[AnsweredFrame]
    nodules: tuple[SweepNodule, ...]
    untracked: tuple[SweepNodule, ...]
    parts: tuple[CinePart, ...]
    text_free: bool
    not_shown: int = 0
    not_listed: int = 0
    unanswered: tuple[Unanswered, ...] = ()
    not_live: tuple[Unanswered, ...] = ()
    answered_frames: int = 0
    finding_frames: int = 0
    no_finding_frames: int = 0
    answered_s: float = 0.0
    length_s: float = 0.0
    frames_lost: int = 0
    pixels_lost: int = 0
    results_lost: int = 0
    marks: tuple[Mapping[str, Any], ...] = ()
    drawings: Callable[[], Iterator[tuple[int, Image]]] | None = None
    utc_offset_min: int = 0
    source: str = ""
    source_lossy: bool | None = None
    covered_frames: int = 0
    made_by_version: str = ""
    _place: dict[int, tuple[CinePart, int]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Note where each frame is."""
        for part in self.parts:
            for number, index in enumerate(part.frame_indices, 1):
                self._place[index] = (part, number)

    def uid(self, kind: str, *parts: str | int) -> str:
        """SOP instance UID of an object of this sweep: ``uid("report")``, ``uid("seg", track_id, frame_id)``.

        The same content in the same study has the same UIDs whenever it is exported.
        """
        return self._derived("instance", kind, *parts)

    def series_uid(self, kind: str) -> str:
        """Series instance UID of the objects of one kind."""
        return self._derived("series", kind)

    def cine_uid(self, part: CinePart) -> str:
        """SOP instance UID of the cine object that holds a part."""
        return self.uid("cine", part.number)

    def reference(self, frame_index: int) -> FrameReference:
        """Where a frame is in the cine objects.

        Parameters
        ----------
        frame_index : in `frames`
        """
        part, number = self._place[frame_index]
        return FrameReference(
            sop_class_uid=ULTRASOUND_MULTI_FRAME,
            sop_instance_uid=self.cine_uid(part),
            series_instance_uid=self.series_uid("cine"),
            frame_number=number,
        )

    def _derived(self, *parts: str | int) -> str:
        return derived_uid(
            "object",
            self.study.study_instance_uid,
            self.session_id,
            self.fingerprint,
            self.made_by_version,  # another one may put something else into an object, which then is another object
            *(str(part) for part in parts),
        )
