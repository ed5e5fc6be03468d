"""Recorded sweeps with known nodules for tests: drawn frames, results made from the truth, marks."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np

from tests.recordings import FACTS
from tests.samples import CALIBRATED_ENGINE, SESSION, ellipse_contour, make_frame, make_result
from usassist.bus import EngineBody, MarkBody, MarkKind, Publisher, SessionState
from usassist.common.clock import MonotonicClock
from usassist.frames.measure import measure
from usassist.records import Cause, Descriptor, Detections, Frame, Result, ResultState, Segmentation, SignalState
from usassist.sinks.record import Recorder

HW = (120, 160)
PERIOD_NS = 40_000_000
SPACING = (0.2, 0.2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A nodule on a frame: an ellipse, its score, whether the border cuts it, and what is estimated of it."""

    track_id: int
    axes: tuple[int, int] = (20, 12)
    center: tuple[int, int] = (80, 60)
    score: float = 0.9
    cut: bool = False
    echogenicity: str = "hypoechoic"


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A frame: its nodules, or why there is no answer; how sharp it is, its scale, whether it is live.

    A `result` of False = it was lost; `gap` frames before it are missing, and `wait_ns` passed without any. `follows`
    False = its answer follows none; `other` is another image, as after a cut.
    """

    nodules: tuple[Shown, ...] = ()
    cause: Cause | None = None
    blur_px: float = 0.0
    scaled: bool = True
    picture: SignalState = SignalState.LIVE
    result: bool = True
    gap: int = 0
    wait_ns: int = 0
    follows: bool = True
    other: bool = False


def mark(frame_id: int, kind: MarkKind, **fields: Any) -> MarkBody:
    """A mark on a frame."""
    return MarkBody(session_id=SESSION.session_id, frame_id=frame_id, kind=kind, t_mark_ns=7, **fields)


def record_sweep(
    folder: Path,
    moments: Sequence[Moment],
    marks: Sequence[MarkBody] = (),
    *,
    engine: EngineBody = CALIBRATED_ENGINE,
    facts: Mapping[str, Any] = FACTS,
    source: str = "test",
) -> Path:
    """Record them with the real recorder; returns the folder."""
    session = msgspec.structs.replace(SESSION, image_hw_px=HW, source=source)
    with tempfile.TemporaryDirectory(prefix="usa") as bus:
        address = f"ipc://{bus}"
        publisher = Publisher(address, "us0", MonotonicClock(), lossless=True)
        recorder = Recorder(address, folder, lambda: False, facts=facts)
        thread = threading.Thread(target=recorder.run)
        thread.start()
        assert publisher.wait_for_archives(1, 10, lambda: True)
        publisher.event("engine", engine)
        publisher.event("session", session)
        frame_id, t_ns, before = -1, -PERIOD_NS, None
        for moment in moments:
            frame_id += 1 + moment.gap
            t_ns += PERIOD_NS * (1 + moment.gap) + moment.wait_ns
            frame = _frame(frame_id, t_ns, moment)
            publisher.frame(frame)
            if moment.result:
                publisher.result(_result(frame, moment, before if moment.follows else None))
                before = frame_id if moment.cause is None else before
            for item in marks:
                if item.frame_id == frame_id:
                    publisher.event("mark", item)
        publisher.event("session", msgspec.structs.replace(session, state=SessionState.ENDED, last_frame_id=frame_id))
        thread.join(30)
        assert not thread.is_alive()
        publisher.close()
    return folder


def _frame(frame_id: int, t_ns: int, moment: Moment) -> Frame:
    image = np.random.default_rng(5).integers(110, 150, HW).astype(np.uint8)
    for nodule in moment.nodules:
        cv2.ellipse(image, nodule.center, nodule.axes, 0, 0, 360, 40, -1)
    if moment.blur_px:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), moment.blur_px), np.uint8)
    image = 255 - image if moment.other else image
    live = moment.picture is SignalState.LIVE
    return make_frame(
        frame_id,
        hw=HW,
        image=image,
        t_capture_ns=t_ns,
        spacing_rc_mm=SPACING if moment.scaled else None,
        spacing_rel_sd=0.01 if moment.scaled else None,
        calibration_id="scale_by_ruler" if moment.scaled else None,
        picture=moment.picture,
        picture_reason="" if live else "because",
    )


def _result(frame: Frame, moment: Moment, follows: int | None) -> Result:
    times = {"t_capture_ns": frame.t_capture_ns, "hw": HW, "follows_frame_id": follows}
    if moment.picture is not SignalState.LIVE or moment.cause is not None:
        cause = moment.cause or Cause.NOT_LIVE
        times["follows_frame_id"] = None
        return make_result(frame.frame_id, ResultState.NO_RESULT, cause=cause, **times)
    if not moment.nodules:
        return make_result(frame.frame_id, ResultState.NO_FINDING, **times)
    contours = [ellipse_contour(nodule.center, nodule.axes) for nodule in moment.nodules]
    segmentation = Segmentation.of(contours)
    boxes = [[*(contour.min(axis=0) - 0.5), *(contour.max(axis=0) + 0.5)] for contour in contours]
    detections = Detections(
        xyxy_px=np.array(boxes, np.float32),
        score=np.array([nodule.score for nodule in moment.nodules], np.float32),
        label_id=np.zeros(len(contours), np.int32),
        track_id=np.array([nodule.track_id for nodule in moment.nodules], np.int32),
    )
    cut = np.array([nodule.cut for nodule in moment.nodules], np.uint8)
    spacing = (frame.spacing_rc_mm, frame.spacing_rel_sd)
    descriptors = tuple(
        (Descriptor(name="echogenicity", value=nodule.echogenicity, probability=0.75),) for nodule in moment.nodules
    )
    return make_result(
        frame.frame_id,
        detections=detections,
        segmentation=segmentation,
        measurements=measure(segmentation, *spacing, 0.05, cut, 0.1),
        descriptors=descriptors,
        calibration_id=frame.calibration_id,
        **times,
    )
