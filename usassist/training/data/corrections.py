"""Frames of recorded sessions with the nodules that readers corrected, divided by session."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from usassist.errors import ConfigError
from usassist.frames import to_grey
from usassist.session import open_session
from usassist.session.corrections import LabelledFrame, labelled_frames
from usassist.training.data.marks import remove_marks
from usassist.training.data.sample import Sample, nothing_marked

__all__ = ["CORRECTIONS", "CorrectedSamples", "is_held_out_session", "load_corrections"]

CORRECTIONS = "corrections"
"""Name of this set among the terms of the data."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CorrectedSamples:
    """The frames of both sides. Frames that no reader touched are in neither.

    Attributes
    ----------
    train, validation : no session is on both sides
    """

    train: Sequence[Sample]
    validation: Sequence[Sample]


def is_held_out_session(session_id: str, val_share: float) -> bool:
    """Whether a session is on the side of validation: by its id alone, so that it stays there in every run.

    A part or a repaired copy of a session has its id, and is on the same side.

    Parameters
    ----------
    session_id : of the recording
    val_share : share of the sessions that are held out, 0 to 1
    """
    digest = hashlib.sha256(f"validation {session_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 < val_share


def load_corrections(folders: Sequence[Path], val_share: float) -> CorrectedSamples:
    """Read the corrected frames of some sessions, as they were recorded: cropped to the scan area already.

    Parameters
    ----------
    folders : of recorded sessions with corrections
    val_share : as of :func:`is_held_out_session`

    Raises
    ------
    ConfigError
        If a frame is given twice, or every session is held out.
    SessionError
        If a folder holds no session, nothing of it was corrected, or a frame cannot be read.
    """
    sides: dict[bool, list[Sample]] = {False: [], True: []}
    seen: set[str] = set()
    for folder in folders:
        for frame in labelled_frames(open_session(folder)):
            sample = _sample(frame)
            if sample.name in seen:
                raise ConfigError(
                    f"{folder}: frame {frame.frame_id} of its session is in another folder, too; give each session once"
                )
            seen.add(sample.name)
            sides[is_held_out_session(frame.session_id, val_share)].append(sample)
    if folders and not sides[False]:
        raise ConfigError(
            f"all {len(folders)} sessions with corrections are held out for validation; give more sessions, or set "
            "corrections_val_share = 0 in the recipe's table [data]"
        )
    return CorrectedSamples(train=sides[False], validation=sides[True])


def _sample(frame: LabelledFrame) -> Sample:
    image = np.ascontiguousarray(to_grey(frame.image))
    cleaned = remove_marks(image)
    return Sample(
        name=f"{frame.session_id}/{frame.frame_id:08d}",
        image=image,
        nodule=frame.nodule,
        gland=nothing_marked(image),
        look=f"session {frame.session_id}",
        cleaned=None if np.array_equal(cleaned, image) else cleaned,
    )
