"""What a run did, as a document without identity: new UIDs, names of attributes, counts; no value, no path."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from usassist.dicom.deidentify.masking import MaskedFrame
from usassist.dicom.deidentify.profile import EDITION, Action
from usassist.dicom.deidentify.tags import TagLog

__all__ = ["ObjectReport", "RunReport", "summary_lines"]

_SCHEMA = "usassist deidentify 1.0"
NOT_DONE = (
    "not certified; a person looks at the frames before they are passed on",
    "a face can be rebuilt from slices of a head; nothing was done about it",
    "handwriting, and text that neither detector knows, may be left",
    "a rare disease, an implant or a tattoo can identify without text",
)


@dataclass(slots=True, kw_only=True)
class ObjectReport:
    """One object of the input.

    Attributes
    ----------
    number : in the input, from 1 on, in the order of the sorted paths
    uid : new SOP instance UID; empty where the object has none
    kind : ``ultrasound`` or ``slice``; empty where it is neither
    refused : why it was not written; empty where it was
    frames : number of frames
    kept_xyxy_px : rectangle that was kept, px
    frame_px : pixels of a frame
    outside_px, text_px, second_px : pixels per frame that are black: outside the scan area, around text, and of these
        those that only the check found
    residual : frames on which the check still finds text; 0 for every object that was written
    tags : what was done to the attributes
    """

    number: int
    uid: str = ""
    kind: str = ""
    refused: str = ""
    frames: int = 0
    kept_xyxy_px: tuple[int, int, int, int] | None = None
    frame_px: int = 0
    outside_px: list[int] = field(default_factory=list)
    text_px: list[int] = field(default_factory=list)
    second_px: list[int] = field(default_factory=list)
    residual: list[int] = field(default_factory=list)
    tags: TagLog = field(default_factory=TagLog)
    has_face: bool = False

    def add(self, frame: MaskedFrame) -> None:
        """Count a frame that was masked, checked, and written."""
        self.outside_px.append(frame.outside_px)
        self.text_px.append(frame.text_px)
        self.second_px.append(frame.second_px)
        self.residual.append(0)  # else it was refused

    def document(self) -> dict[str, Any]:
        """For JSON."""
        head: dict[str, Any] = {"number": self.number, "uid": self.uid, "kind": self.kind}
        if self.refused:
            return head | {"written": False, "refused": self.refused}
        return head | {
            "written": True,
            "frames": self.frames,
            "kept_xyxy_px": self.kept_xyxy_px,
            "frame_px": self.frame_px,
            "masked_outside_px": self.outside_px,
            "masked_text_px": self.text_px,
            "masked_by_check_px": self.second_px,
            "residual_text": self.residual,
            "may_show_a_face": self.has_face,
            "tags": {
                "before": self.tags.before,
                "after": self.tags.after,
                "done": {str(action): dict(sorted(names.items())) for action, names in sorted(self.tags.done.items())},
            },
        }


@dataclass(slots=True, kw_only=True)
class RunReport:
    """A whole input.

    Attributes
    ----------
    text_check : what every frame was checked with
    dates : ``removed`` or ``shifted``
    objects : one report each
    not_dicom : files that are no DICOM file; they are left out
    """

    text_check: str
    dates: str
    objects: list[ObjectReport] = field(default_factory=list)
    not_dicom: int = 0

    @property
    def written(self) -> list[ObjectReport]:
        """Objects that were written."""
        return [item for item in self.objects if not item.refused]

    @property
    def refused(self) -> list[ObjectReport]:
        """Objects that were not."""
        return [item for item in self.objects if item.refused]

    def document(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "schema": _SCHEMA,
            "profile": f"DICOM PS3.15 table E.1-1, edition {EDITION}",
            "text_check": self.text_check,
            "dates": self.dates,
            "written": len(self.written),
            "refused": len(self.refused),
            "not_dicom": self.not_dicom,
            "residual_text_frames": sum(sum(item.residual) for item in self.written),
            "frames": sum(item.frames for item in self.written),
            "not_done": list(NOT_DONE),
            "objects": [item.document() for item in self.objects],
        }


def summary_lines(report: RunReport) -> list[str]:
    """For a terminal: a line for each object, its attributes by what was done to them, and the whole."""
    lines = []
    for item in report.objects:
        if item.refused:
            lines.append(f"{item.number}: refused: {item.refused}")
            continue
        size = max(1, item.frame_px)
        frames = "1 frame" if item.frames == 1 else f"{item.frames} frames"
        lines.append(
            f"{item.number}: {item.uid}: {frames}, residual text on {sum(item.residual)}; black: "
            f"{100 * float(np.mean(item.outside_px)) / size:.1f} % outside the scan area, "
            f"{100 * float(np.mean(item.text_px)) / size:.2f} % around text, at most "
            f"{100 * max(item.text_px) / size:.2f} % of a frame"
        )
        counts = ", ".join(f"{item.tags.count(action)} {action}" for action in Action if item.tags.count(action))
        lines.append(f"   attributes: {item.tags.before} before, {item.tags.after} after: {counts}")
    whole = report.document()
    lines.append(
        f"{whole['written']} written, {whole['refused']} refused, {whole['not_dicom']} files are no DICOM; "
        f"residual text on {whole['residual_text_frames']} of {whole['frames']} frames, by {report.text_check}"
    )
    faces = sum(item.has_face for item in report.written)
    if faces:
        lines.append(f"{faces} objects may show a face; nothing was done about it")
    return lines
