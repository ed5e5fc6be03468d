"""The reports of ``usassist eval nodule`` and ``usassist eval negatives``: from frames to figures, rows and tiles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from usassist.evaluation.cases import case_of, read_tirads
from usassist.evaluation.contact_sheet import Tile, WorstFrames
from usassist.evaluation.detection import (
    Froc,
    average_precision_figure,
    calibration_bins,
    ece_figure,
    froc,
    froc_figures,
    match_detections,
)
from usassist.evaluation.extras import import_extra
from usassist.evaluation.figures import compute_false_alarms, compute_score_figures, mean_by_case
from usassist.evaluation.images import Skipped
from usassist.evaluation.metrics import Figure, SurfaceDistance, surface_distance
from usassist.evaluation.run import FrameOutcome
from usassist.evaluation.slices import slices_by_look, slices_by_size, slices_by_tirads, slices_by_view
from usassist.evaluation.tally import FrameScore, FrameTally, score_frame, tally

__all__ = [
    "NegativeFrames",
    "NoduleFrames",
    "collect_negative_frames",
    "collect_nodule_frames",
    "count_frames",
    "negative_report",
    "negative_rows",
    "nodule_report",
    "nodule_rows",
    "report_of",
    "require_libraries",
    "rows_of_skipped",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class NoduleFrames:
    """Frames with nodules, scored at one threshold.

    Attributes
    ----------
    frames, scores : one each per frame
    surfaces : of frames with marked pixels, by name
    tiles : of the contact sheet, lowest Dice first
    """

    frames: tuple[FrameTally, ...]
    scores: tuple[FrameScore, ...]
    surfaces: dict[str, SurfaceDistance]
    tiles: tuple[Tile, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NegativeFrames:
    """Frames without nodules.

    Attributes
    ----------
    frames : one per frame
    threshold : detections at or above it are false alarms
    tiles : of the contact sheet, highest score first
    """

    frames: tuple[FrameTally, ...]
    threshold: float
    tiles: tuple[Tile, ...]


def require_libraries() -> None:
    """Import what the figures need, to fail before an hour of inference.

    Raises
    ------
    UsageError
        If a library of the extra ``eval`` is missing.
    """
    for module in ("torch", "monai.metrics", "sklearn.metrics"):
        import_extra(module)


def collect_nodule_frames(outcomes: Iterable[FrameOutcome], threshold: float) -> NoduleFrames:
    """Score frames one by one; pixels are kept only for the contact sheet."""
    require_libraries()
    frames, scores, surfaces, worst = [], [], {}, WorstFrames()
    for outcome in outcomes:
        frame = tally(outcome)
        score = score_frame(frame, threshold)
        frames.append(frame)
        scores.append(score)
        if frame.truth_px:
            surfaces[frame.name] = surface_distance(outcome.found(threshold), outcome.frame.truth)
            best = f"score {frame.best_score:.2f}" if score.kept else "nothing found"
            worst.offer(outcome, threshold, score.dice, f"{frame.name}   Dice {score.dice:.2f}   {best}")
    return NoduleFrames(frames=tuple(frames), scores=tuple(scores), surfaces=surfaces, tiles=tuple(worst.tiles))


def nodule_report(
    collected: NoduleFrames, annotations: Path | None, looks: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Compute all figures of frames with masks of nodules, see :func:`report_of`."""
    case_by_name = {frame.name: frame.case for frame in collected.frames}
    distances = [(case_by_name[name], surface) for name, surface in collected.surfaces.items()]
    figures = compute_score_figures(collected.scores)
    figures["nsd_2px"] = mean_by_case([(case, surface.nsd) for case, surface in distances])
    figures["hd95_px"] = mean_by_case([(case, surface.hd95_px) for case, surface in distances])
    figures["ap50"] = average_precision_figure(collected.frames)
    figures["ece"] = ece_figure(collected.frames)
    return report_of(collected, figures, annotations, looks)


