"""Figures of subsets of the frames: by size of the nodule, TI-RADS category, dual or single view, and look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from usassist.evaluation.cases import TIRADS, case_of
from usassist.evaluation.detection import ece_figure
from usassist.evaluation.figures import compute_score_figures, mean_by_case
from usassist.evaluation.looks import UNKNOWN_LOOK
from usassist.evaluation.metrics import Figure
from usassist.evaluation.tally import FrameScore, FrameTally

__all__ = ["SIZES", "LookSlice", "Slice", "slices_by_look", "slices_by_size", "slices_by_tirads", "slices_by_view"]

SIZES = {"< 1 %": (0.0, 0.01), "1-5 %": (0.01, 0.05), "5-15 %": (0.05, 0.15), "> 15 %": (0.15, np.inf)}
"""Name → range [low, high) of the share of the scan area."""

ScoredFrame = tuple[FrameTally, FrameScore]


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """Figures of a subset of the frames.

    Attributes
    ----------
    frames, nodules : number of each
    dice_mean, sensitivity, false_positives_per_frame : as for all frames
    """

    frames: int
    nodules: int
    dice_mean: Figure
    sensitivity: Figure
    false_positives_per_frame: Figure


@dataclass(frozen=True, slots=True, kw_only=True)
class LookSlice(Slice):
    """Figures of the frames of one look, with what else differs from scanner to scanner.

    Attributes
    ----------
    ece : expected calibration error of all detections
    diameter_rel_bias, diameter_rel_sd : mean and standard deviation of the relative error of the longest diameter of
        the nodules found (where boxes are the truth, of the longer side)
    """

    ece: Figure
    diameter_rel_bias: Figure
    diameter_rel_sd: Figure


def slices_by_size(scored: Sequence[ScoredFrame]) -> dict[str, Slice]:
    """By the share of the scan area that a nodule covers.

    A frame belongs to the slice of its largest nodule (Dice, false positives), a nodule to its own slice (sensitivity).
    Frames without a nodule are in no slice.
    """
    slices = {}
    for name, (low, below) in SIZES.items():

        def inside(frame: FrameTally, px: float, low: float = low, below: float = below) -> bool:
            return low <= px / frame.scan_px < below

        chosen = [
            (frame, score) for frame, score in scored if len(frame.nodule_px) and inside(frame, frame.nodule_px.max())
        ]
        hits = [
            (frame.case, hit)
            for frame, score in scored
            for px, hit in zip(frame.nodule_px, score.hits, strict=True)
            if inside(frame, px)
        ]
        slices[name] = _slice(chosen, hits)
    return slices


def slices_by_tirads(scored: Sequence[ScoredFrame], tirads: Mapping[str, str]) -> dict[str, Slice]:
    """By the TI-RADS category of the case.

    Parameters
    ----------
    scored : frames with their scores
    tirads : case (the name of a frame up to its first underscore) → category or ``unknown``
    """
    return {
        category: _slice([item for item in scored if tirads[case_of(item[0].name)] == category])
        for category in (*TIRADS, "unknown")
    }


def slices_by_view(scored: Sequence[ScoredFrame]) -> dict[str, Slice]:
    """By single or dual view, see :func:`usassist.evaluation.tally.is_dual_view`."""
    return {
        "single": _slice([item for item in scored if not item[0].is_dual]),
        "dual": _slice([item for item in scored if item[0].is_dual]),
    }


def slices_by_look(scored: Sequence[ScoredFrame], looks: Mapping[str, str]) -> dict[str, LookSlice]:
    """By the look of the screen, those with most frames first.

    Parameters
    ----------
    scored : frames with their scores
    looks : name → look; a frame that is not in it has the look ``unknown``
    """
    by_look: dict[str, list[ScoredFrame]] = {}
    for item in scored:
        by_look.setdefault(looks.get(item[0].name, UNKNOWN_LOOK), []).append(item)
    slices = {}
    for look, chosen in sorted(by_look.items(), key=lambda pair: (-len(pair[1]), pair[0])):
        part, figures = _slice(chosen), compute_score_figures([score for _, score in chosen])
        slices[look] = LookSlice(
            frames=part.frames,
            nodules=part.nodules,
            dice_mean=part.dice_mean,
            sensitivity=part.sensitivity,
            false_positives_per_frame=part.false_positives_per_frame,
            ece=ece_figure([frame for frame, _ in chosen]),
            diameter_rel_bias=figures["diameter_rel_bias"],
            diameter_rel_sd=figures["diameter_rel_sd"],
        )
    return slices


def _slice(chosen: Sequence[ScoredFrame], hits: Sequence[tuple[str, bool]] | None = None) -> Slice:
    """Figures of the chosen frames; sensitivity over `hits`, or over the nodules of these frames."""
    if hits is None:
        hits = [(frame.case, hit) for frame, score in chosen for hit in score.hits]
    marked = [(frame.case, score.dice) for frame, score in chosen if np.isfinite(score.dice)]
    false_positives = [(frame.case, score.false_positives) for frame, score in chosen]
    return Slice(
        frames=len(chosen),
        nodules=len(hits),
        dice_mean=mean_by_case(marked),
        sensitivity=mean_by_case(hits),
        false_positives_per_frame=mean_by_case(false_positives),
    )
