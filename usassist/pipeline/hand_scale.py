"""Scales that are set by hand, from the marks of a stream to its source."""

from __future__ import annotations

import logging

from usassist.bus import MarkBody
from usassist.common.clock import Clock
from usassist.sources import Source
from usassist.sources.scale_by_hand import TakesScale

__all__ = ["HandScaleMarks"]

logger = logging.getLogger(__name__)

_REFUSAL_NS = 5_000_000_000  # how long the reason of a refusal is announced
_TAKES_NONE = "this source takes no scale"


class HandScaleMarks:
    """Gives marks of kind ``scale`` to the source, and words why frames have no scale.

    Parameters
    ----------
    source : of the stream
    clock : of the stream
    """

    def __init__(self, source: Source, clock: Clock) -> None:
        self._source, self._clock = source, clock
        self._refusal, self._refusal_until_ns = "", 0
        self._announced = ""

    def apply(self, mark: MarkBody) -> bool:
        """Give a mark to the source; False where it is refused."""
        assert mark.points_xy_px is not None  # of this kind, see MarkBody
        assert mark.distance_mm is not None
        reason = _TAKES_NONE
        if isinstance(self._source, TakesScale):
            reason = self._source.set_scale(mark.frame_id, mark.points_xy_px, mark.distance_mm)
        self._refusal = f"the scale was not set: {reason}" if reason else ""
        self._refusal_until_ns = self._clock.now_ns() + _REFUSAL_NS
        logger.info("%s", self._refusal or f"the scale was set by hand on frame {mark.frame_id}")
        return not reason

    @property
    def note(self) -> str:
        """Why a scale was refused in the last seconds, or why frames have none; empty where there is nothing to say."""
        if self._refusal and self._clock.now_ns() < self._refusal_until_ns:
            return self._refusal
        return self._source.scale_note if isinstance(self._source, TakesScale) else ""

    def has_changed(self) -> bool:
        """True when the note is another one than at the last call."""
        note, before = self.note, self._announced
        self._announced = note
        return note != before
