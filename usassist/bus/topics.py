"""The table of topics. Everything about a topic that code needs is derived from here.

======== ================ ======= ========== ======== ===== ====================================================
topic    schema           version rate, Hz   recorded lane  body
======== ================ ======= ========== ======== ===== ====================================================
frame    usassist.frame   1.4     of source  yes      frame fields of ``Frame``; buffer ``image``
result   usassist.result  1.6     of source  yes      event fields of ``Result``; its arrays as buffers
engine   usassist.engine  1.5     1          yes      event what it is, labels, points, association, tracking, domain
session  usassist.session 1.4     1          yes      event what is being streamed, whether it still runs, its signal
health   usassist.health  1.1     2          yes      event counts, drops and latency of a process
mark     usassist.mark    1.1     on event   yes      event what a person marked on a frame, or said of a nodule
control  usassist.control 1.0     on event   yes      event what a person asked of the session, and what came of it
======== ================ ======= ========== ======== ===== ====================================================

A version is ``(major, minor)``. Minor: a field is added, with a default, and readers ignore what they do not know; or a
word to a closed list, such as the causes, and a reader from before drops a message with it and counts it as malformed.
Major: anything else. The major version is part of the topic on the wire, so a reader can refuse, before it reads on,
bytes that it does not understand. Messages that must reach late joiners (``engine``, ``session``) repeat once a second.
``mark``, ``control`` and the health of other processes reach the stream through its inbox, and it publishes them like
its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import msgspec

from usassist.bus.control import ControlBody
from usassist.common.wire_fields import Int64, message_struct
from usassist.records import Descriptor, Frame, Result, SignalState

__all__ = [
    "TOPICS",
    "AssociationBody",
    "DescriptorBody",
    "EngineBody",
    "FrameBody",
    "HealthBody",
    "LabelBody",
    "Lane",
    "MarkBody",
    "MarkKind",
    "Plane",
    "PointBody",
    "PointSetBody",
    "ResultBody",
    "SessionBody",
    "SessionState",
    "Side",
    "SignalBody",
    "StageBody",
    "Topic",
    "TrackingBody",
    "TrackingClock",
]

Lane = Literal["frame", "event"]


class SessionState(StrEnum):
    """Where a stream stands."""

    RUNNING = "running"
    ENDED = "ended"  # the source came to its end
    INTERRUPTED = "interrupted"  # it was stopped
    FAILED = "failed"  # the source or the stream failed; see `reason`


# The fields of these three are defined in ``records/``; see "Add a field" in ``docs/bus.md``.
FrameBody = message_struct("FrameBody", Frame)
DescriptorBody = message_struct("DescriptorBody", Descriptor, omit_defaults=True)
ResultBody = message_struct("ResultBody", Result)


class LabelBody(msgspec.Struct, frozen=True, kw_only=True):
    """One label of an engine; see ``records.LabelSpec``."""

    id: Int64
    name: str
    scheme: str
    value: str
    meaning: str
    color_rgb: tuple[Int64, Int64, Int64]
    score_threshold: float


class PointSetBody(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured at an operating point on one set of frames; see ``calibrate.PointFigures``.

    ``shows`` says what the frames are, in words, for example ``one older scanner (DDTI)``; empty where the engine does
    not tell. Of frames without any nodule there are alarms alone, of others the rest. It came with ``engine`` 1.5.
    """

    name: str
    frames: Int64
    shows: str = ""
    sensitivity: float | None = None
    false_positives_per_frame: float | None = None
    alarms_per_negative_frame: float | None = None

    @property
    def words(self) -> str:
        """Which frames they are, for display."""
        return f"{self.frames} of {self.shows or self.name}"


