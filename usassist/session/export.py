"""Writes a recorded session in forms that other programs read: a table, a compact video, single images."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from usassist.common.private_files import create_private, replacing
from usassist.errors import SessionError
from usassist.session.frame_images import FrameImage
from usassist.session.opening import RecordedSession
from usassist.session.writing import new_folder
from usassist.sinks.files import explain
from usassist.sinks.pixels import USUAL_RATE_HZ
from usassist.sinks.video import Coding, VideoWriter

__all__ = ["CSV_COLUMNS", "export_csv", "export_frames", "export_video"]

_OF_FRAME = ("frame_id", "t_s", "state", "cause", "reason", "engine_id", "backend", "calibration_id")
_OF_NODULE = ("label", "track_id", "score")
_BOX = ("x1_px", "y1_px", "x2_px", "y2_px")
_SIZES = (
    "major_px",
    "minor_px",
    "area_px2",
    "major_mm",
    "minor_mm",
    "area_mm2",
    "major_u95_mm",
    "minor_u95_mm",
    "area_u95_mm2",
)
CSV_COLUMNS = (*_OF_FRAME, "nodule", *_OF_NODULE, *_BOX, *_SIZES, "descriptors")

# SVT-AV1 (BSD); of its presets, 8 is the fastest that is meant for looking at.
_CODING = Coding(
    codec="libsvtav1",
    container="matroska",
    grey="yuv420p",
    colour="yuv420p",
    options={"preset": "8", "crf": "32", "svtav1-params": "lp=2"},
    threads=2,
)
_MIN_SIDE_PX = 64


def export_csv(session: RecordedSession, path: Path) -> int:
    """One row per nodule, and one for each frame without any; gives the number of rows.

    Raises
    ------
    SessionError
        If it cannot be written, or is there already.
    """
    rows = 0
    with _new_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, CSV_COLUMNS)
        table.writeheader()
        for line in session.lines():
            result = line.result or {"state": "missing", "reason": "the result is not in the recording"}
            t_s = (line.frame.t_capture_ns - session.frames[0].t_capture_ns) / 1e9
            frame = {name: result.get(name) for name in _OF_FRAME} | {"frame_id": line.frame_id, "t_s": f"{t_s:.6f}"}
            nodules = result.get("nodules") or [None]
            for number, nodule in enumerate(nodules):
                table.writerow(frame | ({} if nodule is None else {"nodule": number} | _nodule(nodule)))
            rows += len(nodules)
    return rows


def _nodule(nodule: dict[str, Any]) -> dict[str, Any]:
    words = [f"{item['name']}={item['value']} ({item['probability']:.2f})" for item in nodule.get("descriptors") or ()]
    return (
        {name: nodule.get(name) for name in (*_OF_NODULE, *_SIZES)}
        | dict(zip(_BOX, nodule["xyxy_px"], strict=True))
        | {"descriptors": "; ".join(words)}
    )


def export_frames(session: RecordedSession, folder: Path, problems: list[str]) -> int:
    """Every frame as a PNG of its own, named by its number; gives how many.

    Raises
    ------
    SessionError
        If the folder is there already or cannot be written.
    """
    count = 0
    with new_folder(folder) as new:
        for line, image in session.images(problems):
            if image is None:
                continue
            pixels = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image
            _, data = cv2.imencode(".png", pixels)
            with create_private(new / f"{line.frame_id:08d}.png") as file:
                file.write(data.tobytes())
            count += 1
    return count


def export_video(
    session: RecordedSession, path: Path, problems: list[str], progress: Callable[[int, int], None] | None = None
) -> int:
    """A compact copy of the frames, lossy, for looking at; gives how many.

    A frame of another size than the first is fitted into its corner; a frame that is lost is left out, and its time
    stays.

    Raises
    ------
    SessionError
        If it cannot be written, or there is no frame.
    """
    writer: VideoWriter | None = None
    size_hw_px, count, first_id = (0, 0), 0, 0
    rate_hz = float(session.manifest.source.get("rate_hz") or USUAL_RATE_HZ)
    with _new_file(path) as temporary:
        try:
            for line, image in session.images(problems):
                if image is None:
                    continue
                if writer is None:
                    size_hw_px = (_even(image.shape[0]), _even(image.shape[1]))
                    writer = VideoWriter(temporary, size_hw_px, rate_hz, _CODING)
                    first_id = line.frame_id
                writer.write(_fitted(image, size_hw_px), line.frame_id - first_id)
                count += 1
                if progress is not None:
                    progress(count, len(session.frames))
        finally:
            if writer is not None:
                writer.close()
        if count == 0:
            raise SessionError(f"{session.folder} holds no frame that can be shown; see usassist session verify")
    return count


def _even(side_px: int) -> int:
    return max(side_px + side_px % 2, _MIN_SIDE_PX)


def _fitted(image: FrameImage, size_hw_px: tuple[int, int]) -> FrameImage:
    height, width = size_hw_px
    if image.shape[:2] == size_hw_px:
        return image
    fitted: FrameImage = np.zeros((height, width, *image.shape[2:]), np.uint8)
    part = image[:height, :width]
    fitted[: part.shape[0], : part.shape[1]] = part
    return fitted


@contextmanager
def _new_file(path: Path) -> Iterator[Path]:
    """A private file to write into, which takes its name at the end, or is gone."""
    if path.exists():
        raise SessionError(f"{path} is there already; choose another name or move it away")
    try:
        with replacing(path, private=True) as temporary:
            yield temporary
    except OSError as error:
        raise SessionError(explain(path, error)) from error
