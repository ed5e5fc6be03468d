"""Results as one COCO file of detections with outlines.

A frame that has no answer is not among ``images``, because an image without annotations says that nothing was found in
it. Such frames are listed under ``info``, each with its state and reason.

https://cocodataset.org/#format-data
"""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from usassist.bus import EngineBody
from usassist.session.export.answers import is_answer, unanswered
from usassist.session.export.labels import announced_engine
from usassist.session.export.new_file import new_file
from usassist.session.export.pixels import image_name
from usassist.session.export.polygons import edge_polygon
from usassist.session.opening import RecordedSession
from usassist.sinks.sizes import size_in_words

__all__ = ["export_coco", "write_coco"]

_NOTE = (
    "Frames without an answer are not among the images and are listed here. Of a nodule that the border of the scan "
    "cuts, size and area are what is seen of it, and at least that. Segmentations follow the edges of the pixels, so "
    "that their area is the number of pixels; scores are as they were published. Marks that a person made on a frame "
    "are its `marks` (the kinds wrong and missed judge its result); a frame without such a mark was not judged."
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
    without: list[dict[str, Any]] = []
    engine = announced_engine(session)
    labels = {} if engine is None else {label.id: label.name for label in engine.labels}
    marks = _marks(session)
    count = 0
    with path.open("w", encoding="utf-8") as file:
        file.write('{"annotations": [')
        for line in session.lines():
            result = line.result
            lost = images is not None and line.frame_id not in images
            if lost or result is None or not is_answer(result):
                without.append(unanswered(line, lost=lost) | marks.get(line.frame_id, {}))
                continue
            x1, y1, x2, y2 = line.frame.roi_xyxy_px
            name = image_name(line.frame_id)
            image = {"id": line.frame_id, "file_name": name, "width": x2 - x1, "height": y2 - y1}
            shown.append(image | marks.get(line.frame_id, {}))
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
            "info": _info(session, engine, without),
        }
        file.write("\n]" + "".join(f",\n{json.dumps(key)}: {json.dumps(value)}" for key, value in rest.items()) + "}\n")
    return len(shown), count


def _annotation(number: int, frame_id: int, nodule: dict[str, Any]) -> dict[str, Any]:
    x1, y1, x2, y2 = nodule["xyxy_px"]
    corners, area_px2 = edge_polygon(np.array(nodule["contour_xy_px"], np.float32))
    return {
        "id": number,  # from 1: pycocotools takes 0 for "no match"
        "image_id": frame_id,
        "category_id": nodule["label_id"] + 1,  # from 1: many programs take 0 for the background
        "segmentation": [corners.ravel().tolist()],
        "bbox": [x1, y1, round(x2 - x1, 2), round(y2 - y1, 2)],
        "area": area_px2,
        "iscrowd": 0,
        "score": nodule["score"],
        "track_id": nodule["track_id"],
        "size": size_in_words(nodule),
        "cut": nodule.get("cut"),  # None in recordings from before it was looked for
    }


def _info(session: RecordedSession, engine: EngineBody | None, without: list[dict[str, Any]]) -> dict[str, Any]:
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
        "frames_without_answer": without,
    }


def _marks(session: RecordedSession) -> dict[int, dict[str, Any]]:
    """Frame → its marks, in the order in which they were made, each with the fields of its kind."""
    found: dict[int, dict[str, Any]] = {}
    for mark in session.marks:
        fields = {
            name: value
            for name, value in msgspec.structs.asdict(mark).items()
            if name not in ("frame_id", "t_publish_ns") and value not in (-1, None, {})
        }
        found.setdefault(mark.frame_id, {"marks": []})["marks"].append(fields)
    return found