def report_of(
    collected: NoduleFrames, figures: Mapping[str, Figure], annotations: Path | None, looks: Mapping[str, str] | None
) -> dict[str, Any]:
    """The report of frames with nodules, around their figures.

    Parameters
    ----------
    collected : at least one frame
    figures : of all frames, ``ece`` among them
    annotations : folder of ``<case>.xml`` of the DDTI database; None = no slices by TI-RADS
    looks : name → look of the screen; None = no slices by look

    Returns
    -------
    ``counts``, ``figures``, ``froc`` (``at`` and ``curve``), ``score_calibration`` (``ece`` and ``bins``), ``slices``,
    and ``looks`` where there are some
    """
    scored = list(zip(collected.frames, collected.scores, strict=True))
    matched = [match_detections(frame) for frame in collected.frames]
    slices: dict[str, Any] = {"size": slices_by_size(scored), "view": slices_by_view(scored)}
    if annotations is not None:
        tirads = {case: read_tirads(annotations, case) for case in {case_of(frame.name) for frame in collected.frames}}
        slices["tirads"] = slices_by_tirads(scored, tirads)
    report = {
        "counts": count_frames(collected.frames)
        | {
            "frames_with_nothing_marked": sum(not frame.truth_px for frame in collected.frames),
            "nodules": sum(len(frame.nodule_px) for frame in collected.frames),
            "marked_frames_with_nothing_found": sum(bool(frame.truth_px) and not score.kept for frame, score in scored),
            "dual_views": sum(frame.is_dual for frame in collected.frames),
        },
        "figures": figures,
        "froc": {"at": froc_figures(collected.frames), "curve": _curve(froc(collected.frames))},
        "score_calibration": {
            "ece": figures["ece"],
            "bins": calibration_bins(
                np.concatenate([item.score for item in matched]), np.concatenate([item.is_hit for item in matched])
            ),
        },
        "slices": slices,
    }
    return report if looks is None else report | {"looks": slices_by_look(scored, looks)}


def count_frames(frames: tuple[FrameTally, ...]) -> dict[str, int]:
    """Number of frames and cases, and of frames with a special property."""
    return {
        "frames": len(frames),
        "cases": len({frame.case for frame in frames}),
        "frames_abstained": sum(frame.abstained for frame in frames),
        "frames_without_scan_area": sum(not frame.cropped for frame in frames),
        "converted_from_16_bit": sum("16 bit" in frame.converted for frame in frames),
        "converted_from_colour": sum("colour" in frame.converted for frame in frames),
    }


def nodule_rows(collected: NoduleFrames, skipped: Iterable[Skipped]) -> list[Mapping[str, Any]]:
    """One row per frame and per skipped file, for CSV."""
    rows: list[Mapping[str, Any]] = []
    for frame, score in zip(collected.frames, collected.scores, strict=True):
        surface = collected.surfaces.get(frame.name)
        rows.append(
            {
                "name": frame.name,
                "case": frame.case,
                "state": _state(frame) + ("" if frame.truth_px else ", nothing marked"),
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
    return [*rows, *rows_of_skipped(rows, skipped)]


def rows_of_skipped(rows: Sequence[Mapping[str, Any]], skipped: Iterable[Skipped]) -> list[Mapping[str, Any]]:
    """One row per skipped file, with the keys of `rows`."""
    keys = list(rows[0]) if rows else []
    return [dict.fromkeys(keys) | {"name": item.name, "state": f"skipped: {item.reason}"} for item in skipped]


def collect_negative_frames(outcomes: Iterable[FrameOutcome], threshold: float) -> NegativeFrames:
    """Tally frames one by one; pixels are kept only for the contact sheet."""
    frames, worst = [], WorstFrames()
    for outcome in outcomes:
        frame = tally(outcome)
        frames.append(frame)
        if frame.kept(threshold):
            caption = f"{frame.name}   score {frame.best_score:.2f}   alarms {frame.kept(threshold)}"
            worst.offer(outcome, threshold, -frame.best_score, caption)
    return NegativeFrames(frames=tuple(frames), threshold=threshold, tiles=tuple(worst.tiles))


def negative_report(collected: NegativeFrames) -> dict[str, Any]:
    """``counts`` and ``figures`` of frames without nodules."""
    return {
        "counts": count_frames(collected.frames)
        | {"frames_with_alarm": sum(frame.kept(collected.threshold) > 0 for frame in collected.frames)},
        "figures": compute_false_alarms(collected.frames, collected.threshold),
    }


def negative_rows(collected: NegativeFrames, skipped: Iterable[Skipped]) -> list[Mapping[str, Any]]:
    """One row per frame and per skipped file, for CSV."""
    rows: list[Mapping[str, Any]] = [
        {
            "name": frame.name,
            "case": frame.case,
            "state": _state(frame),
            "false_alarms": frame.kept(collected.threshold),
            "best_score": frame.best_score,
            "crop_xyxy_px": " ".join(map(str, frame.scan_xyxy_px)) + ("" if frame.cropped else " whole frame"),
            "converted": frame.converted,
        }
        for frame in collected.frames
    ]
    return [*rows, *rows_of_skipped(rows, skipped)]


def _state(frame: FrameTally) -> str:
    return "abstained" if frame.abstained else "evaluated"


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
