"""What was not seen, and the marks, as rows of tables."""

from __future__ import annotations

from typing import Any

from usassist.session.summary import SweepDocument
from usassist.session.summary.document import MarkOfSweep
from usassist.words import Words

__all__ = ["mark_rows", "unseen_rows"]


def unseen_rows(document: SweepDocument, words: Words) -> list[dict[str, Any]]:
    """Rows with ``name``, ``frames``, ``seconds`` and ``level``: 1 where it is a part of the row above."""
    unseen, sweep = document.unseen, document.sweep
    no_result_s = sum(item.seconds for item in unseen.no_result)
    no_result = sum(item.frames for item in unseen.no_result)
    not_live_s, not_live = sum(i.seconds for i in unseen.not_live), sum(i.frames for i in unseen.not_live)
    rows = [
        _row(words("unseen.sweep"), sweep.frames, sweep.length_s, words),
        _row(words("unseen.answered"), unseen.answered_frames, unseen.answered_s, words),
        _row(words("unseen.finding"), unseen.finding_frames, None, words, 1),
        _row(words("unseen.no_finding"), unseen.no_finding_frames, None, words, 1),
        _row(words("unseen.no_result"), no_result, no_result_s, words),
        *(_row(_cause(item.name, words), item.frames, item.seconds, words, 1) for item in unseen.no_result),
        _row(words("unseen.not_live"), not_live, not_live_s, words),
        *(_row(words(f"signal.{item.name}"), item.frames, item.seconds, words, 1) for item in unseen.not_live),
        _row(words("unseen.silent"), None, unseen.without_frames_s, words),
        _row(words("unseen.without_scale"), unseen.without_scale_frames, unseen.without_scale_s, words),
        _row(words("unseen.frames_lost"), unseen.frames_lost, None, words),
        _row(words("unseen.results_lost"), unseen.results_lost, None, words),
        _row(words("unseen.pixels_lost"), unseen.pixels_lost, None, words),
        _row(words("unseen.messages_lost"), unseen.messages_lost, None, words),
    ]
    return rows


def _cause(name: str, words: Words) -> str:
    key = f"cause.{name}"
    return words(key) if words.known(key) else name.replace("_", " ")


def _row(name: str, frames: int | None, seconds: float | None, words: Words, level: int = 0) -> dict[str, Any]:
    none = words("format.none")
    return {
        "name": name,
        "frames": none if frames is None else str(frames),
        "seconds": none if seconds is None else words.number(seconds, 1 if seconds >= 10.0 else 2),
        "level": level,
    }


def mark_rows(document: SweepDocument, words: Words) -> list[dict[str, Any]]:
    """Rows with ``kind``, ``frame``, ``time`` and ``about``."""
    return [
        {
            "kind": words(f"marks.{mark.kind}"),
            "frame": mark.frame_id,
            "time": words("format.none") if mark.t_s is None else words.number(mark.t_s, 2),
            "about": _about(mark, words),
        }
        for mark in document.marks
    ]


def _about(mark: MarkOfSweep, words: Words) -> str:
    parts = [] if mark.track_id is None else [f"N{mark.track_id}"]
    parts += [] if mark.plane is None else [words(f"plane.{mark.plane}")]
    parts += [] if mark.side is None else [words(f"side.{mark.side}")]
    return words.join(parts) or words("format.none")