class PointBody(msgspec.Struct, frozen=True, kw_only=True):
    """The operating point that an engine is cut at; see ``calibrate.OperatingPoint``.

    ``sets`` are the frames that the figures come from; each set counts alike in them. They came with ``engine`` 1.5.
    """

    name: str
    sensitivity: float
    false_positives_per_frame: float
    alarms_per_negative_frame: float | None = None
    sets: tuple[PointSetBody, ...] = ()

    @property
    def words(self) -> str:
        """Name, figures, and the frames that they come from, for display.

        Findings are rounded down, false alarms up.
        """
        found, alarms = math.floor(100.0 * self.sensitivity + 1e-6), _rounded_up(self.false_positives_per_frame)
        text = f"{self.name}: finds {found} of 100 nodules, {alarms} false alarms per frame"
        if self.alarms_per_negative_frame is not None:
            text += f", {_rounded_up(self.alarms_per_negative_frame)} on frames without a nodule"
        if not self.sets:
            return f"{text} (validation frames)"
        frames = [one.words for one in self.sets]
        return f"{text}; on validation frames: {', '.join(frames)}"


def _rounded_up(rate: float) -> str:
    return f"{math.ceil(100.0 * rate - 1e-6) / 100.0:g}"


class AssociationBody(msgspec.Struct, frozen=True, kw_only=True):
    """How findings are associated over frames; see ``calibrate.AssociationRule``."""

    alone: float
    rise: float
    release: float
    frames: Int64
    iou: float

    @property
    def words(self) -> str:
        """For display."""
        return (
            f"over {self.frames} frame{'s' * (self.frames != 1)}: shown from {self.alone:g} at once, from "
            f"{self.rise:g} where it was seen before, from {self.release:g} where it was shown before"
        )


class TrackingClock(StrEnum):
    """What tells a tracker how far apart two frames are."""

    CAPTURE_TIME = "capture_time"  # the stamps of the frames
    FRAME_NUMBER = "frame_number"  # their numbers, at 30 a second: the stamps say nothing of the source
    RECORDED_TIME = "recorded_time"  # the stamps that a recording had, of which this is a rerun


class TrackingBody(msgspec.Struct, frozen=True, kw_only=True):
    """How findings get their ``track_id``.

    ``rule`` is the name of the tracker's rule, with a number that grows wherever the same frames may get other ids.
    """

    rule: str
    clock: TrackingClock


class EngineBody(msgspec.Struct, frozen=True, kw_only=True):
    """Body of ``engine``.

    ``score_calibration_id`` names the calibration of the scores, and ``point`` is where they are cut; thresholds and
    scores of results are calibrated then. Both are None where scores are not calibrated.
    ``descriptor_agreement`` holds, by the name of each descriptor that results may carry, how well it agreed with
    readers, in words and numbers. It is the same for every nodule, so it is here and not in each result; it must be
    shown wherever a descriptor is shown.
    ``note`` reports background work, for example that a plan is being built, and why the back end changed.
    It came with 1.2.
    ``domain`` names what the frames show that the engine was made for; it abstains on others, with the cause
    ``out_of_domain``. Empty where it never abstains. It came with 1.3.
    ``association`` is set where findings are associated over the frames of the stream, so that a result depends on the
    frames before it. It came with 1.3.
    ``tracking`` is set where findings are tracked; without it every ``track_id`` is -1. It came with 1.4.
    ``points`` are the operating points that can be chosen, ``point`` among them; empty where scores are not calibrated,
    and in messages from before 1.5.
    """

    engine_id: str
    backend: str
    labels: tuple[LabelBody, ...]
    intended_use: str
    score_calibration_id: str | None = None
    point: PointBody | None = None
    descriptor_agreement: dict[str, str] = {}
    note: str = ""
    domain: str = ""
    association: AssociationBody | None = None
    tracking: TrackingBody | None = None
    points: tuple[PointBody, ...] = ()


class SignalBody(msgspec.Struct, frozen=True, kw_only=True):
    """State of a live source's signal; the fields of ``records.Signal``."""

    state: SignalState
    reason: str = ""
    t_since_ns: Int64 = 0
    t_last_grab_ns: Int64 | None = None
    reconnects: Int64 = 0
    skipped: Int64 = 0


