"""One packet of the live WebSocket: everything the page needs to show one frame.

====================== ==========================================================================================
JSON length            uint32, little-endian
JSON                   UTF-8, the fields of :class:`Head`
JPEG                   the image of that frame, to the end of the packet; empty before the first frame
====================== ==========================================================================================

Every packet is self-contained: it may be dropped, repeated, or be the first that a page receives. Its outlines belong
to its image. ``nodules`` is empty whenever ``draw`` is false, so a page cannot draw by mistake what must not be shown.
Coordinates are image coordinates in px of the frame (origin at the top-left corner of the top-left pixel), rounded to
0.1 px.

The page acknowledges each packet; see ``ws_protocol``.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

import msgspec
import numpy as np
import numpy.typing as npt

from usassist.bus import EngineBody, HealthBody
from usassist.errors import MessageError
from usassist.records import Result
from usassist.sinks.panel.scale import FrameScale
from usassist.sinks.reports import Marks, Recording
from usassist.sinks.sizes import measures_in_words

__all__ = [
    "Counters",
    "Descriptor",
    "Head",
    "Label",
    "Nodule",
    "labels_of",
    "nodules_of",
    "pack",
    "point_of",
    "unpack",
]

_LENGTH = struct.Struct("<I")


class Label(msgspec.Struct, frozen=True, kw_only=True):
    """A label of the engine: name and colour, 0 to 255 each."""

    name: str
    color_rgb: tuple[int, int, int]


class Descriptor(msgspec.Struct, frozen=True, kw_only=True):
    """One descriptor of a finding. ``agreement`` is the agreement with readers as text; empty where it is not known."""

    name: str
    value: str
    basis: str
    agreement: str


class Nodule(msgspec.Struct, frozen=True, kw_only=True):
    """One finding. Lengths in mm are None on an uncalibrated frame; ``u95`` is half the width of a 95 % interval.

    ``score_calibrated``: the score may be read as the share of such findings that are right. ``cut``: the border of the
    scan cuts it, so that ``major`` is a lower bound, and nothing is shown of ``minor`` and the intervals. ``measures``:
    what else is measured, line by line. ``major_ends_xy_px`` and ``minor_ends_xy_px``: two points each, where a caliper
    stands; empty where they are not known, ``minor_ends_xy_px`` also where it is cut.
    """

    label: str
    color_rgb: tuple[int, int, int]
    score: float
    score_calibrated: bool
    track_id: int
    contour: list[list[float]]
    xyxy_px: list[float]
    major_px: float
    minor_px: float
    major_mm: float | None = None
    major_u95_mm: float | None = None
    minor_mm: float | None = None
    minor_u95_mm: float | None = None
    cut: bool = False
    measures: tuple[str, ...] = ()
    descriptors: tuple[Descriptor, ...] = ()
    major_ends_xy_px: list[list[float]] = []
    minor_ends_xy_px: list[list[float]] = []


class Counters(msgspec.Struct, frozen=True, kw_only=True):
    """Counts since this panel joined the session.

    ``shown`` and ``skipped`` count frames, ``malformed`` messages that could not be decoded, ``by_cause`` frames
    without an answer. ``health`` is the stream's last health message. ``screen_p50_ms`` and ``screen_p99_ms`` are the
    time from capture to a drawn canvas and back, of all pages since this panel started; see ``shown``.
    """

    shown: int = 0
    skipped: int = 0
    malformed: int = 0
    by_cause: dict[str, int] = {}
    health: HealthBody | None = None
    screen_p50_ms: float | None = None
    screen_p99_ms: float | None = None


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """The JSON part.

    ``session_id``, ``frame_id`` and ``image_hw_px`` are None before the first frame. ``state``, ``headline``,
    ``detail``, ``draw``, ``word``, ``count`` and ``domain`` are those of ``sinks.view.View``. ``live`` is false when
    the image is an old one because no newer frame arrives. ``age_ms`` is from capture to ``t_ms``, None where it has no
    meaning; ``t_capture_ms`` is the monotonic time of capture, and ``clip_s`` the time in the clip. ``t_ms`` is the
    monotonic time at which the packet was made. ``point`` describes the engine's operating point. ``backend`` is the
    one that answered the frame, ``engine_note`` what the engine does beside the stream. ``recording`` and ``marks`` are
    of the session. ``scale`` is that of the frame, ``scale_note`` why frames have none. ``kind`` and ``replayed`` are
    those of the session, see ``bus.SessionBody``.
    """

    session_id: str | None
    frame_id: int | None
    state: str
    headline: str
    detail: str
    draw: bool
    live: bool
    age_ms: float | None
    image_hw_px: tuple[int, int] | None
    source: str
    engine_id: str
    backend: str
    engine_note: str
    intended_use: str
    point: str
    labels: tuple[Label, ...]
    nodules: tuple[Nodule, ...]
    counters: Counters
    recording: Recording
    marks: Marks
    t_ms: float
    scale: FrameScale | None = None
    scale_note: str = ""
    word: str = "no_result"
    count: int = 0
    domain: str = ""
    kind: str = ""
    replayed: bool = False
    t_capture_ms: float | None = None
    clip_s: float | None = None


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Head).decode


def pack(head: Head, jpeg: bytes | memoryview = b"") -> bytes:
    """Encode one packet."""
    text = _encode(head)
    return b"".join((_LENGTH.pack(len(text)), text, jpeg))


def unpack(data: bytes) -> tuple[Head, bytes]:
    """Decode one packet.

    Returns
    -------
    head : the JSON part
    jpeg : the image, empty when there is none

    Raises
    ------
    MessageError
        If the bytes are not a packet.
    """
    try:
        (length,) = _LENGTH.unpack_from(data)
        if _LENGTH.size + length > len(data):
            raise MessageError(f"a panel packet announces {length} bytes of JSON but is shorter; reload the page")
        return _decode(data[_LENGTH.size : _LENGTH.size + length]), data[_LENGTH.size + length :]
    except (struct.error, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MessageError(f"a panel packet cannot be decoded: {error}; reload the page") from error


def nodules_of(
    result: Result, labels: Mapping[int, Label], *, scores_calibrated: bool, agreement: Mapping[str, str]
) -> tuple[Nodule, ...]:
    """The findings of a result, one per detection, in its order.

    Parameters
    ----------
    result : in state ``finding``
    labels : of the engine that gave the result, by id
    scores_calibrated : its scores are calibrated
    agreement : descriptor → agreement with readers, as text

    Raises
    ------
    LookupError
        If the result uses a label that the engine has not announced.
    """
    found, sizes = result.detections, result.measurements
    described = result.descriptors or ((),) * len(found)
    nodules = []
    for row, contour in enumerate(result.segmentation):
        label = labels[int(found.label_id[row])]
        lengths_mm: dict[str, float] = {}
        if sizes.calibrated:
            for name in ("major_mm", "major_u95_mm", "minor_mm", "minor_u95_mm"):
                lengths_mm[name] = round(float(getattr(sizes, name)[row]), 2)
        nodules.append(
            Nodule(
                label=label.name,
                color_rgb=label.color_rgb,
                score=round(float(found.score[row]), 3),
                score_calibrated=scores_calibrated,
                track_id=int(found.track_id[row]),
                contour=np.round(contour.astype(np.float64), 1).tolist(),
                xyxy_px=np.round(found.xyxy_px[row].astype(np.float64), 1).tolist(),
                major_px=round(float(sizes.major_px[row]), 1),
                minor_px=round(float(sizes.minor_px[row]), 1),
                **lengths_mm,
                cut=sizes.is_cut(row),
                measures=measures_in_words(sizes.row(row)),
                descriptors=tuple(
                    Descriptor(
                        name=item.name, value=item.value, basis=item.basis, agreement=agreement.get(item.name, "")
                    )
                    for item in described[row]
                ),
                major_ends_xy_px=_points(sizes.major_ends_xy_px, row),
                minor_ends_xy_px=[] if sizes.is_cut(row) else _points(sizes.minor_ends_xy_px, row),
            )
        )
    return tuple(nodules)


def _points(ends_xy_px: npt.NDArray[np.float32] | None, row: int) -> list[list[float]]:
    if ends_xy_px is None:
        return []
    points: list[list[float]] = np.round(ends_xy_px[row].astype(np.float64), 1).tolist()
    return points


def labels_of(engine: EngineBody | None) -> dict[int, Label]:
    """The labels of an engine by id; none while no engine is known."""
    if engine is None:
        return {}
    return {label.id: Label(name=label.name, color_rgb=label.color_rgb) for label in engine.labels}


def point_of(engine: EngineBody | None) -> str:
    """Text of the engine's operating point; empty while no engine is known."""
    if engine is None:
        return ""
    if engine.point is None:
        return "the engine's own; scores are not calibrated"
    return engine.point.words + ("" if engine.association is None else f"; associated {engine.association.words}")
