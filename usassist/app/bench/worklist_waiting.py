"""What reordering a worklist does to waiting times, on simulated arrivals.

One reader takes the first study of the list whenever he is free. Arrivals are a Poisson process, reading times are
exponential or constant, a share of the studies is positive, and the program flags with a sensitivity and a specificity.
The same arrivals are read in order of arrival (FIFO) and reordered. Nothing here says that a real list behaves so: real
arrivals come in bursts, reading takes longer where there is something to describe, and readers reorder by themselves.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from usassist.errors import UsageError

__all__ = ["Waiting", "WaitingSetup", "simulate_waiting"]

Float64Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingSetup:
    """A reading room.

    Attributes
    ----------
    studies : how many arrive
    load : arrivals per time of reading, below 1: the share of time in which the reader is busy
    reading_min : mean time of reading a study, min
    prevalence : share of positive studies
    sensitivity, specificity : of the flag
    scoring_min : from arrival until a study is scored, min; until then it stands in the queue like the others
    constant_reading : every study takes the mean time, instead of an exponentially distributed one
    seed : of the random numbers
    """

    studies: int = 200_000
    load: float = 0.8
    reading_min: float = 6.0
    prevalence: float = 0.1
    sensitivity: float = 0.9
    specificity: float = 0.9
    scoring_min: float = 1.0
    constant_reading: bool = False
    seed: int = 1

    def __post_init__(self) -> None:
        """Check that the numbers are possible, and that the queue does not grow for ever."""
        for name in ("prevalence", "sensitivity", "specificity"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise UsageError(f"{name} must lie from 0 to 1, got {getattr(self, name)}")
        if not 0.0 < self.load < 1.0:
            raise UsageError(f"the load must lie between 0 and 1, got {self.load}: else the queue grows for ever")
        if self.reading_min <= 0.0 or self.scoring_min < 0.0 or self.studies < 1:
            raise UsageError("give a positive time of reading, at least one study, and no negative time of scoring")


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Times from arrival until reading begins, min, of each study in order of arrival.

    Attributes
    ----------
    fifo, reordered : float64 (studies,)
    positive, flagged : bool (studies,)
    """

    fifo: Float64Array
    reordered: Float64Array
    positive: npt.NDArray[np.bool_]
    flagged: npt.NDArray[np.bool_]


def simulate_waiting(setup: WaitingSetup) -> Waiting:
    """Have the same studies read in both orders."""
    random = np.random.default_rng(setup.seed)
    arrival = np.cumsum(random.exponential(setup.reading_min / setup.load, setup.studies))
    if setup.constant_reading:
        reading = np.full(setup.studies, setup.reading_min)
    else:
        reading = random.exponential(setup.reading_min, setup.studies)
    positive = random.random(setup.studies) < setup.prevalence
    flagged = random.random(setup.studies) < np.where(positive, setup.sensitivity, 1.0 - setup.specificity)
    none = np.zeros_like(flagged)
    return Waiting(
        fifo=_read(arrival, reading, none, setup.scoring_min),
        reordered=_read(arrival, reading, flagged, setup.scoring_min),
        positive=positive,
        flagged=flagged,
    )


def _read(
    arrival: Float64Array, reading: Float64Array, flagged: npt.NDArray[np.bool_], scoring_min: float
) -> Float64Array:
    """Waiting times, min. A flagged study is put first once it is scored; its reading is never interrupted."""
    begun = np.full(len(arrival), -1.0)
    queue: list[int] = []  # numbers of arrival, so also the order of arrival
    urgent: list[int] = []
    to_score: list[tuple[float, int]] = []
    next_arrival, now = 0, 0.0
    for _ in range(len(arrival)):
        while True:
            while next_arrival < len(arrival) and arrival[next_arrival] <= now:
                heapq.heappush(queue, next_arrival)
                if flagged[next_arrival]:
                    heapq.heappush(to_score, (float(arrival[next_arrival]) + scoring_min, next_arrival))
                next_arrival += 1
            while to_score and to_score[0][0] <= now:
                heapq.heappush(urgent, heapq.heappop(to_score)[1])
            study = _first(urgent, begun)
            if study is None:
                study = _first(queue, begun)
            if study is not None:
                break
            now = float(arrival[next_arrival])
        begun[study] = now
        now += float(reading[study])
    return begun - arrival


def _first(heap: list[int], begun: Float64Array) -> int | None:
    """Take the first that was not read already from the other list."""
    while heap:
        study = heapq.heappop(heap)
        if begun[study] < 0.0:
            return study
    return None