class SessionBody(msgspec.Struct, frozen=True, kw_only=True):
    """Body of ``session``.

    ``source`` is a description without path or patient text. ``frame_count`` is how many frames the source will give,
    where that is known; ``last_frame_id`` is the last one published, -1 before the first. ``image_hw_px`` is (0, 0) of
    a live source that has not given a frame yet. ``signal`` is set for live sources only, and a change of it is
    published at once; it came with 1.1, its state ``damaged`` with 1.2. ``scale_note`` is why frames have no scale,
    or why one that was set by hand was refused; it is published at once as well, and came with 1.3.
    ``kind`` is ``live``, ``clip`` or ``simulated``, empty where it is not stated, and ``replayed`` says that all of it
    is played from a recording; both came with 1.4.
    """

    session_id: str
    state: SessionState
    source: str
    image_hw_px: tuple[Int64, Int64]
    rate_hz: float | None
    frame_count: Int64 | None
    calibration_id: str | None
    last_frame_id: Int64
    realtime: bool
    max_age_ms: float
    reason: str = ""
    signal: SignalBody | None = None
    scale_note: str = ""
    kind: str = ""
    replayed: bool = False


class StageBody(msgspec.Struct, frozen=True, kw_only=True):
    """Latencies of one stage since the start; see ``usassist.common.latency``."""

    count: Int64
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float


class HealthBody(msgspec.Struct, frozen=True, kw_only=True):
    """Body of ``health``, of one process. Counts are since its start.

    ``process`` is ``stream``, ``record``, ``overlay`` or ``panel``; a reader selects by it. ``rate_hz`` to
    ``latency_p95_ms`` (capture to publication, over the last seconds) are the stream's. The rest came with 1.1:
    ``stages`` by name, ``cpu_s`` and ``rss_bytes`` of the process, and of a recorder the bytes written, the free
    space, and whether it is ``running`` or why it has stopped.
    """

    process: str
    frames: Int64
    answered: Int64
    dropped: Int64
    by_state: dict[str, Int64]
    rate_hz: float | None
    latency_p50_ms: float | None
    latency_p95_ms: float | None
    last_error: str = ""
    stages: dict[str, StageBody] = {}
    cpu_s: float | None = None
    rss_bytes: Int64 | None = None
    recorded_bytes: Int64 | None = None
    free_bytes: Int64 | None = None
    recording: str = ""


class MarkKind(StrEnum):
    """Kinds of marks. There is no free text: a note could name a patient."""

    BOOKMARK = "bookmark"  # to be found again
    WRONG = "wrong"  # the answer is wrong
    MISSED = "missed"  # a nodule was missed
    PLANE = "plane"  # which plane the frame shows, and on which side of the neck
    DESCRIPTORS = "descriptors"  # what a clinician has confirmed about one nodule
    SCALE = "scale"  # two points on the frame, and their distance in mm


class Plane(StrEnum):
    """Plane of a scan."""

    TRANSVERSE = "transverse"
    LONGITUDINAL = "longitudinal"


class Side(StrEnum):
    """Part of the thyroid, as the patient sees it."""

    RIGHT = "right"
    LEFT = "left"
    ISTHMUS = "isthmus"


