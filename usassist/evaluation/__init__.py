"""Measure engines on labelled frames, with confidence intervals."""

from usassist.evaluation.figures import choose_threshold, compute_false_alarms, compute_figures
from usassist.evaluation.folders import LabelledFrame, read_clips, read_labelled, read_negatives, render_phantom
from usassist.evaluation.metrics import Figure, bootstrap_by_case
from usassist.evaluation.run import FrameOutcome, run_frames
from usassist.evaluation.tally import FrameTally, tally

__all__ = [
    "Figure",
    "FrameOutcome",
    "FrameTally",
    "LabelledFrame",
    "bootstrap_by_case",
    "choose_threshold",
    "compute_false_alarms",
    "compute_figures",
    "read_clips",
    "read_labelled",
    "read_negatives",
    "render_phantom",
    "run_frames",
    "tally",
]
