"""Small valid records for tests."""

from __future__ import annotations

import hashlib
from datetime import date
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np

from usassist.bus import EngineBody, LabelBody, PointBody, SessionBody, SessionState, SignalBody
from usassist.calibrate import LabelScale, OperatingPoint, ScoreCalibration
from usassist.common.clock import Clock, MonotonicClock
from usassist.engine import FailoverEngine
from usassist.errors import BackendUnavailableError
from usassist.frames.measure import measure
from usassist.records import Cause, Descriptor, Detections, Frame, Result, ResultState, Segmentation, SignalState

ENGINE_ID = "thyroid_nodule@0.1.0+000000000000"


def make_failover(*engines: Any, clock: Clock | None = None) -> FailoverEngine:
    """A failover engine over engines that are open, each the next in line of the one before it."""
    left = {f"engine{i}": engine for i, engine in enumerate(engines)}

    def opener(backend: str, precision: str) -> Any:
        if backend not in left:
            raise BackendUnavailableError(f"{backend} is used up")
        return left.pop(backend)

    pairs = [(name, "fp32") for name in left]
    first = left.pop("engine0")
    return FailoverEngine(first.spec, pairs, opener, None, clock or MonotonicClock(), (0, first, []))


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
        "measurements": measure(segmentation, (0.1, 0.1), 0.01, 0.05, np.zeros(len(segmentation), np.uint8)),
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
    note="tensorrt fp16 is being built: 40 %",
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

LIVE_SESSION = msgspec.structs.replace(
    SESSION, signal=SignalBody(state=SignalState.FROZEN, reason="the scanner is frozen", t_since_ns=7, reconnects=2)
)


def damaged_session() -> SessionBody:
    """A live session whose picture is damaged."""
    signal = SignalBody(state=SignalState.DAMAGED, reason="part of it is lost", t_since_ns=7, reconnects=2)
    return msgspec.structs.replace(SESSION, signal=signal)


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


_BRIGHT_TOML = """
schema = 1
name = "bright"
version = "1.0.0"
modality = "US"
task = "detect_segment"
precision = "fp32"
licence = "none"
intended_use = "tests"
rate_hz = 30.0
latency_budget_ms = 33.0

[artifacts.onnx]
path = "model.onnx"
sha256 = "{sha256}"

[[inputs]]
name = "image"
dtype = "float32"
shape = [1, 1, 256, 384]
layout = "NCHW"

[[outputs]]
name = "mask_prob"
dtype = "float32"
shape = [1, 1, 128, 192]
layout = "NCHW"

[[outputs]]
name = "center_score"
dtype = "float32"
shape = [1, 1, 32, 48]
layout = "NCHW"

[[outputs]]
name = "box_ltrb_px"
dtype = "float32"
shape = [1, 4, 32, 48]
layout = "NCHW"

[preprocess]
color = "GRAY"
input_range = [0.0, 1.0]
mean = [0.0]
std = [1.0]

[[labels]]
id = 0
name = "nodule"
scheme = "SCT"
value = "1"
meaning = "Nodule"
color_rgb = [1, 2, 3]
score_threshold = 0.2

[golden]
path = "golden.npz"
max_abs_diff = 0.001
"""


_DOMAIN_TOML = """
[domain]
name = "thyroid"
output = "thyroid_prob"
threshold = {threshold}
source = "tests"
"""


