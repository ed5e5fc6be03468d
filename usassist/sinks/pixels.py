"""Pixels of a recording: the video file that each frame is written to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from usassist.records import Frame, FrameLine, frame_metadata
from usassist.sinks.covering import Box, cover
from usassist.sinks.files import make_private
from usassist.sinks.video import LOSSLESS, Coding, VideoWriter

__all__ = ["USUAL_RATE_HZ", "PixelFiles", "grey_plane"]

_CHECK_FRAMES = 32  # between two checks of the size of the file
USUAL_RATE_HZ = 30.0  # where the stream has no rate


class PixelFiles:
    """Writes frames losslessly, each into a file of its size and colour.

    Parameters
    ----------
    folder : of the session
    coding : of the files
    most_bytes : a file that has grown beyond this is closed, and the next one begun

    Attributes
    ----------
    count : number of files
    """

    def __init__(self, folder: Path, coding: Coding = LOSSLESS["fast"], most_bytes: int = 2**30) -> None:
        self._folder = folder
        self._coding = coding
        self._most_bytes = most_bytes
        self._written = 0
        self._video: VideoWriter | None = None
        self._video_key: tuple[tuple[int, int], bool] | None = None
        self.count = 0

    @property
    def names(self) -> list[str]:
        """All files."""
        return [self._name(number + 1) for number in range(self.count)]

    @property
    def name(self) -> str:
        """The file that is being written, or was written last."""
        return self._name(self.count)

    def _name(self, number: int) -> str:
        """Name of a file by its number, from 1."""
        return f"frames{'' if number == 1 else f'_{number}'}{self._coding.suffix}"

    def take_frame(self, frame: Frame, boxes_xyxy_px: Sequence[Box], rate_hz: float | None) -> FrameLine:
        """Write a frame.

        Parameters
        ----------
        frame : as it was published
        boxes_xyxy_px : boxes to cover, px of the image; x2 and y2 exclusive
        rate_hz : of the stream, None where that is not known

        Returns
        -------
        line : for ``frames.jsonl``

        Raises
        ------
        SessionError
            If it cannot be written.
        """
        image = cover(frame.image, boxes_xyxy_px)
        grey = image if image.ndim == 2 else grey_plane(image)
        colour = grey is None or self._video_key == (frame.image_hw_px, True)  # once colour, it stays in one file
        is_large = self.count > 0 and self._written % _CHECK_FRAMES == 0 and self._size() > self._most_bytes
        if self._video is None or self._video_key != (frame.image_hw_px, colour) or is_large:
            self.close()
            self.count += 1
            make_private(self._folder / self.name)
            self._video = VideoWriter(
                self._folder / self.name, frame.image_hw_px, rate_hz or USUAL_RATE_HZ, self._coding, colour=colour
            )
            self._video_key = (frame.image_hw_px, colour)
        self._written += 1
        crc32 = self._video.write(image if colour or grey is None else grey, frame.frame_id)
        return FrameLine(
            **frame_metadata(frame),
            file=self.name,
            channels=1 if image.ndim == 2 else 3,
            covered_xyxy_px=tuple(boxes_xyxy_px),
            crc32=crc32,
        )

    def _size(self) -> int:
        return (self._folder / self.name).stat().st_size

    def close(self) -> None:
        """Close the file that is being written; the next frame begins another. May be called twice.

        Raises
        ------
        SessionError
            If its end cannot be written; what was written before can still be read.
        """
        video, self._video = self._video, None
        if video is not None:
            video.close()


def grey_plane(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8] | None:
    """One plane of an RGB image whose three planes are equal, else None. Most B-mode images are such."""
    red, green, blue = cv2.split(image)
    same = np.array_equal(red, green) and np.array_equal(green, blue)
    return np.asarray(green, np.uint8) if same else None
