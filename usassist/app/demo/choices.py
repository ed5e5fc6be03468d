"""What a visitor may choose for an engine."""

from __future__ import annotations

from usassist.calibrate import load_score_calibration
from usassist.engine import find_engine

__all__ = ["points_of", "precisions_of"]


def precisions_of(engine: str) -> list[str]:
    """``auto``, and the precisions of an engine that run on a plain processor."""
    return ["auto", *(name for name in find_engine(engine).precisions if name != "fp16")]


def points_of(engine: str) -> list[str]:
    """``auto``, and the operating points of an engine; scores that are not calibrated have none."""
    scores = load_score_calibration(find_engine(engine).engine_id)
    return ["auto", *(() if scores is None else scores.points)]
