"""Where the image of a sweep became another one, which ends what was marked of its plane."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from usassist.errors import SessionError
from usassist.frames import compute_thumbnail, goes_on
from usassist.records import SignalState
from usassist.session.summary.seen import SweepLines

__all__ = ["find_cuts"]

_ANOTHER = (SignalState.LOST, SignalState.CHANGED, SignalState.NOT_B_MODE)


def find_cuts(sweep: SweepLines) -> frozenset[int]:
    """Numbers of the frames that do not go on where the one before left off, or whose signal is lost, changed or not
    B-mode; see ``bus.MarkBody``. None where no plane was marked.

    Answered frames are compared, and only where the recording leaves it open: an answer that follows another one was
    checked when it was made (``Result.follows_frame_id``). A frame whose pixels are lost does not go on.

    Parameters
    ----------
    sweep : the lines of the session

    Raises
    ------
    SessionError
        If a frame that has to be compared is damaged.
    """
    marked = [mark.frame_id for mark in sweep.marks if mark.kind == "plane"]
    frames = sweep.session.frames
    if not marked:
        return frozenset()
    another = {line.frame_id for line in frames if line.picture in _ANOTHER}
    pairs = [pair for pair in _open_pairs(sweep) if frames[pair[1]].frame_id > min(marked)]
    wanted = {frames[index].frame_id for pair in pairs for index in pair}
    problems: list[str] = []
    thumbnails: dict[int, npt.NDArray[np.float32]] = {}
    for line, image in sweep.session.wanted_images(wanted, problems):
        thumbnails[line.frame_id] = compute_thumbnail(image)
    if problems:
        folder = sweep.session.folder
        raise SessionError(
            f"{folder} is damaged: {problems[0]}; run usassist session verify, and usassist session repair"
        )
    for pair in pairs:
        before, after = (thumbnails.get(frames[index].frame_id) for index in pair)
        if before is None or after is None or not goes_on(before, after):
            another.add(frames[pair[1]].frame_id)
    return frozenset(another)


def _open_pairs(sweep: SweepLines) -> Iterator[tuple[int, int]]:
    """Answered frames, each with the answered one before, of which no answer says that they go on."""
    associates = any(number is not None for number in sweep.follows)
    before: int | None = None
    for index, why in enumerate(sweep.why_not):
        if why:
            continue
        if before is not None and not (associates and sweep.follows[index] is not None):
            yield before, index
        before = index
