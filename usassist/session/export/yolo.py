"""YOLO segmentation: ``images/NAME.png``, ``labels/NAME.txt`` and ``data.yaml``.

A line of a label file is a class and a polygon: ``0 x1 y1 x2 y2 …``, in shares of width and height. An empty file says
that nothing was found, so a frame without an answer has neither file nor image; it is listed beside them.

https://docs.ultralytics.com/datasets/segment/
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from usassist.common.private_files import create_private
from usassist.session.export.answers import is_answer, unanswered
from usassist.session.export.labels import announced_engine, label_names
from usassist.session.export.pixels import image_name, write_image
from usassist.session.export.polygons import edge_polygon
from usassist.session.opening import RecordedSession, SessionLine

__all__ = ["UNANSWERED_FILE", "write_yolo"]

UNANSWERED_FILE = "frames_without_answer.json"

_DIGITS = 8  # a corner is found again to 1e-4 px on the largest screen
_YAML = """\
# Frames of the recorded session {session}. Frames without an answer are not here but in {unanswered}.
# One sweep shows one patient many times: divide your data by session, never by frame. `val` is the same folder, because
# the key has to be there.
path: .
train: images
val: images
nc: {count}
names:
{names}
"""


def write_yolo(session: RecordedSession, folder: Path, problems: list[str]) -> tuple[int, int]:
    """Write the data set; returns the number of images and of outlines.

    Parameters
    ----------
    session : of which the results are
    folder : exists, and is empty
    problems : gets one line for each frame that cannot be read

    Raises
    ------
    OSError
        If it cannot be written.
    """
    names = label_names(session, announced_engine(session))
    classes = {label_id: number for number, label_id in enumerate(names)}
    for name in ("images", "labels"):
        (folder / name).mkdir(mode=0o700)
    without: list[dict[str, Any]] = []
    shown = outlines = 0
    with session.result_reader() as read:
        for frame, image in session.images(problems):
            line = SessionLine(frame=frame, result=read(frame.frame_id))
            if image is None or line.result is None or not is_answer(line.result):
                without.append(unanswered(line, lost=image is None))
                continue
            nodules = line.result["nodules"]
            height, width = image.shape[:2]
            write_image(folder / "images" / image_name(line.frame_id), image)
            rows = [_row(classes[nodule["label_id"]], nodule, width, height) for nodule in nodules]
            _write(folder / "labels" / Path(image_name(line.frame_id)).with_suffix(".txt"), "".join(rows))
            shown, outlines = shown + 1, outlines + len(nodules)
    _write(folder / UNANSWERED_FILE, json.dumps({"session_id": session.manifest.session_id, "frames": without}))
    listed = "\n".join(f"  {classes[label_id]}: {json.dumps(name)}" for label_id, name in names.items())
    _write(
        folder / "data.yaml",
        _YAML.format(
            session=session.manifest.session_id, unanswered=UNANSWERED_FILE, count=len(names), names=listed or "  {}"
        ),
    )
    return shown, outlines


def _row(number: int, nodule: dict[str, Any], width: int, height: int) -> str:
    corners, _ = edge_polygon(np.array(nodule["contour_xy_px"], np.float32))
    shares = np.clip(corners / (width, height), 0.0, 1.0)
    return f"{number} " + " ".join(f"{share:.{_DIGITS}g}" for share in shares.ravel()) + "\n"


def _write(path: Path, text: str) -> None:
    with create_private(path) as file:
        file.write(text.encode("utf-8"))
