"""Small valid records for tests."""

from __future__ import annotations

from datetime import date
from typing import Any

import cv2
import msgspec
import numpy as np

from usassist.bus import EngineBody, LabelBody, PointBody, SessionBody, SessionState
from usassist.calibrate import LabelScale, OperatingPoint, ScoreCalibration
from usassist.frames.measure import measure
from usassist.records import Cause, Descriptor, Detections, Frame, Result, ResultState, Segmentation

ENGINE_ID = "thyroid_nodule@0.1.0+000000000000"


def make_frame(frame_id: int = 0, hw: tuple[int, int] = (48, 64), channels: int = 1, **changes: Any) -> Frame:
    rng = np.random.default_rng(abs(frame_id))
    shape = hw if channels == 1 else (*hw, 3)
    values: dict[str, Any] = {
        "session_id": "20260101T000000Z-000000",
        "source_id": "us0",
        "frame_id": frame_id,
        "t_capture_ns": 1_000_000 * frame_id,
        "image": rng.integers(0, 256, shape).astype(np.uint8),
        "roi_xyxy_px": (10, 20, 10 + hw[1], 20 + hw[0]),
    }
    return Frame(**(values | changes))


def make_result(
    frame_id: int = 0, state: ResultState = ResultState.FINDING, hw: tuple[int, int] = (48, 64), **changes: Any
) -> Result:
    found = state in (ResultState.FINDING, ResultState.STALE)
    contour = ellipse_contour((30, 20), (12, 8))
    segmentation = Segmentation.of([contour]) if found else Segmentation.empty()
    low, high = contour.min(axis=0) - 0.5, contour.max(axis=0) + 0.5
    detections = (
        Detections(
            xyxy_px=np.array([[*low, *high]], np.float32),
            score=np.array([0.875], np.float32),
            label_id=np.zeros(1, np.int32),
            track_id=np.full(1, -1, np.int32),
        )
        if found
        else Detections.empty()
    )
    asked = state is not ResultState.NO_RESULT
    values: dict[str, Any] = {
        "session_id": "20260101T000000Z-000000",
        "source_id": "us0",
        "frame_id": frame_id,
        "t_capture_ns": 1_000_000 * frame_id,
        "t_infer_start_ns": 1_000_000 * frame_id + 10 if asked else None,
        "t_infer_end_ns": 1_000_000 * frame_id + 20 if asked else None,
        "engine_id": ENGINE_ID,
        "backend": "openvino",
        "calibration_id": None,
        "image_hw_px": hw,
        "frames_dropped": 0,
        "state": state,
        "cause": {ResultState.NO_RESULT: Cause.DROPPED, ResultState.STALE: Cause.LATE}.get(state),
        "reason": "" if state.is_answer else "because",
        "detections": detections,
        "segmentation": segmentation,
        "measurements": measure(segmentation, (0.1, 0.1), 0.01, 0.05),
    }
    return Result(**(values | changes))


def ellipse_contour(center: tuple[int, int], axes: tuple[int, int], angle_deg: float = 0.0) -> np.ndarray:
    """Outline of a filled ellipse, float32 (K, 2), through pixel centres."""
    size = 2 * max(axes) + max(center) + 8
    mask = np.zeros((size, size), np.uint8)
    cv2.ellipse(mask, center, axes, angle_deg, 0, 360, 1, -1)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return contours[0][:, 0].astype(np.float32) + 0.5


ENGINE = EngineBody(
    engine_id=ENGINE_ID,
    backend="openvino",
    labels=(
        LabelBody(
            id=0,
            name="nodule",
            scheme="SCT",
            value="27925004",
            meaning="Nodule",
            color_rgb=(255, 196, 0),
            score_threshold=0.5,
        ),
    ),
    intended_use="Research use only.",
)

CALIBRATED_ENGINE = msgspec.structs.replace(
    ENGINE,
    score_calibration_id="thyroid_nodule_0.1.0_test",
    point=PointBody(
        name="balanced", sensitivity=0.95, false_positives_per_frame=0.08, alarms_per_negative_frame=0.03125
    ),
    descriptor_agreement={"echogenicity": "kappa 0.40 (0.20 to 0.60), 9 nodules of 7 cases"},
)

DESCRIBED = ((Descriptor(name="echogenicity", value="hypoechoic", probability=0.75),),)
"""Descriptors of the one nodule of :func:`make_result`."""

SESSION = SessionBody(
    session_id="20260101T000000Z-000000",
    state=SessionState.RUNNING,
    source="test",
    image_hw_px=(48, 64),
    rate_hz=30.0,
    frame_count=None,
    calibration_id=None,
    last_frame_id=0,
    realtime=True,
    max_age_ms=150.0,
)


def make_scores(slope: float = 1.0, intercept: float = 0.0, score: float = 0.5) -> ScoreCalibration:
    """A score calibration whose points all have one threshold."""
    scale = LabelScale(
        name="nodule", slope=slope, intercept=intercept, ece=0.0, ece_cross_validated=0.0, detections=9, nodules=9
    )
    points = [
        OperatingPoint(name=name, score=score, sensitivity=0.9, false_positives_per_frame=0.1)
        for name in ("sensitive", "balanced", "quiet")
    ]
    return ScoreCalibration(
        calibration_id="x",
        engine_id="tiny@1.0.0+0123456789ab",
        labels=(scale,),
        points={point.name: point for point in points},
        measured_on=date(2026, 1, 2),
        measured_by="engineer",
        method="fitted",
        command="none",
        valid_for="test",
    )


def score_file(
    engine_id: str, *, slope: float = 1.5, intercept: float = -0.4, balanced: float = 0.5, label: str = "nodule"
) -> str:
    """A score calibration file with the points sensitive (0.2), balanced and quiet (0.8)."""
    return f"""
schema = 1
calibration_id = "tiny_test"
engine_id = "{engine_id}"
measured_on = 2026-01-02
measured_by = "engineer"
method = "fitted"
command = "none"
valid_for = "tests"

[[labels]]
name = "{label}"
slope = {slope}
intercept = {intercept}
[labels.residual]
ece = 0.02
ece_cross_validated = 0.04
detections = 130
nodules = 96

[[points]]
name = "sensitive"
score = 0.2
sensitivity = 0.97
false_positives_per_frame = 0.2

[[points]]
name = "balanced"
score = {balanced}
sensitivity = 0.95
false_positives_per_frame = 0.08

[[points]]
name = "quiet"
score = 0.8
sensitivity = 0.8
false_positives_per_frame = 0.02
alarms_per_negative_frame = 0.01
"""
