"""The report of ``usassist eval nodule --boxes``: from frames with boxes for truth to figures, rows and tiles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from usassist.evaluation.contact_sheet import WorstFrames
from usassist.evaluation.detection import AP_IOU, average_precision_figure, ece_figure
from usassist.evaluation.figures import compute_score_figures, mean_by_case
from usassist.evaluation.frame_reports import NoduleFrames, report_of, rows_of_skipped
from usassist.evaluation.images import Skipped
from usassist.evaluation.run import FrameOutcome
from usassist.evaluation.tally import FrameTally, score_frame, tally

__all__ = ["box_report", "box_rows", "collect_box_frames"]


def collect_box_frames(outcomes: Iterable[FrameOutcome], threshold: float) -> NoduleFrames:
    """Score frames one by one; pixels are kept only for the contact sheet, least overlap first."""
    frames, scores, worst = [], [], WorstFrames()
    for outcome in outcomes:
        frame = tally(outcome)
        score = score_frame(frame, threshold)
        frames.append(frame)
        scores.append(score)
        if len(frame.nodule_px):
            overlap = _best_overlap(frame, threshold)
            best = f"score {frame.best_score:.2f}" if score.kept else "nothing found"
            # Of the nodules that were missed, first those where something else was found with a high score.
            place = overlap if any(score.hits) or not score.kept else overlap - frame.best_score
            worst.offer(outcome, threshold, place, f"{frame.name}   IoU of boxes {overlap:.2f}   {best}")
    return NoduleFrames(frames=tuple(frames), scores=tuple(scores), surfaces={}, tiles=tuple(worst.tiles))


def box_report(
    collected: NoduleFrames, threshold: float, annotations: Path | None, looks: Mapping[str, str] | None
) -> dict[str, Any]:
    """Compute all figures of frames with boxes, see :func:`usassist.evaluation.frame_reports.report_of`."""
    of_scores = compute_score_figures(collected.scores)
    half = [(frame.case, hit) for frame in collected.frames for hit in score_frame(frame, threshold, AP_IOU).hits]
    figures = {
        "sensitivity": of_scores["sensitivity"],
        "sensitivity_iou50": mean_by_case(half),
        "false_positives_per_frame": of_scores["false_positives_per_frame"],
        "ap50_boxes": average_precision_figure(collected.frames),
        "ece": ece_figure(collected.frames),
        "side_rel_bias": of_scores["diameter_rel_bias"],
        "side_rel_sd": of_scores["diameter_rel_sd"],
    }
    return report_of(collected, figures, annotations, looks)


def box_rows(collected: NoduleFrames, threshold: float, skipped: Iterable[Skipped]) -> list[Mapping[str, Any]]:
    """One row per frame and per skipped file, for CSV."""
    rows: list[Mapping[str, Any]] = [
        {
            "name": frame.name,
            "case": frame.case,
            "state": "evaluated" if len(frame.nodule_px) else "evaluated, nothing marked",
            "nodules": len(frame.nodule_px),
            "hits": sum(score.hits),
            "hits_iou50": sum(score_frame(frame, threshold, AP_IOU).hits),
            "false_positives": score.false_positives,
            "best_score": frame.best_score,
            "best_iou": _best_overlap(frame, threshold) if len(frame.nodule_px) else None,
            "crop_xyxy_px": " ".join(map(str, frame.scan_xyxy_px)) + ("" if frame.cropped else " whole frame"),
            "converted": frame.converted,
        }
        for frame, score in zip(collected.frames, collected.scores, strict=True)
    ]
    return [*rows, *rows_of_skipped(rows, skipped)]


def _best_overlap(frame: FrameTally, threshold: float) -> float:
    """The largest IoU of a detection with a box; 0 when nothing is found."""
    return float(frame.overlap[: frame.kept(threshold)].max(initial=0.0))
