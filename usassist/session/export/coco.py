"""Results as one COCO file of detections with outlines.

A frame that has no answer is not among ``images``, because an image without annotations says that nothing was found in
it. Such frames are listed under ``info``, each with its state and reason.

https://cocodataset.org/#format-data
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from usassist.bus import EngineBody
from usassist.errors import MessageError, SchemaVersionError, SessionError
from usassist.frames import fill_labelmap
from usassist.records import ResultState, Segmentation
from usassist.session.export.new_file import new_file
from usassist.session.export.pixels import image_name
from usassist.session.messages import whole_message
from usassist.session.opening import RecordedSession, SessionLine
from usassist.sinks.sizes import size_in_words

__all__ = ["export_coco", "write_coco"]

_ANSWERS = (ResultState.FINDING, ResultState.NO_FINDING)
_NOTE = (
    "Frames without an answer are not among the images and are listed here. Of a nodule that the border of the scan "
    "cuts, size and area are what is seen of it, and at least that. Segmentations follow the edges of the pixels, so "
    "that their area is the number of pixels; scores are as they were published."
)


def export_coco(session: RecordedSession, path: Path, images: Collection[int] | None = None) -> tuple[int, int]:
    """Write the results as COCO; returns the number of images and of annotations.

    Parameters
    ----------
    session : of which the results are
    path : of the file
    images : numbers of the frames that were written as PNG; None = those of all frames

    Raises
    ------
    SessionError
        If the file exists, or cannot be written.
    """
    with new_file(path) as temporary:
        return write_coco(session, temporary, images)


def write_coco(session: RecordedSession, path: Path, images: Collection[int] | None = None) -> tuple[int, int]:
    """As :func:`export_coco`, into an existing file."""
    shown: list[dict[str, Any]] = []
    unanswered: list[dict[str, Any]] = []
    engine = _engine(session)
    labels = {} if engine is None else {label.id: label.name for label in engine.labels}
    count = 0
    with path.open("w", encoding="utf-8") as file:
        file.write('{"annotations": [')
        for line in session.lines():
            result = line.result
            lost = images is not None and line.frame_id not in images
            if lost or result is None or result["state"] not in _ANSWERS:
                unanswered.append(_unanswered(line, lost=lost))
                continue
            x1, y1, x2, y2 = line.frame.roi_xyxy_px
            name = image_name(line.frame_id)
            shown.append({"id": line.frame_id, "file_name": name, "width": x2 - x1, "height": y2 - y1})
            for nodule in result["nodules"]:
                labels.setdefault(nodule["label_id"], nodule.get("label") or f"label {nodule['label_id']}")
                count += 1
                file.write((",\n" if count > 1 else "\n") + json.dumps(_annotation(count, line.frame_id, nodule)))
        rest = {
            "images": shown,
            "categories": [
                {"id": label_id + 1, "name": name, "supercategory": "", "label_id": label_id}
                for label_id, name in sorted(labels.items())
            ],
            "licenses": [],
            "info": _info(session, engine, unanswered),
        }
        file.write("\n]" + "".join(f",\n{json.dumps(key)}: {json.dumps(value)}" for key, value in rest.items()) + "}\n")
    return len(shown), count


def _annotation(number: int, frame_id: int, nodule: dict[str, Any]) -> dict[str, Any]:
    x1, y1, x2, y2 = nodule["xyxy_px"]
    polygon, area_px2 = _edge_polygon(np.array(nodule["contour_xy_px"], np.float32))
    return {
        "id": number,  # from 1: pycocotools takes 0 for "no match"
        "image_id": frame_id,
        "category_id": nodule["label_id"] + 1,  # from 1: many programs take 0 for the background
        "segmentation": [polygon],
        "bbox": [x1, y1, round(x2 - x1, 2), round(y2 - y1, 2)],
        "area": area_px2,
        "iscrowd": 0,
        "score": nodule["score"],
        "track_id": nodule["track_id"],
        "size": size_in_words(nodule),
        "cut": nodule.get("cut"),  # None in recordings from before it was looked for
    }


def _edge_polygon(contour: npt.NDArray[np.float32]) -> tuple[list[int], int]:
    """The filled outline as a polygon along the edges of its pixels (x, y, x, y, …), and the number of its pixels.

    An outline of ours runs through the centres of the outermost pixels; COCO fills a polygon as it stands, and would
    lose half a pixel all around.
    """
    origin = np.floor(contour.min(axis=0)) - 1
    width, height = (np.ceil(contour.max(axis=0)) - origin).astype(int) + 1
    region = fill_labelmap(Segmentation.of([contour - origin.astype(np.float32)]), (height, width))
    # Each pixel becomes 2 x 2: of the outermost of these, the outer corner is a corner of the pixel.
    found, _ = cv2.findContours(np.kron(region, np.ones((2, 2), np.uint8)), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    corners = (max(found, key=len)[:, 0] + 1) // 2
    corners = corners[(corners != np.roll(corners, 1, axis=0)).any(axis=1)]
    before, after = corners - np.roll(corners, 1, axis=0), np.roll(corners, -1, axis=0) - corners
    turns = corners[before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]]
    return (turns + origin.astype(int)).ravel().tolist(), int(region.sum())


def _unanswered(line: SessionLine, *, lost: bool) -> dict[str, Any]:
    result = line.result or {"state": "missing", "reason": "the result is not in the recording"}
    if lost:
        result = {"state": "missing", "reason": "the pixels of the frame cannot be read"}
    return {
        "frame_id": line.frame_id,
        "file_name": image_name(line.frame_id),
        **{key: result.get(key) for key in ("state", "cause", "reason")},
    }


def _info(session: RecordedSession, engine: EngineBody | None, unanswered: list[dict[str, Any]]) -> dict[str, Any]:
    point = None if engine is None else engine.point
    return {
        "description": f"results of the recorded session {session.manifest.session_id}",
        "date_created": session.manifest.created_utc,
        "note": _NOTE,
        "session_id": session.manifest.session_id,
        "engine_id": None if engine is None else engine.engine_id,
        "score_calibration_id": None if engine is None else engine.score_calibration_id,
        "point": None if point is None else point.name,
        "frames": len(session.frames),
        "frames_without_answer": unanswered,
    }


def _engine(session: RecordedSession) -> EngineBody | None:
    """The engine as the log announces it; None if it does not."""
    with contextlib.suppress(SessionError, SchemaVersionError):
        for record in session.messages():
            with contextlib.suppress(MessageError):
                message = whole_message(record)
                if message.topic.name == "engine":
                    body: EngineBody = message.body
                    return body
    return None
