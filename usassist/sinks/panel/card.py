"""The card of an engine as plain data, which the page shows; ``app`` reads it, because sinks do not know engines."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

__all__ = ["CalibrationBin", "Card", "CardFigure", "CardPoint", "CardSet", "ReadCard"]


class CardFigure(msgspec.Struct, frozen=True, kw_only=True):
    """A figure with its 95 % interval (None where it is not known) and the count that it rests on."""

    value: float
    low: float | None = None
    high: float | None = None
    n: int = 0


class CalibrationBin(msgspec.Struct, frozen=True, kw_only=True):
    """Findings whose score lies between two bounds: how many, their mean score, and the share that is right."""

    low: float
    high: float
    findings: int
    mean_score: float
    right: float


class CardSet(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured on one set of frames, with the weights of one precision.

    ``role`` is ``unseen``, or ``same_source`` where part of the training came from the same source. ``froc`` is false
    positives per frame, share of the nodules found, and threshold, in ascending order; ``command`` printed it all.
    """

    name: str
    role: str
    precision: str
    command: str
    threshold_from: str
    frames: int
    cases: int
    nodules: int
    figures: dict[str, CardFigure]
    calibration: tuple[CalibrationBin, ...] = ()
    froc: tuple[tuple[float, float, float | None], ...] = ()


class CardPoint(msgspec.Struct, frozen=True, kw_only=True):
    """One operating point on one set of frames that it was chosen on; a figure that the set does not have is None."""

    name: str
    set_name: str
    frames: int
    cases: int
    sensitivity: float | None
    false_positives_per_frame: float | None
    alarms_per_negative_frame: float | None


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about one engine; ``text`` is Markdown."""

    engine_id: str
    text: str
    sets: tuple[CardSet, ...] = ()
    points: tuple[CardPoint, ...] = ()


ReadCard = Callable[[str], Card | None]
"""The card of an engine by its id; None where there is none here."""