class MarkBody(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Body of ``mark``: a mark on a frame, and when it was made (monotonic ns).

    Of the rest, which came with 1.1, a kind has its own fields and no other. A later mark of a kind replaces an earlier
    one about the same nodule (descriptors) or frame (plane, scale).

    ``plane`` has at least one of ``plane`` and ``side``. It holds from its frame on until the next such mark, or until
    the image changes: a frame that does not go on where the one before it left off (``frames.continuity``), or whose
    signal is lost, changed or not B-mode. It replaces an earlier one whole: what it leaves out is not known from its
    frame on, and before the first one nothing is known. ``descriptors`` has ``track_id`` and ``descriptors``: name of
    the descriptor → the words that were confirmed, of which only echogenic foci may have several. ``scale`` has
    ``points_xy_px`` in image coordinates and ``distance_mm``, the distance between them.
    """

    session_id: str
    frame_id: Int64
    kind: MarkKind
    t_mark_ns: Int64
    track_id: Int64 = -1
    plane: Plane | None = None
    side: Side | None = None
    descriptors: dict[str, tuple[str, ...]] = {}
    points_xy_px: tuple[tuple[float, float], tuple[float, float]] | None = None
    distance_mm: float | None = None

    def __post_init__(self) -> None:
        """Check that a mark has what its kind needs, and nothing else; a ``ValueError`` makes a message malformed."""
        given = {name for name, default in _MARK_DEFAULTS.items() if getattr(self, name) != default}
        needed, allowed = _MARK_FIELDS.get(self.kind, (set(), set()))
        if not needed <= given or not given <= allowed or (self.kind is MarkKind.PLANE and not given):
            raise ValueError(f"a mark {self.kind} needs {sorted(needed or allowed)}, got {sorted(given)}")
        if self.distance_mm is not None and not (math.isfinite(self.distance_mm) and self.distance_mm > 0):
            raise ValueError(f"distance_mm must be positive, got {self.distance_mm}")
        if not all(math.isfinite(value) for point in self.points_xy_px or () for value in point):
            raise ValueError(f"points_xy_px must be finite, got {self.points_xy_px}")
        if not all(name and words and all(words) for name, words in self.descriptors.items()):
            raise ValueError(f"every descriptor needs a name and a word, got {self.descriptors}")


_MARK_DEFAULTS: dict[str, object] = {
    "track_id": -1,
    "plane": None,
    "side": None,
    "descriptors": {},
    "points_xy_px": None,
    "distance_mm": None,
}
_MARK_FIELDS: dict[MarkKind, tuple[set[str], set[str]]] = {
    MarkKind.PLANE: (set(), {"plane", "side"}),
    MarkKind.DESCRIPTORS: ({"track_id", "descriptors"}, {"track_id", "descriptors"}),
    MarkKind.SCALE: ({"points_xy_px", "distance_mm"}, {"points_xy_px", "distance_mm"}),
}
"""Kind → the fields that it needs, and those that it may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """One row of the table."""

    name: str
    version: tuple[int, int]
    rate_hz: float | None
    recorded: bool
    lane: Lane
    body: type[msgspec.Struct]

    @property
    def schema(self) -> str:
        """Name of the message's schema."""
        return f"usassist.{self.name}"

    @property
    def subscription(self) -> bytes:
        """Prefix to subscribe to: this topic of every source in every version, so that a version that cannot be read is
        an error and not silence."""
        return f"{self.name}/".encode("ascii")

    def address(self, source_id: str) -> bytes:
        """The topic on the wire."""
        return f"{self.name}/v{self.version[0]}/{source_id}/".encode("ascii")


TOPICS: dict[str, Topic] = {
    topic.name: topic
    for topic in (
        Topic(name="frame", version=(1, 4), rate_hz=None, recorded=True, lane="frame", body=FrameBody),
        Topic(name="result", version=(1, 6), rate_hz=None, recorded=True, lane="event", body=ResultBody),
        Topic(name="engine", version=(1, 5), rate_hz=1.0, recorded=True, lane="event", body=EngineBody),
        Topic(name="session", version=(1, 4), rate_hz=1.0, recorded=True, lane="event", body=SessionBody),
        Topic(name="health", version=(1, 1), rate_hz=2.0, recorded=True, lane="event", body=HealthBody),
        Topic(name="mark", version=(1, 1), rate_hz=None, recorded=True, lane="event", body=MarkBody),
        Topic(name="control", version=(1, 0), rate_hz=None, recorded=True, lane="event", body=ControlBody),
    )
}
