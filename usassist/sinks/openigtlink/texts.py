"""What the STRING and the STATUS of a frame say."""

from __future__ import annotations

from typing import Any

import msgspec

from usassist.bus import EngineBody
from usassist.common.openigtlink.packing import MAX_STRING_BYTES
from usassist.records import Frame, Result, ResultState
from usassist.sinks.lines import result_line
from usassist.sinks.view import View

__all__ = ["result_text", "silence_text", "status_of"]

_to_json = msgspec.json.Encoder().encode

# Codes of the table in the STATUS message of the protocol.
_OK, _TIME_OUT, _NOT_READY, _EXITING = 1, 7, 13, 19
_CODES = {"finding": _OK, "no_finding": _OK, "lost": _TIME_OUT, "over": _EXITING}
UNCALIBRATED = "uncalibrated: a pixel is sent as 1 mm"


def result_text(frame: Frame, result: Result | None, view: View, engine: EngineBody | None) -> str:
    """The result of a frame as JSON.

    Parameters
    ----------
    frame : the frame
    result : its own; None where it did not arrive
    view : what may be shown of it; nodules are in the text where outlines may be drawn
    engine : has the names of the labels
    """
    nodules: list[dict[str, Any]] = []
    if view.draw and result is not None:
        for value, nodule in enumerate(result_line(result, engine, 0)["nodules"], 1):
            del nodule["contour_xy_px"]  # it is in the label map
            nodules.append({"label_value": value} | nodule)
    document: dict[str, Any] = {
        "session_id": frame.session_id,
        "frame_id": frame.frame_id,
        "t_capture_ns": frame.t_capture_ns,
        "state": str(view.state),
        "reason": view.detail,
        "picture": str(frame.picture),
        "engine_id": "" if result is None else result.engine_id,
        "spacing_rc_mm": frame.spacing_rc_mm,
        "spacing_rel_sd": frame.spacing_rel_sd,
        "scale": frame.calibration_id or "" if frame.spacing_rc_mm is not None else UNCALIBRATED,
        "poses": {pose.name: str(pose.status) for pose in frame.poses},
        "nodules": nodules,
    }
    return _fitted(document)


def silence_text(session_id: str, view: View) -> str:
    """The same where no frame comes."""
    return _fitted(
        {"session_id": session_id, "frame_id": None, "state": str(view.state), "reason": view.detail, "nodules": []}
    )


def status_of(view: View, frame: Frame | None) -> tuple[int, str, str]:
    """Code, name and text of STATUS.

    Parameters
    ----------
    view : what may be shown
    frame : None where no frame comes
    """
    code = _CODES.get(view.word, _OK if view.state is ResultState.FINDING else _NOT_READY)
    words = [view.headline, view.detail]
    if frame is not None and frame.spacing_rc_mm is None:
        words.append(UNCALIBRATED)
    return code, view.word, "; ".join(filter(None, words))


def _fitted(document: dict[str, Any]) -> str:
    """As JSON, without the last nodules where a STRING cannot hold them all; their number is said then."""
    text = _to_json(document).decode("utf-8")
    while len(text.encode("utf-8")) > MAX_STRING_BYTES and document["nodules"]:
        document["nodules_left_out"] = document.get("nodules_left_out", 0) + 1
        document["nodules"].pop()
        text = _to_json(document).decode("utf-8")
    return text
