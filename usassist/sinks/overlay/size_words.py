"""Sizes in the words of the window, shorter than those of tables: each measured diameter for itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from usassist.bus import EngineBody
from usassist.records import Result
from usassist.words import Words

__all__ = ["diameters_in_words", "score_in_words"]


def diameters_in_words(sizes: Mapping[str, Any], words: Words) -> tuple[str, ...]:
    """Longest diameter and the extent across it, in mm with their uncertainty, or in px.

    Of a section that the border of the scan cuts there is one lower bound.

    Parameters
    ----------
    sizes : of ``Measurements.row``
    words : of the part ``window``
    """
    unit, digits = ("px", 0) if sizes.get("major_mm") is None else ("mm", 1)
    texts = []
    for name in ("major",) if sizes.get("cut") else ("major", "minor"):
        value, u95 = sizes[f"{name}_{unit}"], sizes.get(f"{name}_u95_{unit}")
        text = words.number(value, digits)
        if sizes.get("cut"):
            text = words("size.bound", value=text)
        elif u95 is not None:
            text = words("size.interval", value=text, u95=words.number(u95, digits))
        texts.append(words(f"size.{unit}", value=text))
    return tuple(texts)


def score_in_words(result: Result, row: int, engine: EngineBody | None, words: Words) -> str:
    """Score of one nodule, in percent only where scores are calibrated."""
    score = float(result.detections.score[row])
    calibrated = engine is not None and engine.score_calibration_id is not None
    return f"{min(99.0, 100.0 * score):.0f} %" if calibrated else words.number(score, 2)
