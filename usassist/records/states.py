"""States of results and signals, and why there is no answer."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Cause", "ResultState", "SignalState"]


class ResultState(StrEnum):
    """State of a result. Only the first two are answers about the frame.

    ``finding``: the engine answered and found something. ``no_finding``: the engine answered and found nothing.
    ``no_result``: there is no answer for this frame; the cause says why. ``stale``: there is an answer, but it came
    too late to be shown on a live frame.
    """

    FINDING = "finding"
    NO_FINDING = "no_finding"
    NO_RESULT = "no_result"
    STALE = "stale"

    @property
    def is_answer(self) -> bool:
        """True when the result may be drawn as an answer about its frame."""
        return self in (ResultState.FINDING, ResultState.NO_FINDING)


class Cause(StrEnum):
    """Why a result is not an answer. Counted in summaries and in health messages."""

    DROPPED = "dropped"  # the frame was overwritten in the capture slot before the engine took it
    ENGINE_ERROR = "engine_error"  # the engine raised, or its output failed the checks
    NULL_ENGINE = "null_engine"  # the back end `null` computes nothing
    LATE = "late"  # the answer came later than the configured age
    MISSING = "missing"  # a sink never received a result for this frame
    INTERRUPTED = "interrupted"  # the run ended before the engine was asked
    NOT_LIVE = "not_live"  # the signal is frozen, changed, or no B-mode: such a frame gets no answer
    DAMAGED = "damaged"  # part of the frame, or of one that it is predicted from, was lost in transit
    OUT_OF_DOMAIN = "out_of_domain"  # the engine judged that the frame does not show what it was made for: it abstains


class SignalState(StrEnum):
    """State of a source's signal. Only on a live frame is anything drawn or measured."""

    LIVE = "live"
    FROZEN = "frozen"  # frames do not change: the scanner is frozen, or the grabber repeats a frame
    LOST = "lost"  # no frames: no device, no signal, or a blank one
    CHANGED = "changed"  # resolution, layout, depth or zoom are not what they were when the scan area was settled
    NOT_B_MODE = "not_b_mode"  # colour Doppler, a menu, or another number of views than in the profile
    DAMAGED = "damaged"  # part of it, or of a frame that it is predicted from, was lost in transit
