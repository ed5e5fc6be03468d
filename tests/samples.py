"""Small valid records for tests."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from usassist.bus import EngineBody, LabelBody, SessionBody, SessionState
from usassist.frames.measure import measure
from usassist.records import Cause, Detections, Frame, Result, ResultState, Segmentation

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
