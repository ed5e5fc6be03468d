"""Corrected frames as labelled frames: for training, and as a folder of images and masks.

Only frames that a reader corrected (or looked at, and accepted) are labels. What nobody touched is none.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from usassist.errors import SessionError
from usassist.session.corrections.record import CorrectedFrame, current_frames, read_imports
from usassist.session.export.pixels import image_name, write_image
from usassist.session.frame_images import FrameImage
from usassist.session.opening import RecordedSession
from usassist.session.writing import new_folder

__all__ = ["FACTS_FILE", "LabelledFrame", "export_labels", "labelled_frames"]

FACTS_FILE = "corrections.json"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelledFrame:
    """A frame with a reader's mask.

    Attributes
    ----------
    session_id : of the recording
    image : uint8 (H, W) or (H, W, 3) RGB, as it was recorded
    nodule : uint8 (H, W), 1 = nodule
    correction : the nodules, and what was changed
    """

    session_id: str
    image: FrameImage
    nodule: npt.NDArray[np.uint8]
    correction: CorrectedFrame

    @property
    def frame_id(self) -> int:
        """Number of the frame."""
        return self.correction.frame_id


def labelled_frames(session: RecordedSession) -> Iterator[LabelledFrame]:
    """The corrected frames of a session with their masks, in order.

    Frames that the session does not have are left out where it is a part or a repaired copy of another one.

    Raises
    ------
    SessionError
        If nothing was corrected, a mask does not fit its frame, or the pixels of a frame cannot be read.
    """
    corrected = current_frames(read_imports(session.folder))
    if not corrected:
        raise SessionError(f"{session.folder} has no corrections; usassist session corrections import brings them")
    manifest = session.manifest
    there = {line.frame_id for line in session.frames}
    missing = corrected.keys() - there
    if missing and manifest.cut_from is None and not manifest.repaired:
        raise SessionError(
            f"{session.folder} has no frame {min(missing)}, which was corrected; run usassist session verify"
        )
    wanted = corrected.keys() & there
    problems: list[str] = []
    for line, image in session.wanted_images(wanted, problems):
        if problems:
            break
        frame = corrected[line.frame_id]
        if image.shape[:2] != frame.image_hw_px:
            raise SessionError(
                f"{session.folder}: the correction of frame {line.frame_id} has another size; run usassist session "
                "verify"
            )
        mask = np.zeros(frame.image_hw_px, np.uint8)
        for region in frame.regions():
            region.paint(mask)
        wanted = wanted - {line.frame_id}
        yield LabelledFrame(session_id=manifest.session_id, image=image, nodule=mask, correction=frame)
    if problems or wanted:
        said = problems[0] if problems else f"the pixels of frame {min(wanted)} cannot be read"
        raise SessionError(f"{session.folder}: {said}; run usassist session repair")


def export_labels(session: RecordedSession, folder: Path) -> int:
    """Write ``images/NAME.png``, ``masks/NAME.png`` (0 and 255) and what was changed; returns how many frames.

    Names are ``SESSION_00000012.png``, so that folders of several sessions can be put together.

    Raises
    ------
    SessionError
        As :func:`labelled_frames`; or if the folder exists, or cannot be written. Then there is nothing of it.
    """
    facts: list[dict[str, Any]] = []
    with new_folder(folder) as new:
        for name in ("images", "masks"):
            (new / name).mkdir(mode=0o700)
        for item in labelled_frames(session):
            name = f"{item.session_id}_{image_name(item.frame_id)}"
            write_image(new / "images" / name, item.image)
            write_image(new / "masks" / name, item.nodule * 255)
            facts.append(
                {
                    "file_name": name,
                    "session_id": item.session_id,
                    "frame_id": item.frame_id,
                    "nodules": [
                        {"label": x.label, "change": x.change, "iou": x.iou, "track_id": x.track_id}
                        for x in item.correction.outlines
                    ],
                    "removed": [{"track_id": x.track_id, "score": x.score} for x in item.correction.removed],
                }
            )
        (new / FACTS_FILE).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    return len(facts)