def bright_engine(engines: Path, layers: int = 0, threshold: float | None = None) -> Path:
    """Put the engine `bright` 1.0.0, which takes what is bright for a nodule, into a folder of engines.

    Mask: brighter than 0.7. Score: share of the bright pixels in a square of 33 px, at its peaks. Box: 104 px. It is
    made with onnx and answers its golden input with onnxruntime.

    Parameters
    ----------
    layers : convolutions in front that change nothing, so that there is something to quantise
    threshold : with it the engine has a fourth output and a domain: below this mean of its input it abstains
    """
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    shapes = {"mask_prob": [1, 1, 128, 192], "center_score": [1, 1, 32, 48], "box_ltrb_px": [1, 4, 32, 48]}
    pool = {"kernel_shape": [33, 33], "strides": [8, 8], "pads": [16, 16, 16, 16], "count_include_pad": 1}
    nodes, constants, seen, channels = [], {}, "image", 1
    for layer in range(layers):
        wide = 1 if layer == layers - 1 else 2
        kernel = np.zeros((wide, channels, 3, 3), np.float32)
        kernel[:, :, 1, 1] = np.eye(wide) if wide == channels else 1.0 / channels
        constants |= {f"w{layer}": kernel, f"b{layer}": np.zeros(wide, np.float32)}
        inputs = [seen, f"w{layer}", f"b{layer}"]
        nodes.append(helper.make_node("Conv", inputs, [f"c{layer}"], f"conv{layer}", pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("Relu", [f"c{layer}"], [f"r{layer}"], f"relu{layer}"))
        seen, channels = f"r{layer}", wide
    nodes += [
        helper.make_node("Greater", [seen, "cut"], ["bright"], "bright"),
        helper.make_node("Cast", ["bright"], ["mask"], "mask", to=TensorProto.FLOAT),
        helper.make_node("AveragePool", ["mask"], ["mask_prob"], "mask_prob", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("AveragePool", ["mask"], ["share"], "share", **pool),
        helper.make_node("MaxPool", ["share"], ["most"], "most", kernel_shape=[5, 5], pads=[2, 2, 2, 2]),
        helper.make_node("Equal", ["share", "most"], ["is_peak"], "is_peak"),
        helper.make_node("Where", ["is_peak", "share", "zero"], ["center_score"], "center_score"),
        helper.make_node("Expand", ["side", "shape"], ["box_ltrb_px"], "box_ltrb_px"),
    ]
    shapes |= {} if threshold is None else {"thyroid_prob": [1, 1]}
    if threshold is not None:
        nodes += [
            helper.make_node("GlobalAveragePool", ["image"], ["mean"], "mean"),
            helper.make_node("Reshape", ["mean", "one_by_one"], ["thyroid_prob"], "thyroid_prob"),
        ]
        constants["one_by_one"] = np.array([1, 1])
    constants |= {name: np.full(1, value, np.float32) for name, value in (("cut", 0.7), ("zero", 0.0), ("side", 52.0))}
    constants["shape"] = np.array([1, 4, 32, 48])
    graph = helper.make_graph(
        nodes,
        "bright",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, 256, 384])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, sides) for name, sides in shapes.items()],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    folder = engines / "bright" / "1.0.0"
    folder.mkdir(parents=True)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, folder / "model.onnx")
    digest = hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
    toml = _BRIGHT_TOML.format(sha256=digest)
    if threshold is not None:
        output = '[[outputs]]\nname = "thyroid_prob"\ndtype = "float32"\nshape = [1, 1]\nlayout = "NC"\n\n'
        toml = toml.replace("[preprocess]", output + "[preprocess]") + _DOMAIN_TOML.format(threshold=threshold)
    (folder / "engine.toml").write_text(toml)
    image = np.random.default_rng(0).random((1, 1, 256, 384), np.float32)
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    answers = dict(zip(shapes, session.run(list(shapes), {"image": image}), strict=True))
    np.savez(folder / "golden.npz", image=image, **answers)
    return engines


def bright_screen(seed: int, ellipses: list[tuple[int, int, int, int]]) -> np.ndarray:
    """A scanner's screen, uint8 (360, 560): a picture of grey noise with bright ellipses x, y, a, b in it, px."""
    image = np.zeros((360, 560), np.uint8)
    image[20:320, 80:480] = np.random.default_rng(seed).integers(40, 110, (300, 400))
    for x, y, a, b in ellipses:
        cv2.ellipse(image, (x, y), (a, b), 0, 0, 360, 230, -1)
    return image
