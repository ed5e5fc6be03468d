"""What is compared with what, and what came of it; see ``rerun.compare``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from usassist.app.rerun.fields import COMPARED, FieldApart, Verdict
from usassist.records import Result

__all__ = ["Comparison", "FieldRow", "FrameApart", "Side", "amount_words"]


def amount_words(name: str, amount: float) -> str:
    """How far apart two results are in one field, as it is told: ``Dice 0.951``.

    Parameters
    ----------
    name : row of ``rerun.fields.COMPARED``
    amount : see ``rerun.fields.FieldApart``
    """
    words = {
        "findings": f"{amount:.0f} alone",
        "score": f"score by {amount:.2g}",
        "box": f"box IoU {1.0 - amount:.3f}",
        "outline": f"Dice {1.0 - amount:.3f}",
        "sizes": f"size by {100.0 * amount:.3g} %",
        "descriptors": f"share by {amount:.2g}",
    }
    return words.get(name, f"{name} {amount:.3g}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of both recordings.

    Attributes
    ----------
    frame_ids : of the frames that it holds, in order
    results : in order of arrival
    covered : frames whose text the recorder covered
    gaps : topic → how many messages of it the recording itself says are missing
    broken_off : it has no end, so what is missing there is no difference
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
    verdicts : how many frames came to which
    worst : largest amount, see ``rerun.fields.FieldApart``; None where it is no number
    worst_frame : on which frame; None where nothing differs
    """

    verdicts: Counter[Verdict] = field(default_factory=Counter)
    worst: float | None = 0.0
    worst_frame: int | None = None

    @property
    def compared(self) -> int:
        """How many frames have this field."""
        return self.verdicts.total()

    def add(self, frame_id: int, apart: FieldApart) -> None:
        """Count one frame."""
        self.verdicts[apart.verdict] += 1
        if apart.verdict is Verdict.IDENTICAL or self.worst is None:
            return
        if apart.amount is None or self.worst_frame is None or apart.amount > self.worst:
            self.worst, self.worst_frame = apart.amount, frame_id

    def as_dict(self) -> dict[str, Any]:
        """For a document."""
        counts = {verdict.replace(" ", "_"): self.verdicts[verdict] for verdict in Verdict}
        return {"compared": self.compared, **counts, "largest": self.worst, "largest_frame_id": self.worst_frame}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FrameApart:
    """One frame that differs.

    Attributes
    ----------
    frame_id : which
    words : how, in one line
    weight : how bad, to put the worst first
    recorded, again : both results
    """

    frame_id: int
    words: str
    weight: tuple[int, float]
    recorded: Result
    again: Result


@dataclass(slots=True, kw_only=True)
class Comparison:
    """What came of it.

    Attributes
    ----------
    exact, tolerant : frames that had to be the same to the last bit, and frames within tolerances
    fields, covered : row of the table → counts, of the frames that decide, and of those whose text was covered
    covered_frames : how many of those were compared
    not_live : frames that were not live in the recording
    left_out : cause → frames that had no answer in the recording
    missing : what the recording lacks and says so, in words
    faults : what is not as it must be and belongs to no pair of results, in words
    differences : frames that differ, worst first
    covered_differences : likewise of those whose text was covered
    """

    exact: int = 0
    tolerant: int = 0
    fields: dict[str, FieldRow] = field(default_factory=lambda: {name: FieldRow() for name in COMPARED})
    covered: dict[str, FieldRow] = field(default_factory=lambda: {name: FieldRow() for name in COMPARED})
    covered_frames: int = 0
    not_live: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    missing: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    differences: list[FrameApart] = field(default_factory=list)
    covered_differences: list[FrameApart] = field(default_factory=list)

    @property
    def compared(self) -> int:
        """Frames that decide."""
        return self.exact + self.tolerant

    @property
    def identical(self) -> bool:
        """True when frames were compared, all had to be the same to the last bit, and all are."""
        return self.ok and self.exact > 0 and self.tolerant == 0

    @property
    def ok(self) -> bool:
        """True when something was compared and nothing differs."""
        return self.compared + self.covered_frames > 0 and not self.differences and not self.faults

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
            "differences": [{"frame_id": item.frame_id, "how": item.words} for item in self.differences],
            "covered_text": {
                "frames_compared": self.covered_frames,
                "fields": {name: row.as_dict() for name, row in self.covered.items()},
                "differences": [{"frame_id": item.frame_id, "how": item.words} for item in self.covered_differences],
            },
        }
