"""What the reader of a ruler answers: the scale with the rulers that state it, or the cause why there is none."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from usassist.sources.ruler.figures import Figure
from usassist.sources.ruler.ticks import Ticks

__all__ = ["PLAUSIBLE_DEPTH_MM", "NoRuler", "Ruler", "RulerCause", "RulerReading"]

PLAUSIBLE_DEPTH_MM = (20.0, 300.0)
"""Least and greatest depth of an image, mm: a scale by which it has another is no scale."""


class RulerCause(StrEnum):
    """Why a ruler has no answer."""

    NO_RULER = "no_ruler"
    HIDDEN = "hidden"
    NO_READER = "no_reader"
    STEP_UNKNOWN = "step_unknown"
    FIGURES = "figures"
    DISAGREE = "disagree"
    FAILED = "failed"
    IMPLAUSIBLE = "implausible"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ruler:
    """One ruler and what it states.

    Attributes
    ----------
    side : ``left``, ``right``, ``top`` or ``bottom`` of the scan area
    ticks : of it
    figures : that were read beside it
    tick_mm : distance of its ticks; None where it is not known
    by : what that is known from: ``figures``, ``label`` (of the depth, elsewhere on the screen), ``alike`` (all ticks
        are alike), or ``vertical`` for a horizontal ruler; empty where it is not known
    label_xyxy_px : where that label stands on the screen; None where it was not needed
    """

    side: str
    ticks: Ticks
    figures: tuple[Figure, ...] = ()
    tick_mm: float | None = None
    by: str = ""
    label_xyxy_px: tuple[int, int, int, int] | None = None

    @property
    def px_mm(self) -> float | None:
        """Length of a pixel along the ruler, mm."""
        return None if self.tick_mm is None else self.tick_mm / self.ticks.step_px


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RulerReading:
    """The scale by the rulers of a screen.

    Attributes
    ----------
    spacing_rc_mm : mm per px, row step first
    spacing_rel_sd : relative standard uncertainty of both
    confidence : 0 to 1: how complete and clean the ruler and its figures are
    rulers : that it was read from
    """

    spacing_rc_mm: tuple[float, float]
    spacing_rel_sd: float
    confidence: float
    rulers: tuple[Ruler, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NoRuler:
    """A screen without a scale.

    Attributes
    ----------
    cause : for counting
    reason : in plain words, without anything that was read from the screen
    rulers : that were seen
    """

    cause: RulerCause
    reason: str
    rulers: tuple[Ruler, ...] = ()

    @classmethod
    def failed(cls) -> NoRuler:
        """The answer where the reader itself has failed."""
        return cls(cause=RulerCause.FAILED, reason="the ruler could not be read: an error of the reader, see the log")
