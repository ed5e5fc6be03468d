"""What a window can show, one scene each, of a drawn frame: for golden pictures and for looking at them.

The frame is drawn, not recorded, and without speckle, so that its pictures are small files.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from tests.samples import CALIBRATED_ENGINE, SESSION, make_frame, make_result
from usassist.bus import TOPICS, HealthBody, SignalBody, decode
from usassist.bus.codec import encode, encode_frame, encode_result
from usassist.common.clock import FakeClock
from usassist.frames.measure import measure
from usassist.records import Cause, Detections, Frame, Result, ResultState, Segmentation, SignalState
from usassist.sinks.overlay.keys import Action
from usassist.sinks.overlay.nodules import Look
from usassist.sinks.overlay.screen import OverlayScreen
from usassist.words import load_words

__all__ = ["FOLDER", "GOLDEN", "SCENES", "WINDOW_HW_PX", "Ellipse", "drawn_frame", "finding", "render"]

FOLDER = Path(__file__).parent
WINDOW_HW_PX = (540, 960)
HW = (360, 480)
MM_PER_PX = 0.1
ENGINE = msgspec.structs.replace(CALIBRATED_ENGINE, note="", domain="thyroid")

LIVE = msgspec.structs.replace(SESSION, kind="live")

Ellipse = tuple[float, float, float, float, float]
"""Centre x, y, semi-axes and angle in degrees, px."""

ONE: tuple[Ellipse, ...] = ((290.0, 170.0, 66.0, 48.0, 20.0),)
TWO: tuple[Ellipse, ...] = (*ONE, (120.0, 235.0, 40.0, 30.0, 0.0))
CAROTID: Ellipse = (90.0, 130.0, 34.0, 34.0, 0.0)


def drawn_frame(frame_id: int, nodules: tuple[Ellipse, ...] = ONE, **changes: Any) -> Frame:
    """A frame with layers of tissue, a round vessel and nodules, grey."""
    image = np.empty(HW, np.uint8)
    for row, grey in ((0, 150), (24, 90), (70, 112), (230, 70), (310, 40)):
        image[row:] = grey
    cv2.line(image, (0, 300), (HW[1], 322), 170, 5)
    for (x, y, a, b, angle), grey in ((CAROTID, 6), *((nodule, 62) for nodule in nodules)):
        cv2.ellipse(image, ((x, y), (2 * a, 2 * b), angle), grey, -1, cv2.LINE_AA)
    values: dict[str, Any] = {
        "image": image,
        "roi_xyxy_px": (0, 0, HW[1], HW[0]),
        "spacing_rc_mm": (MM_PER_PX, MM_PER_PX),
        "spacing_rel_sd": 0.01,
        "calibration_id": "drawn",
    }
    return make_frame(frame_id, HW, **(values | changes))


def outline_of(ellipse: Ellipse) -> npt.NDArray[np.float32]:
    """Points on an ellipse, float32 (K, 2), image coordinates."""
    x, y, a, b, angle = ellipse
    turn, at = np.deg2rad(angle), np.linspace(0.0, 2.0 * np.pi, 90, endpoint=False)
    along, across = a * np.cos(at), b * np.sin(at)
    points = np.stack(
        [along * np.cos(turn) - across * np.sin(turn) + x, along * np.sin(turn) + across * np.cos(turn) + y]
    )
    return np.asarray(np.clip(points.T, 0.0, (HW[1], HW[0])), np.float32)


def finding(frame: Frame, nodules: tuple[Ellipse, ...] = ONE, *, cut: int = -1) -> Result:
    """The result of such a frame: its own nodules. The one with the index `cut` is cut by the border."""
    outlines = [outline_of(nodule) for nodule in nodules]
    segmentation = Segmentation.of(outlines)
    count = len(outlines)
    detections = Detections(
        xyxy_px=np.array([[*points.min(axis=0), *points.max(axis=0)] for points in outlines], np.float32),
        score=np.linspace(0.93, 0.62, count).astype(np.float32),
        label_id=np.zeros(count, np.int32),
        track_id=np.arange(1, count + 1, dtype=np.int32),
    )
    is_cut = (np.arange(count) == cut).astype(np.uint8)
    return make_result(
        frame.frame_id,
        ResultState.FINDING,
        HW,
        detections=detections,
        segmentation=segmentation,
        measurements=measure(segmentation, frame.spacing_rc_mm, frame.spacing_rel_sd, 0.05, is_cut),
        calibration_id=frame.calibration_id,
    )


def recorder(missed: int = 0, recording: str = "running") -> HealthBody:
    """Health of a recorder that has run for twelve minutes."""
    return HealthBody(
        process="record",
        frames=22_230,
        answered=22_000,
        dropped=missed,
        by_state={},
        rate_hz=None,
        latency_p50_ms=None,
        latency_p95_ms=None,
        recording=recording,
    )


class Stage:
    """A screen with the messages that bring it to a state."""

    def __init__(self, language: str = "en", look: Look | None = None) -> None:
        self.clock = FakeClock(1_000_000 * 181 + 23_000_000)
        self.screen = OverlayScreen(self.clock, None, load_words(language, "window"), look)
        self.engine, self.session = ENGINE, LIVE

    def send(self, topic: str, body: msgspec.Struct) -> None:
        self.screen.take(decode(encode(TOPICS[topic], "us0", 0, 0, body, {})))

    def show(
        self, frame: Frame, result: Result, hw: tuple[int, int] | None = WINDOW_HW_PX
    ) -> npt.NDArray[np.uint8] | None:
        self.send("engine", self.engine)
        self.send("session", self.session)
        self.screen.take(decode(encode_frame(frame, 0, 0)))
        self.screen.take(decode(encode_result(result, 0, 0)))
        return self.screen.render(hw)


def _finding(stage: Stage, hw: tuple[int, int]) -> None:
    stage.send("session", LIVE)
    stage.send("health", recorder())
    frame = drawn_frame(181, TWO)
    stage.show(frame, finding(frame, TWO), hw)


def _cut(stage: Stage, hw: tuple[int, int]) -> None:
    nodules = ((400.0, 150.0, 90.0, 60.0, 0.0),)
    frame = drawn_frame(181, nodules)
    stage.show(frame, finding(frame, nodules, cut=0), hw)


def _without(stage: Stage, hw: tuple[int, int]) -> None:
    stage.send("session", LIVE)
    stage.send("health", recorder(missed=17))
    frame = drawn_frame(181, ())
    stage.show(frame, make_result(181, ResultState.NO_FINDING, HW), hw)


def _frozen(stage: Stage, hw: tuple[int, int]) -> None:
    reason = "the image has not changed for 0.5 s"
    frame = drawn_frame(181, picture=SignalState.FROZEN, picture_reason=reason)
    stage.show(frame, make_result(181, ResultState.NO_RESULT, HW, cause=Cause.NOT_LIVE, reason=reason), hw)


def _lost(stage: Stage, hw: tuple[int, int]) -> None:
    _finding(stage, hw)
    signal = SignalBody(
        state=SignalState.LOST, reason="no frame from the grabber for 1.2 s, reconnecting", t_since_ns=7
    )
    stage.send("session", msgspec.structs.replace(LIVE, signal=signal))
    stage.send("health", recorder(recording="the disk is full"))


def _abstains(stage: Stage, hw: tuple[int, int]) -> None:
    frame = drawn_frame(181, ())
    result = make_result(181, ResultState.NO_RESULT, HW, cause=Cause.OUT_OF_DOMAIN, reason="not thyroid (0.03 < 0.50)")
    stage.show(frame, result, hw)


def _uncalibrated(stage: Stage, hw: tuple[int, int]) -> None:
    frame = drawn_frame(181, spacing_rc_mm=None, spacing_rel_sd=None, calibration_id=None)
    stage.show(frame, finding(frame), hw)


def _building(stage: Stage, hw: tuple[int, int]) -> None:
    stage.engine = msgspec.structs.replace(ENGINE, note="tensorrt fp16 is being built: 40 %")
    frame = drawn_frame(181)
    stage.show(frame, finding(frame), hw)


def _held(stage: Stage, hw: tuple[int, int]) -> None:
    frame = drawn_frame(181)
    stage.show(frame, finding(frame), hw)
    stage.screen.act(Action.FREEZE)


def _help(stage: Stage, hw: tuple[int, int]) -> None:
    _finding(stage, hw)
    stage.screen.act(Action.HELP)


def _no_result(stage: Stage, hw: tuple[int, int]) -> None:
    frame = drawn_frame(181)
    result = make_result(
        181, ResultState.NO_RESULT, HW, cause=Cause.ENGINE_ERROR, reason="the engine failed: out of memory"
    )
    stage.show(frame, result, hw)


def _stale(stage: Stage, hw: tuple[int, int]) -> None:
    frame = drawn_frame(181)
    stage.clock.advance_ms(400)
    stage.show(frame, finding(frame), hw)


def _waiting(stage: Stage, hw: tuple[int, int]) -> None:
    stage.send("session", LIVE)


SCENES: dict[str, Callable[[Stage, tuple[int, int]], None]] = {
    "finding": _finding,
    "cut": _cut,
    "no_finding": _without,
    "frozen": _frozen,
    "lost": _lost,
    "abstains": _abstains,
    "uncalibrated": _uncalibrated,
    "building": _building,
    "held": _held,
    "help": _help,
    "no_result": _no_result,
    "stale": _stale,
    "waiting": _waiting,
}


GOLDEN = (
    "finding",
    "cut",
    "no_finding",
    "frozen",
    "lost",
    "abstains",
    "uncalibrated",
    "building",
    "held",
    "help",
)
"""Of :data:`SCENES`, those with a golden picture."""


def render(
    name: str, hw: tuple[int, int] = WINDOW_HW_PX, language: str = "en", look: Look | None = None
) -> npt.NDArray[np.uint8]:
    """One scene, uint8 (H, W, 3) RGB."""
    stage = Stage(language, look)
    SCENES[name](stage, hw)
    again = stage.screen.render(hw)
    return (stage.screen._painter.canvas if again is None else again).copy()
