"""The frames of a session: as single images without loss, and as a compact video."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np

from usassist.common.private_files import create_private
from usassist.errors import SessionError
from usassist.session.export.new_file import new_file
from usassist.session.frame_images import FrameImage
from usassist.session.opening import RecordedSession
from usassist.session.writing import new_folder
from usassist.sinks.pixels import USUAL_RATE_HZ
from usassist.sinks.video import Coding, VideoWriter

__all__ = ["export_frames", "export_video", "image_name", "write_frames", "write_image", "write_video"]

# SVT-AV1 (BSD); preset 8 is its fastest meant for viewing.
_CODING = Coding(
    codec="libsvtav1",
    container="matroska",
    grey="yuv420p",
    colour="yuv420p",
    options={"preset": "8", "crf": "32", "svtav1-params": "lp=2"},
    threads=2,
)
_MIN_SIDE_PX = 64


def export_frames(session: RecordedSession, folder: Path, problems: list[str]) -> int:
    """Write every frame as a PNG, named by its number; returns how many.

    Raises
    ------
    SessionError
        If the folder exists, or cannot be written.
    """
    with new_folder(folder) as new:
        return len(write_frames(session, new, problems))


def write_frames(session: RecordedSession, folder: Path, problems: list[str]) -> set[int]:
    """As :func:`export_frames`, into an existing folder; returns the numbers of the frames."""
    written: set[int] = set()
    for line, image in session.images(problems):
        if image is None:
            continue
        write_image(folder / image_name(line.frame_id), image)
        written.add(line.frame_id)
    return written


def write_image(path: Path, image: FrameImage) -> None:
    """Write one image as PNG: uint8 (H, W) or (H, W, 3) RGB, into a new private file."""
    pixels = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image
    _, data = cv2.imencode(".png", pixels)
    with create_private(path) as file:
        file.write(data.tobytes())


def image_name(frame_id: int) -> str:
    """Name of a frame's PNG."""
    return f"{frame_id:08d}.png"


def export_video(session: RecordedSession, path: Path, problems: list[str]) -> int:
    """Write a compact, lossy copy of the frames for viewing; returns how many.

    A frame of another size than the first is fitted into its corner; a frame that is lost is left out, and its time
    stays.

    Raises
    ------
    SessionError
        If it cannot be written, or there is no frame.
    """
    with new_file(path) as temporary:
        return write_video(session, temporary, problems)


def write_video(session: RecordedSession, path: Path, problems: list[str]) -> int:
    """As :func:`export_video`, into an existing file."""
    writer: VideoWriter | None = None
    size_hw_px, count, first_id = (0, 0), 0, 0
    rate_hz = float(session.manifest.source.get("rate_hz") or USUAL_RATE_HZ)
    try:
        for line, image in session.images(problems):
            if image is None:
                continue
            if writer is None:
                size_hw_px = (_even(image.shape[0]), _even(image.shape[1]))
                container = "mp4" if path.suffix == ".mp4" else _CODING.container
                writer = VideoWriter(path, size_hw_px, rate_hz, dataclasses.replace(_CODING, container=container))
                first_id = line.frame_id
            writer.write(_fitted(image, size_hw_px), line.frame_id - first_id)
            count += 1
    finally:
        if writer is not None:
            writer.close()
    if count == 0:
        raise SessionError(f"{session.folder} holds no readable frame; run usassist session verify")
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
