"""What is missing of a recorded session."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from usassist.records import FrameLine
from usassist.session.lines import ResultKey
from usassist.session.manifest import Manifest
from usassist.sinks.id_ranges import id_ranges

__all__ = ["Gap", "find_gaps"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Frames, or results, that are missing.

    Attributes
    ----------
    topic : ``frame`` or ``result``
    first_frame_id, last_frame_id : the last is None where nobody knows how much came after
    reason : in words
    """

    topic: str
    first_frame_id: int
    last_frame_id: int | None
    reason: str

    def __str__(self) -> str:
        """In words."""
        span = f"{self.first_frame_id} to {'the end' if self.last_frame_id is None else self.last_frame_id}"
        if self.first_frame_id == self.last_frame_id:
            span = str(self.first_frame_id)
        return f"{self.topic} {span}: {self.reason}"


def find_gaps(manifest: Manifest, frames: Sequence[FrameLine], results: Sequence[ResultKey]) -> Iterator[Gap]:
    """Frames that the numbers leave out, results that frames lack, and what came after the end."""
    ids = sorted({line.frame_id for line in frames})
    first = ids[0] if manifest.cut_from is not None and ids else 0
    for before, after in itertools.pairwise([first - 1, *ids]):
        if after > before + 1:
            yield _gap(manifest, "frame", before + 1, after - 1, "it never arrived, or its line is lost")
    answered = results and {item.frame_id for item in results}
    lacking = [number for number in ids if not answered or number not in answered]
    for start, end in id_ranges(lacking):
        yield _gap(manifest, "result", start, end, "there is no result of it")
    if not manifest.closed:
        last = max(ids[-1] if ids else -1, max((item.frame_id for item in results), default=-1))
        yield Gap(
            topic="frame",
            first_frame_id=last + 1,
            last_frame_id=None,
            reason="the recording was not closed in order; what came after is missing",
        )


def _gap(manifest: Manifest, topic: str, first: int, last: int, reason: str) -> Gap:
    """With the reason that the manifest gives, where it knows of it."""
    for item in manifest.missing:
        if item.get("topic") == topic and item.get("first_frame_id", first + 1) <= first <= item["last_frame_id"]:
            reason = str(item.get("reason", reason))
    return Gap(topic=topic, first_frame_id=first, last_frame_id=last, reason=reason)
