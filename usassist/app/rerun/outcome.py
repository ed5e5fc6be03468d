"""Both sides of a comparison, and its outcome; see ``rerun.compare``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from usassist.app.rerun.fields import COMPARED, FieldDifference, FieldVerdict
from usassist.records import Result

__all__ = ["Comparison", "FieldRow", "FrameDifference", "Side", "describe_amount"]


def describe_amount(name: str, amount: float) -> str:
    """The difference of two results in one field, in words: ``Dice 0.951``.

    Parameters
    ----------
    name : row of ``rerun.fields.COMPARED``
    amount : see ``rerun.fields.FieldDifference``
    """
    texts = {
        "findings": f"{amount:.0f} without a partner",
        "score": f"score by {amount:.2g}",
        "box": f"box IoU {1.0 - amount:.3f}",
        "outline": f"Dice {1.0 - amount:.3f}",
        "sizes": f"size by {100.0 * amount:.3g} %",
        "descriptors": f"share by {amount:.2g}",
    }
    return texts.get(name, f"{name} {amount:.3g}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """The recording, or the rerun.

    Attributes
    ----------
    frame_ids : in order
    results : in order of arrival
    covered : frames whose text the recorder covered
    gaps : topic → how many messages are missing by its own count
    broken_off : it was not closed, so what is missing at its end is no difference
    """

    frame_ids: tuple[int, ...]
    results: tuple[Result, ...]
    covered: frozenset[int] = frozenset()
    gaps: Mapping[str, int] = field(default_factory=dict)
    broken_off: bool = False


@dataclass(slots=True, kw_only=True)
class FieldRow:
    """One field over all frames that were compared.

    Attributes
    ----------
    verdicts : verdict → number of frames
    worst : largest amount, see ``rerun.fields.FieldDifference``; None where it is no number
    worst_frame : its frame; None where nothing differs
    """

    verdicts: Counter[FieldVerdict] = field(default_factory=Counter)
    worst: float | None = 0.0
    worst_frame: int | None = None

    @property
    def compared(self) -> int:
        """Number of frames that have this field."""
        return self.verdicts.total()

    def add(self, frame_id: int, apart: FieldDifference) -> None:
        """Count one frame."""
        self.verdicts[apart.verdict] += 1
        if apart.verdict is FieldVerdict.IDENTICAL or self.worst is None:
            return
        if apart.amount is None or self.worst_frame is None or apart.amount > self.worst:
            self.worst, self.worst_frame = apart.amount, frame_id

    def as_dict(self) -> dict[str, Any]:
        """For a document."""
        counts = {verdict.replace(" ", "_"): self.verdicts[verdict] for verdict in FieldVerdict}
        return {"compared": self.compared, **counts, "largest": self.worst, "largest_frame_id": self.worst_frame}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FrameDifference:
    """One frame that differs.

    Attributes
    ----------
    frame_id : of the frame
    description : of the differences, in one line
    weight : severity, to sort the worst first
    recorded, again : both results
    """

    frame_id: int
    description: str
    weight: tuple[int, float]
    recorded: Result
    again: Result


@dataclass(slots=True, kw_only=True)
class Comparison:
    """Outcome of a comparison.

    Attributes
    ----------
    exact, tolerant : frames that had to be the same to the last bit, and frames within tolerances
    fields, covered : row of the table → counts, for frames that count, and for those whose text was covered
    covered_frames : compared frames whose text was covered
    unsettled_frames : compared frames whose answer depends on frames that the recording does not hold as they were
        answered
    not_live : frames that were not live in the recording
    left_out : cause → frames that had no answer in the recording
    missing : what the recording lacks by its own count, one line each
    faults : what is wrong beside differences of results, one line each
    differences : frames that differ, worst first
    covered_differences : likewise, of frames whose text was covered
    unsettled_differences : likewise, of the unsettled ones
    """

    exact: int = 0
    tolerant: int = 0
    fields: dict[str, FieldRow] = field(default_factory=lambda: {name: FieldRow() for name in COMPARED})
    covered: dict[str, FieldRow] = field(default_factory=lambda: {name: FieldRow() for name in COMPARED})
    covered_frames: int = 0
    unsettled_frames: int = 0
    not_live: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    missing: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    differences: list[FrameDifference] = field(default_factory=list)
    covered_differences: list[FrameDifference] = field(default_factory=list)
    unsettled_differences: list[FrameDifference] = field(default_factory=list)

    @property
    def compared(self) -> int:
        """Frames that count."""
        return self.exact + self.tolerant

    @property
    def identical(self) -> bool:
        """True when all compared frames had to be equal to the last bit, and are."""
        return self.ok and self.exact > 0 and self.tolerant == 0

    @property
    def ok(self) -> bool:
        """True when something was compared and nothing differs."""
        found = self.compared + self.covered_frames + self.unsettled_frames
        return found > 0 and not self.differences and not self.faults

    def as_dict(self) -> dict[str, Any]:
        """For a document."""
        return {
            "ok": self.ok,
            "identical": self.identical,
            "frames_compared": self.compared,
            "compared_to_the_last_bit": self.exact,
            "compared_within_tolerances": self.tolerant,
            "not_live": self.not_live,
            "left_out": dict(self.left_out),
            "missing": self.missing,
            "faults": self.faults,
            "fields": {name: row.as_dict() for name, row in self.fields.items()},
            "differences": _describe_all(self.differences),
            "covered_text": {
                "frames_compared": self.covered_frames,
                "fields": {name: row.as_dict() for name, row in self.covered.items()},
                "differences": _describe_all(self.covered_differences),
            },
            "unsettled": {
                "frames_compared": self.unsettled_frames,
                "differences": _describe_all(self.unsettled_differences),
            },
        }


def _describe_all(differences: list[FrameDifference]) -> list[dict[str, Any]]:
    return [{"frame_id": item.frame_id, "how": item.description} for item in differences]
