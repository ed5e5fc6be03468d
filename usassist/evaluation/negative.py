"""``usassist eval negatives``: false alarms on frames where no nodule is marked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from usassist.evaluation.evaluate import evaluate_negatives
from usassist.evaluation.images import Skipped
from usassist.evaluation.nodule import count_frames
from usassist.evaluation.run import FrameOutcome
from usassist.evaluation.sheet import Tile, Worst
from usassist.evaluation.tally import FrameTally, tally

__all__ = ["NegativeFrames", "negative_report", "negative_rows", "take_negative_frames"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NegativeFrames:
    """Frames that were run.

    Attributes
    ----------
    frames : one per frame
    threshold : detections at or above it are false alarms
    tiles : of the contact sheet, highest score first
    """

    frames: tuple[FrameTally, ...]
    threshold: float
    tiles: tuple[Tile, ...]


def take_negative_frames(outcomes: Iterable[FrameOutcome], threshold: float) -> NegativeFrames:
    """Count frames as they come; their pixels are not kept, but for those of the sheet."""
    frames, worst = [], Worst()
    for outcome in outcomes:
        frame = tally(outcome)
        frames.append(frame)
        if frame.kept(threshold):
            caption = f"{frame.name}   score {frame.best_score:.2f}   alarms {frame.kept(threshold)}"
            worst.offer(outcome, threshold, -frame.best_score, caption)
    return NegativeFrames(frames=tuple(frames), threshold=threshold, tiles=tuple(worst.tiles))


def negative_report(taken: NegativeFrames) -> dict[str, Any]:
    """``counts`` and ``figures``."""
    return {
        "counts": count_frames(taken.frames)
        | {"frames_with_alarm": sum(frame.kept(taken.threshold) > 0 for frame in taken.frames)},
        "figures": evaluate_negatives(taken.frames, taken.threshold),
    }


def negative_rows(taken: NegativeFrames, skipped: Iterable[Skipped]) -> list[Mapping[str, Any]]:
    """One row per frame and per file left out, for CSV."""
    rows: list[Mapping[str, Any]] = [
        {
            "name": frame.name,
            "case": frame.case,
            "state": "evaluated",
            "false_alarms": frame.kept(taken.threshold),
            "best_score": frame.best_score,
            "crop_xyxy_px": " ".join(map(str, frame.scan_xyxy_px)) + ("" if frame.cropped else " whole frame"),
            "converted": frame.converted,
        }
        for frame in taken.frames
    ]
    keys = list(rows[0]) if rows else []
    rows.extend(dict.fromkeys(keys) | {"name": item.name, "state": f"skipped: {item.reason}"} for item in skipped)
    return rows
