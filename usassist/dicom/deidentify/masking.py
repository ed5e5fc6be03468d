"""Blacks what may identify a patient in every frame, and checks every frame that comes out.

Ultrasound: everything outside the scan area is black. Text inside it is searched by ``frames/burnt_text.py``: on each
frame alone, on fifteen neighbours together, which shows fainter text, and on frames spread over the whole cine; what is
found is black in those frames and in the fifteen before and behind. CT and MR: text is found by the text reader.

Then each masked frame is looked at by another detector than the one that made the masks: the text reader where it is
installed, else the same search with a lower threshold. What that finds is black too, and the frame is looked at again;
where something is left after a few rounds, the object is refused. Memory: three groups of frames.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice

import numpy as np
import numpy.typing as npt

from usassist.dicom.deidentify.kinds import Kind
from usassist.dicom.deidentify.pictures import Pictures, Samples
from usassist.dicom.deidentify.reader import TextReader
from usassist.dicom.deidentify.refused import RefusedError
from usassist.dicom.deidentify.scan import Area, sampled_views
from usassist.frames.burnt_text import find_burnt_text

__all__ = ["MaskedFrame", "masked_frames"]

UInt8Array = npt.NDArray[np.uint8]
BoolArray = npt.NDArray[np.bool_]

_LOOKS, _STEP = 5, 3  # of a group of neighbours that are searched together: closer ones are too much alike
_TOGETHER = _LOOKS * _STEP
_ROUNDS = 12  # the edges of black boxes are found again now and then
_LOWER = 0.85  # of the threshold, for the check without a text reader
_MOST_SHARE = 0.3  # of the kept area; with more text than that, it is a page and no image


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MaskedFrame:
    """A frame without what may identify.

    Attributes
    ----------
    samples : as of :class:`Pictures`; the same as decoded outside the masks
    outside_px : pixels outside the scan area
    text_px : pixels of the boxes around text inside it
    second_px : of these, those that only the check found
    """

    samples: Samples
    outside_px: int
    text_px: int
    second_px: int


@dataclass(slots=True)
class _Group:
    frames: list[Samples]
    marks: BoolArray


def masked_frames(pictures: Pictures, area: Area, reader: TextReader | None) -> Iterator[MaskedFrame]:
    """Yield every frame, masked and checked.

    Parameters
    ----------
    pictures : of one file
    area : that is kept, x1, y1, x2, y2 in px
    reader : None = the check is a second search with a lower threshold; CT and MR need the reader

    Raises
    ------
    RefusedError
        If a frame cannot be decoded, or text is left, or hardly anything is.
    """
    rest = pictures.samples()
    x1, y1, x2, y2 = area
    nothing = np.zeros((y2 - y1, x2 - x1), np.bool_)
    search = pictures.kind is Kind.ULTRASOUND
    always = nothing
    if search and len(pictures.spans) > _TOGETHER:
        always = find_burnt_text([view[y1:y2, x1:x2] for view in next(sampled_views(pictures))])
    before, current = nothing, None
    number = 0
    groups = iter(lambda: list(islice(rest, _TOGETHER)), [])
    for frames in chain(groups, [None]):
        after = None
        if frames is not None:
            views = [pictures.views(frame)[0][y1:y2, x1:x2] for frame in frames]
            after = _Group(frames, _search(views) if search else nothing)
        if current is not None:
            marks = always | before | current.marks | (nothing if after is None else after.marks)
            for frame in current.frames:
                number += 1
                yield _finish(pictures, frame, area, marks, reader, number)
            before = current.marks
        current = after


def _search(views: list[UInt8Array]) -> BoolArray:
    """Text on any of some neighbouring views."""
    found = find_burnt_text(views[::_STEP])
    for view in views:
        found = found | find_burnt_text([view])
    return found


def _finish(
    pictures: Pictures, frame: Samples, area: Area, marks: BoolArray, reader: TextReader | None, number: int
) -> MaskedFrame:
    x1, y1, x2, y2 = area
    views = [view[y1:y2, x1:x2] for view in pictures.views(frame)]
    covered = marks
    for _ in range(_ROUNDS):
        more = _check([_blacked(view, covered) for view in views], reader)
        if not (more & ~covered).any():  # what is found only on black is the edge of a box
            break
        covered = covered | more
    else:
        raise RefusedError(f"text is suspected on frame {number} after it was masked {_ROUNDS} times")
    if covered.mean() > _MOST_SHARE:
        raise RefusedError(
            f"text would cover {100 * covered.mean():.0f} % of frame {number}: a page of text and no image"
        )
    height_px, width_px = pictures.header.hw_px
    out = np.full_like(frame, pictures.black(frame))
    inside = out[y1:y2, x1:x2]
    inside[~covered] = frame[y1:y2, x1:x2][~covered]
    return MaskedFrame(
        samples=out,
        outside_px=height_px * width_px - covered.size,
        text_px=int(np.count_nonzero(covered)),
        second_px=int(np.count_nonzero(covered & ~marks)),
    )


def _check(views: list[UInt8Array], reader: TextReader | None) -> BoolArray:
    """Where an independent look finds text."""
    found = np.zeros(views[0].shape[:2], np.bool_)
    for view in views:
        found |= find_burnt_text([view], times_threshold=_LOWER) if reader is None else reader.find(view)
    return found


def _blacked(view: UInt8Array, marks: BoolArray) -> UInt8Array:
    out = view.copy()
    out[marks] = 0
    return out
