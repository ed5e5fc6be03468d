"""Searches recorded images for text that is left in them: a bounded number of them, or all, or all with a text reader.

Bright spots of tissue are suspected now and then by the search, so what it suspects is to be looked at. What the reader
reads is text.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from usassist.frames.burnt_text import find_burnt_text

__all__ = ["EveryText", "Reader", "TextLeft"]


class Reader(Protocol):
    """Reads text: :class:`usassist.dicom.deidentify.TextReader`."""

    def find(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
        """Where something is read: bool (H, W) of an image (H, W) or (H, W, 3)."""


_GROUPS = 40  # at most, spread over the recording
_LOOKS = 5  # of a group
_STEP = 3  # frames from look to look
_TOGETHER = _LOOKS * _STEP  # neighbours, where every image is searched; closer ones are too much alike


@dataclass(slots=True)
class TextLeft:
    """What was found. Add every image in order.

    Parameters
    ----------
    frames : in the recording

    Attributes
    ----------
    looked_at : number of images searched, at most 200
    suspected : frames that may hold text or marks, by number
    """

    frames: int
    looked_at: int = 0
    suspected: list[int] = field(default_factory=list)
    _group: list[tuple[int, npt.NDArray[np.uint8]]] = field(default_factory=list)

    def add(self, index: int, frame_id: int, image: npt.NDArray[np.uint8]) -> None:
        """Add the next image.

        Parameters
        ----------
        index : its position in the recording, lost ones included
        frame_id : of the frame
        image : uint8 (H, W) or (H, W, 3) RGB
        """
        period = max(_LOOKS * _STEP, -(-self.frames // _GROUPS))
        place = index % period
        if self._group and (place == 0 or self._group[0][1].shape != image.shape):
            self.end()
        if place % _STEP == 0 and place < _LOOKS * _STEP:
            self._group.append((frame_id, image))

    def end(self) -> None:
        """Search the last group; call it after the last image."""
        group, self._group = self._group, []
        if not group:
            return
        self.looked_at += len(group)
        images = [image for _, image in group]
        if find_burnt_text(images).any() or (len(images) > 1 and find_burnt_text(images[:1]).any()):
            self.suspected += [frame_id for frame_id, _ in group]


@dataclass(slots=True)
class EveryText:
    """What was found on all images: each is searched alone and with its neighbours, and read.

    Parameters
    ----------
    reader : reads every image too; None = they are only searched

    Attributes
    ----------
    looked_at : number of images
    suspected : frames that may hold text or marks, by number
    read : frames on which text was read
    """

    reader: Reader | None = None
    looked_at: int = 0
    suspected: list[int] = field(default_factory=list)
    read: list[int] = field(default_factory=list)
    _group: list[tuple[int, npt.NDArray[np.uint8]]] = field(default_factory=list)

    def add(self, index: int, frame_id: int, image: npt.NDArray[np.uint8]) -> None:
        """Add the next image; as :meth:`TextLeft.add`."""
        if self._group and (len(self._group) == _TOGETHER or self._group[0][1].shape != image.shape):
            self.end()
        self._group.append((frame_id, image))
        if self.reader is not None and self.reader.find(image).any():
            self.read.append(frame_id)

    def end(self) -> None:
        """Search the last group; call it after the last image."""
        group, self._group = self._group, []
        if not group:
            return
        self.looked_at += len(group)
        together = len(group) > _STEP and find_burnt_text([image for _, image in group[::_STEP]]).any()
        self.suspected += [number for number, image in group if together or find_burnt_text([image]).any()]
