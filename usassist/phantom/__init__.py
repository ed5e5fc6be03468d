"""A simulated scanner: a moving thyroid scene with known nodules, speckle, and a scanner's screen around it."""

from __future__ import annotations

from usassist.phantom.clip import render_clip
from usassist.phantom.config import NodulePlan, PhantomConfig
from usassist.phantom.scanner import PhantomScanner
from usassist.phantom.truth import ClipTruth, NoduleTruth, PhantomFrame, PhantomScan, TruthFrame, read_truth

__all__ = [
    "ClipTruth",
    "NodulePlan",
    "NoduleTruth",
    "PhantomConfig",
    "PhantomFrame",
    "PhantomScan",
    "PhantomScanner",
    "TruthFrame",
    "read_truth",
    "render_clip",
]
