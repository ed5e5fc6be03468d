from __future__ import annotations

from typing import Any

import msgspec
import pytest

from usassist.bus import TOPICS, MarkBody, MarkKind, Plane, Side
from usassist.bus.codec import decode, encode
from usassist.errors import MessageError
from usassist.session.lines import MarkLine
from usassist.sinks.lines import mark_line

POINTS = ((10.5, 20.0), (10.5, 220.25))
GOOD: list[dict[str, Any]] = [
    {"kind": MarkKind.WRONG},
    {"kind": MarkKind.PLANE, "plane": Plane.TRANSVERSE, "side": Side.LEFT},
    {"kind": MarkKind.PLANE, "side": Side.ISTHMUS},
    {"kind": MarkKind.DESCRIPTORS, "track_id": 3, "descriptors": {"margin": ("smooth",)}},
    {"kind": MarkKind.SCALE, "points_xy_px": POINTS, "distance_mm": 20.0},
]


def make_mark(**fields: Any) -> MarkBody:
    return MarkBody(session_id="20260101T000000Z-000000", frame_id=4, t_mark_ns=9, **fields)


@pytest.mark.parametrize("fields", GOOD, ids=lambda fields: str(fields["kind"]))
def test_a_mark_travels_and_is_recorded_with_the_fields_of_its_kind(fields: dict[str, Any]) -> None:
    mark = make_mark(**fields)
    assert decode(bytes(encode(TOPICS["mark"], "us0", 1, 2, mark, {}))).body == mark
    line = mark_line(mark, 11)
    assert set(line) == {"frame_id", "t_mark_ns", "t_publish_ns", *fields}
    read = msgspec.json.decode(msgspec.json.encode(line), type=MarkLine)
    assert {name: getattr(read, name) for name in fields} == fields


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": MarkKind.WRONG, "track_id": 3},
        {"kind": MarkKind.PLANE},
        {"kind": MarkKind.PLANE, "plane": Plane.TRANSVERSE, "distance_mm": 2.0},
        {"kind": MarkKind.DESCRIPTORS, "track_id": 3},
        {"kind": MarkKind.DESCRIPTORS, "descriptors": {"margin": ("smooth",)}},
        {"kind": MarkKind.DESCRIPTORS, "track_id": 3, "descriptors": {"margin": ()}},
        {"kind": MarkKind.SCALE, "points_xy_px": POINTS},
        {"kind": MarkKind.SCALE, "points_xy_px": POINTS, "distance_mm": 0.0},
        {"kind": MarkKind.SCALE, "points_xy_px": POINTS, "distance_mm": float("nan")},
        {"kind": MarkKind.SCALE, "points_xy_px": (POINTS[0], (float("inf"), 0.0)), "distance_mm": 2.0},
    ],
)
def test_a_mark_that_lacks_a_field_or_has_one_of_another_kind_cannot_be_made(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"mark|distance_mm|points_xy_px|descriptor"):
        make_mark(**fields)


def test_such_a_message_is_malformed() -> None:
    data = bytes(encode(TOPICS["mark"], "us0", 1, 2, make_mark(**GOOD[2]), {}))
    with pytest.raises(MessageError):
        decode(data.replace(b'"isthmus"', b'"forearm"'))
    with pytest.raises(MessageError):
        decode(data.replace(b'"plane"', b'"wrong"'))
