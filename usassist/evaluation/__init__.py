"""Measure engines on labelled frames, with confidence intervals."""

from usassist.evaluation.evaluate import (
    FrameOutcome,
    choose_threshold,
    evaluate,
    evaluate_negatives,
    run_frames,
)
from usassist.evaluation.folders import LabelledFrame, read_clips, read_labelled, read_negatives, render_phantom
from usassist.evaluation.metrics import Figure, bootstrap_by_case

__all__ = [
    "Figure",
    "FrameOutcome",
    "LabelledFrame",
    "bootstrap_by_case",
    "choose_threshold",
    "evaluate",
    "evaluate_negatives",
    "read_clips",
    "read_labelled",
    "read_negatives",
    "render_phantom",
    "run_frames",
]
