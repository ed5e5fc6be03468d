"""Freeze one message of every topic in its present version: ``python -m tests.golden.messages.make``.

Run it when a topic gets a new version, never to make a test pass: a frozen message is what a release has written.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from tests.samples import CALIBRATED_ENGINE, damaged_session, make_frame, make_result
from usassist.bus import (
    TOPICS,
    AssociationBody,
    ControlAction,
    ControlBody,
    ControlState,
    HealthBody,
    MarkBody,
    MarkKind,
    PointBody,
    PointSetBody,
    StageBody,
    TrackingBody,
    TrackingClock,
)
from usassist.bus.codec import encode, encode_frame, encode_result
from usassist.records import Pose, PoseStatus, SignalState

NOT_LIVE = {
    "t_decoded_ns": 4,
    "t_cropped_ns": 5,
    "picture": SignalState.DAMAGED,
    "picture_reason": "part of it is lost",
    "text_xyxy_px": ((1, 2, 3, 4),),
    "poses": (
        Pose(
            name="ProbeToReference",
            status=PoseStatus.VALID,
            matrix_mm=(1.0, 0.0, 0.0, 10.5, 0.0, 0.0, -1.0, -2.25, 0.0, 1.0, 0.0, 3.0),
            sender_stamp_ns=1_700_000_000_000_000_007,
        ),
        Pose(name="NeedleToReference", status=PoseStatus.MISSING),
    ),
}
HEALTH = HealthBody(
    process="stream",
    frames=3,
    answered=2,
    dropped=1,
    by_state={"finding": 2, "no_result": 1},
    rate_hz=29.97,
    latency_p50_ms=14.5,
    latency_p95_ms=None,
    stages={"infer": StageBody(count=2, p50_ms=5.5, p95_ms=6.5, p99_ms=6.75, max_ms=7.0)},
    cpu_s=1.5,
    rss_bytes=200_000_000,
)
NEWEST_ENGINE = msgspec.structs.replace(
    CALIBRATED_ENGINE,
    domain="thyroid",
    association=AssociationBody(alone=0.875, rise=0.75, release=0.375, frames=3, iou=0.25),
    tracking=TrackingBody(rule="sweep-1", clock=TrackingClock.CAPTURE_TIME),
    points=(
        PointBody(
            name="balanced",
            sensitivity=0.875,
            false_positives_per_frame=0.25,
            alarms_per_negative_frame=0.125,
            sets=(
                PointSetBody(
                    name="old", frames=65, shows="one scanner", sensitivity=0.875, false_positives_per_frame=0.25
                ),
                PointSetBody(name="without", frames=8, alarms_per_negative_frame=0.125),
            ),
        ),
        PointBody(name="quiet", sensitivity=0.75, false_positives_per_frame=0.125),
    ),
)
NEWEST_SESSION = msgspec.structs.replace(
    damaged_session(), scale_note="no ruler was found beside the image", kind="clip", replayed=True
)
MARK = MarkBody(
    session_id="20260314T101500Z-3f9a2c",
    frame_id=3,
    kind=MarkKind.DESCRIPTORS,
    t_mark_ns=7,
    track_id=2,
    descriptors={"composition": ("solid",), "foci": ("punctate", "rim")},
)
CONTROL = ControlBody(
    request_id="3f9a2c",
    action=ControlAction.POINT,
    value="quiet",
    t_control_ns=7,
    state=ControlState.REFUSED,
    reason="another change is under way",
    sender="page",
)


def messages() -> dict[str, bytes]:
    """One message of every topic, as it is written now."""
    made = {
        "frame": encode_frame(make_frame(3, (8, 12), 3, **NOT_LIVE), 5, 6),
        "result": encode_result(make_result(3, follows_frame_id=1), 5, 6),
        "engine": encode(TOPICS["engine"], "us0", 5, 6, NEWEST_ENGINE, {}),
        "session": encode(TOPICS["session"], "us0", 5, 6, NEWEST_SESSION, {}),
        "health": encode(TOPICS["health"], "us0", 5, 6, HEALTH, {}),
        "mark": encode(TOPICS["mark"], "us0", 5, 6, MARK, {}),
        "control": encode(TOPICS["control"], "us0", 5, 6, CONTROL, {}),
    }
    return {name: bytes(data) for name, data in made.items()}


def main() -> None:
    """Write the files that are not there yet."""
    for name, data in messages().items():
        major, minor = TOPICS[name].version
        path = Path(__file__).with_name(f"{name}-{major}.{minor}.bin")
        if not path.exists():
            path.write_bytes(data)


if __name__ == "__main__":
    main()
