"""``usassist eval nodule``: everything about frames with marked nodules, from the frames to JSON, CSV and sheet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from usassist.evaluation.cases import case_of, read_tirads
from usassist.evaluation.detection import (
    Froc,
    average_precision_figure,
    calibration_bins,
    ece_figure,
    flag,
    froc,
    froc_figures,
)
from usassist.evaluation.evaluate import evaluate_scores, mean_by_case
from usassist.evaluation.extras import need
from usassist.evaluation.images import Skipped
from usassist.evaluation.run import FrameOutcome
from usassist.evaluation.sheet import Tile, Worst
from usassist.evaluation.slices import slices_by_size, slices_by_tirads, slices_by_view
from usassist.evaluation.surface import SurfaceDistance, surface_distance
from usassist.evaluation.tally import FrameScore, FrameTally, judge, tally

__all__ = ["NoduleFrames", "count_frames", "need_libraries", "nodule_report", "nodule_rows", "take_nodule_frames"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NoduleFrames:
    """Frames that were run and judged at one threshold.

    Attributes
    ----------
    frames, scores : one each per frame
    surfaces : of the frames on which something is marked, by name
    tiles : of the contact sheet, lowest Dice first
    """

    frames: tuple[FrameTally, ...]
    scores: tuple[FrameScore, ...]
    surfaces: dict[str, SurfaceDistance]
    tiles: tuple[Tile, ...]


def need_libraries() -> None:
    """Import what the figures need, before an hour is spent on frames.

    Raises
    ------
    UsageError
        If a library of the extra ``eval`` is missing.
    """
    for module in ("torch", "monai.metrics", "sklearn.metrics"):
        need(module)


def take_nodule_frames(outcomes: Iterable[FrameOutcome], threshold: float) -> NoduleFrames:
    """Judge frames as they come; their pixels are not kept, but for those of the sheet."""
    need_libraries()
    frames, scores, surfaces, worst = [], [], {}, Worst()
    for outcome in outcomes:
        frame = tally(outcome)
        score = judge(frame, threshold)
        frames.append(frame)
        scores.append(score)
        if frame.truth_px:
            surfaces[frame.name] = surface_distance(outcome.found(threshold), outcome.frame.truth)
            best = f"score {frame.best_score:.2f}" if score.kept else "nothing found"
            worst.offer(outcome, threshold, score.dice, f"{frame.name}   Dice {score.dice:.2f}   {best}")
    return NoduleFrames(frames=tuple(frames), scores=tuple(scores), surfaces=surfaces, tiles=tuple(worst.tiles))


def nodule_report(taken: NoduleFrames, annotations: Path | None) -> dict[str, Any]:
    """All figures.

    Parameters
    ----------
    taken : frames, one at least
    annotations : folder of ``<case>.xml`` of the DDTI database; None = no slices by TI-RADS

    Returns
    -------
    ``counts``, ``figures``, ``froc`` (``at`` and ``curve``), ``score_calibration`` (``ece`` and ``bins``), ``slices``
    """
    judged = list(zip(taken.frames, taken.scores, strict=True))
    case_by_name = {frame.name: frame.case for frame in taken.frames}
    distances = [(case_by_name[name], surface) for name, surface in taken.surfaces.items()]
    figures = evaluate_scores(taken.scores)
    figures["nsd_2px"] = mean_by_case([(case, surface.nsd) for case, surface in distances])
    figures["hd95_px"] = mean_by_case([(case, surface.hd95_px) for case, surface in distances])
    figures["ap50"] = average_precision_figure(taken.frames)
    figures["ece"] = ece_figure(taken.frames)
    flagged = [flag(frame) for frame in taken.frames]
    slices: dict[str, Any] = {"size": slices_by_size(judged), "view": slices_by_view(judged)}
    if annotations is not None:
        tirads = {case: read_tirads(annotations, case) for case in {case_of(frame.name) for frame in taken.frames}}
        slices["tirads"] = slices_by_tirads(judged, tirads)
    return {
        "counts": count_frames(taken.frames)
        | {
            "frames_with_nothing_marked": sum(not frame.truth_px for frame in taken.frames),
            "nodules": sum(len(frame.nodule_px) for frame in taken.frames),
            "marked_frames_with_nothing_found": sum(bool(frame.truth_px) and not score.kept for frame, score in judged),
            "dual_views": sum(frame.is_dual for frame in taken.frames),
        },
        "figures": figures,
        "froc": {"at": froc_figures(taken.frames), "curve": _curve(froc(taken.frames))},
        "score_calibration": {
            "ece": figures["ece"],
            "bins": calibration_bins(
                np.concatenate([item.score for item in flagged]), np.concatenate([item.is_hit for item in flagged])
            ),
        },
        "slices": slices,
    }


def count_frames(frames: tuple[FrameTally, ...]) -> dict[str, int]:
    """What the frames are."""
    return {
        "frames": len(frames),
        "cases": len({frame.case for frame in frames}),
        "frames_without_scan_area": sum(not frame.cropped for frame in frames),
        "converted_from_16_bit": sum("16 bit" in frame.converted for frame in frames),
        "converted_from_colour": sum("colour" in frame.converted for frame in frames),
    }


def nodule_rows(taken: NoduleFrames, skipped: Iterable[Skipped]) -> list[Mapping[str, Any]]:
    """One row per frame and per file left out, for CSV."""
    rows: list[Mapping[str, Any]] = []
    for frame, score in zip(taken.frames, taken.scores, strict=True):
        surface = taken.surfaces.get(frame.name)
        rows.append(
            {
                "name": frame.name,
                "case": frame.case,
                "state": "evaluated" if frame.truth_px else "evaluated, nothing marked",
                "dice": score.dice,
                "iou": score.iou,
                "nsd": None if surface is None else surface.nsd,
                "hd95_px": None if surface is None else surface.hd95_px,
                "nodules": len(frame.nodule_px),
                "hits": sum(score.hits),
                "false_positives": score.false_positives,
                "best_score": frame.best_score,
                "crop_xyxy_px": " ".join(map(str, frame.scan_xyxy_px)) + ("" if frame.cropped else " whole frame"),
                "converted": frame.converted,
            }
        )
    keys = list(rows[0]) if rows else []
    for item in skipped:
        rows.append(dict.fromkeys(keys) | {"name": item.name, "state": f"skipped: {item.reason}"})
    return rows


def _curve(curve: Froc) -> list[dict[str, float]]:
    return [
        {"threshold": threshold, "false_positives_per_frame": rate, "sensitivity": sensitivity}
        for threshold, rate, sensitivity in zip(
            curve.threshold.tolist(),
            curve.false_positives_per_frame.tolist(),
            curve.sensitivity.tolist(),
            strict=True,
        )
    ]
