"""Percentiles per stage from the times of results, and what became of every frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from usassist.app.bench.result_collector import IntArray, Results

__all__ = ["Accounts", "account_for", "count_gaps", "percentiles", "stage_times_ns"]


def stage_times_ns(results: Results, frames: dict[str, IntArray] | None) -> dict[str, IntArray]:
    """Duration of each stage of ``usassist.common.latency`` for every frame that was sent to the engine.

    Parameters
    ----------
    results : of one interval
    frames : of :func:`~usassist.app.bench.result_collector.read_frame_times`; without them ``decode``, ``crop`` and
        ``wait`` are one: ``until asked``

    Returns
    -------
    times : stage → int64 (n,), ns
    """
    asked = results.where((results.t_input_ns >= 0) & (results.t_output_ns >= 0))
    times = {
        "until asked": asked.t_start_ns - asked.t_capture_ns,
        "preprocess": asked.t_input_ns - asked.t_start_ns,
        "infer": asked.t_output_ns - asked.t_input_ns,
        "postprocess": asked.t_end_ns - asked.t_output_ns,
        "publish": asked.t_publish_ns - asked.t_end_ns,
        "total": asked.t_publish_ns - asked.t_capture_ns,
    }
    times["overhead"] = times["total"] - times["infer"]
    if frames is None or not len(asked):
        return times
    _, mine, theirs = np.intersect1d(asked.frame_id, frames["frame_id"], assume_unique=True, return_indices=True)
    decoded_ns, cropped_ns = frames["t_decoded_ns"][theirs], frames["t_cropped_ns"][theirs]
    known = (decoded_ns >= 0) & (cropped_ns >= 0)
    if not known.any():
        return times
    matched, decoded_ns, cropped_ns = mine[known], decoded_ns[known], cropped_ns[known]
    first = {
        "decode": decoded_ns - asked.t_capture_ns[matched],
        "crop": cropped_ns - decoded_ns,
        "wait": asked.t_start_ns[matched] - cropped_ns,
    }
    del times["until asked"]
    return first | times


def percentiles(times: npt.NDArray[Any], scale: float = 1e-6) -> dict[str, float] | None:
    """``count``, ``p50_ms``, ``p95_ms``, ``p99_ms`` and ``max_ms``; None where there is none.

    Parameters
    ----------
    times : (n,)
    scale : of one of them to ms
    """
    if not len(times):
        return None
    p50, p95, p99 = np.percentile(times, [50, 95, 99]) * scale
    return {
        "count": len(times),
        "p50_ms": round(float(p50), 3),
        "p95_ms": round(float(p95), 3),
        "p99_ms": round(float(p99), 3),
        "max_ms": round(float(times.max()) * scale, 3),
    }


def count_gaps(seq: IntArray) -> int:
    """How many numbers are missing between the least and the greatest; duplicates are allowed."""
    return int(seq.max() - seq.min()) + 1 - len(np.unique(seq)) if len(seq) else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """What became of the frames that were due.

    Attributes
    ----------
    due : frames that the input had to deliver, by its rate
    frames : that the source has delivered
    not_taken : frames that the source has skipped, because a newer one was there already
    by_state, by_cause : results of the frames
    unaccounted : frame numbers without a result, with two, or missing without a reason
    without_own_percent : frames without an answer of their own, of all that were due; where the engine abstained, that
        is its own
    """

    due: int
    frames: int
    not_taken: int
    by_state: dict[str, int]
    by_cause: dict[str, int]
    unaccounted: int
    without_own_percent: float


def account_for(
    results: Results,
    *,
    rate_hz: float,
    gaps: int = 0,
    frame_gaps: int = 0,
    frame_ids: IntArray | None = None,
    skipped: int | None = None,
) -> Accounts:
    """Follow every frame number from the first to the last result.

    Parameters
    ----------
    results : of one interval, of one session
    rate_hz : of the input
    gaps, frame_gaps : results that were published and not received, frames that were published and not recorded
    frame_ids : of frames that were published, where a recorder has all of them; each must have exactly one result
    skipped : frames that the source reports as skipped, where nothing was recorded
    """
    ids, counts = np.unique(results.frame_id, return_counts=True)
    if not len(ids):
        return Accounts(due=0, frames=0, not_taken=0, by_state={}, by_cause={}, unaccounted=0, without_own_percent=0.0)
    first_ns, last_ns = int(results.t_capture_ns.min()), int(results.t_capture_ns.max())
    due = max(len(ids), round((last_ns - first_ns) * rate_hz / 1e9) + 1)
    twice = int((counts - 1).sum())
    missing = int(ids[-1] - ids[0]) + 1 - len(ids)
    if frame_ids is not None:
        published = frame_ids[(frame_ids >= ids[0]) & (frame_ids <= ids[-1])]
        unanswered = len(np.setdiff1d(published, ids))
        unknown = len(np.setdiff1d(ids, published))  # a result of a frame that was never published
    else:
        unanswered, unknown = (max(0, missing - skipped) if skipped is not None else 0), 0
    answered = int(np.count_nonzero(results.answered))
    return Accounts(
        due=due,
        frames=len(ids),
        not_taken=due - len(ids),
        by_state=results.by_state(),
        by_cause=results.by_cause(),
        unaccounted=max(0, unanswered - gaps) + max(0, unknown - frame_gaps) + twice,
        without_own_percent=round(100.0 * (due - answered) / due, 3),
    )
