"""A simulated scanner: a moving thyroid scene with known nodules, speckle, and a scanner's screen around it."""

from __future__ import annotations

from usassist.phantom.clip import render_clip
from usassist.phantom.config import NodulePlan, PhantomConfig
from usassist.phantom.fault_scanner import FaultFrame, FaultScanner
from usassist.phantom.faults import Fault, FaultPlan, load_faults
from usassist.phantom.scanner import PhantomScanner
from usassist.phantom.sweep_scenes import SweepScene, draw_sweep_scenes, render_sweep
from usassist.phantom.training_scenes import draw_training_scene
from usassist.phantom.truth import ClipTruth, NoduleTruth, PhantomFrame, PhantomScan, TruthFrame, read_truth

__all__ = [
    "ClipTruth",
    "Fault",
    "FaultFrame",
    "FaultPlan",
    "FaultScanner",
    "NodulePlan",
    "NoduleTruth",
    "PhantomConfig",
    "PhantomFrame",
    "PhantomScan",
    "PhantomScanner",
    "SweepScene",
    "TruthFrame",
    "draw_sweep_scenes",
    "draw_training_scene",
    "load_faults",
    "read_truth",
    "render_clip",
    "render_sweep",
]
