"""Lines of ``frames.jsonl``, ``results.jsonl`` and ``marks.jsonl``, readable without usassist."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from usassist.bus import EngineBody, MarkBody
from usassist.common.wire_fields import LineForm
from usassist.records import FrameLine, Result

__all__ = ["FRAME_KEYS", "RESULT_KEYS", "frame_line", "mark_line", "result_line"]

# The order that recordings have; a field that is not named here follows.
_FRAME = LineForm(
    FrameLine,
    (
        "frame_id",
        "t_capture_ns",
        "t_decoded_ns",
        "t_cropped_ns",
        "picture",
        "picture_reason",
        "pts",
        "time_base",
        "file",
        "channels",
        "roi_xyxy_px",
        "spacing_rc_mm",
        "spacing_rel_sd",
        "calibration_id",
        "covered_xyxy_px",
        "crc32",
    ),
)
_RESULT = LineForm(
    Result,
    (
        "frame_id",
        "state",
        "cause",
        "reason",
        "t_capture_ns",
        "t_infer_start_ns",
        "t_input_ns",
        "t_output_ns",
        "t_infer_end_ns",
        "t_publish_ns",
        "frames_dropped",
        "engine_id",
        "backend",
        "calibration_id",
        "image_hw_px",
        "nodules",
    ),
)
FRAME_KEYS = frozenset(_FRAME.keys)
"""What a line of ``frames.jsonl`` may hold; a newer usassist may add to it."""

RESULT_KEYS = frozenset(_RESULT.keys)
"""What a line of ``results.jsonl`` may hold; a newer usassist may add to it."""


def frame_line(line: FrameLine) -> dict[str, Any]:
    """A line of ``frames.jsonl``, ready for JSON."""
    return _FRAME.write(line)


def result_line(result: Result, engine: EngineBody | None, t_publish_ns: int) -> dict[str, Any]:
    """A result as one line of ``results.jsonl``, readable without usassist.

    Parameters
    ----------
    result : the result
    engine : has the names of its labels and the agreement of its descriptors with readers, where known
    t_publish_ns : when it was published, monotonic ns
    """
    names = {label.id: label.name for label in engine.labels} if engine else {}
    least = {label.id: label.score_threshold for label in engine.labels} if engine else {}
    found, sizes = result.detections, result.measurements
    nodules = [
        {
            "label": names.get(int(found.label_id[i])),
            "label_id": int(found.label_id[i]),
            "track_id": int(found.track_id[i]),
            "score": _rounded_score(float(found.score[i]), least.get(int(found.label_id[i]), 0.0)),
            "xyxy_px": _rounded(found.xyxy_px[i]),
            "contour_xy_px": _rounded(contour),
            **{name: _rounded_size(value) for name, value in sizes.row(i).items()},
            "descriptors": _descriptors(result, i, engine),
        }
        for i, contour in enumerate(result.segmentation)
    ]
    return _RESULT.write(result, t_publish_ns=t_publish_ns, nodules=nodules)


def mark_line(mark: MarkBody, t_publish_ns: int) -> dict[str, Any]:
    """A mark as one line of ``marks.jsonl``, with the fields of its kind."""
    fields: dict[str, Any] = msgspec.to_builtins(mark)  # without those that have their default
    del fields["session_id"]
    return fields | {"t_publish_ns": t_publish_ns}


def _descriptors(result: Result, index: int, engine: EngineBody | None) -> list[dict[str, Any]]:
    """Descriptors of one nodule, each with its agreement with readers; None where that is not known."""
    if not result.descriptors:
        return []
    agreement = engine.descriptor_agreement if engine else {}
    return [
        {
            "name": item.name,
            "value": item.value,
            "probability": round(item.probability, 3),
            "basis": item.basis,
            "agreement": agreement.get(item.name),
        }
        for item in result.descriptors[index]
    ]


def _rounded_size(value: Any) -> Any:
    if isinstance(value, list):
        return [_rounded_size(item) for item in value]
    return round(value, 3) if isinstance(value, float) else value


def _rounded_score(score: float, threshold: float) -> float:
    """Rounded, but never to below a threshold that the score reached."""
    rounded = round(score, 4)
    return threshold if rounded < threshold <= score else rounded


def _rounded(values: npt.NDArray[np.float32]) -> Any:
    return np.round(values.astype(np.float64), 2).tolist()
