"""Chooses the frame on which a nodule is shown and measured: the largest, sharpest, most certain of it.

A plane is scored by the product of three factors, each 0 to 1:

- size: the median of the longest diameters within half a second, over the greatest such median; times the ratio
  of the frame's own longest diameter to that median, the smaller over the larger. So the nodule is large there, and an
  outline that ran into its surroundings on some frames does not win by its size;
- sharpness: of the image along the outline, over the greatest among the candidates;
- certainty: the score.

Only answered frames count, and these are live. Where some of them show the nodule whole, those on which the border of
the scan cuts it do not count; of the rest, where some have a scale, those without do not. Candidates are the 30 frames
with the largest product of size and certainty; the sharpness is measured on these.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from usassist.session.summary.parts import PlaneScore
from usassist.session.summary.seen import Seen
from usassist.sinks.plane_quality import NEAR_S

__all__ = ["CANDIDATES", "Candidates", "choose", "find_candidates"]

CANDIDATES = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """Frames among which one is chosen, and the factors that are known without pixels.

    Attributes
    ----------
    seen : the nodule on each
    size : factor of each, 0 to 1
    """

    seen: tuple[Seen, ...]
    size: tuple[float, ...]


def find_candidates(seen: Iterable[Seen], t_s: Sequence[float]) -> Candidates:
    """The candidates among the frames of one nodule; empty where there is no frame.

    Parameters
    ----------
    seen : in the order of the frames
    t_s : when each frame of the session was
    """
    eligible = list(seen)
    eligible = [item for item in eligible if not item.cut] or eligible
    scaled = [item for item in eligible if item.major_mm is not None]
    eligible = scaled or eligible
    if not eligible:
        return Candidates(seen=(), size=())
    lengths = np.array([item.major_mm if scaled else item.major_px for item in eligible], np.float64)
    size = _size_factor(lengths, np.array([t_s[item.index] for item in eligible]))
    rank = size * np.array([item.score for item in eligible])
    order = np.argsort(-rank, kind="stable")[:CANDIDATES]
    return Candidates(seen=tuple(eligible[i] for i in order), size=tuple(float(size[i]) for i in order))


def _size_factor(lengths: npt.NDArray[np.float64], t_s: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    begin, end = np.searchsorted(t_s, t_s - NEAR_S), np.searchsorted(t_s, t_s + NEAR_S, side="right")
    usual = np.array([np.median(lengths[first:last]) for first, last in zip(begin, end, strict=True)])
    return np.asarray(usual / usual.max() * np.minimum(lengths / usual, usual / lengths))


def choose(candidates: Candidates, sharpness: Mapping[Seen, float]) -> tuple[Seen, PlaneScore]:
    """The best of the candidates, and its score.

    Parameters
    ----------
    candidates : of one nodule, at least one
    sharpness : of those whose pixels could be read; the others are left out, unless there is no other
    """
    known = [(item, size) for item, size in zip(candidates.seen, candidates.size, strict=True) if item in sharpness]
    if not known:
        item, size = candidates.seen[0], candidates.size[0]
        return item, _score(size, None, item)
    greatest = max(sharpness[item] for item, _ in known)
    scored = [(item, _score(size, sharpness[item] / greatest if greatest > 0.0 else 1.0, item)) for item, size in known]
    return max(scored, key=lambda pair: (pair[1].total, -pair[0].index))


def _score(size: float, sharpness: float | None, item: Seen) -> PlaneScore:
    return PlaneScore(
        size=round(size, 4),
        sharpness=None if sharpness is None else round(sharpness, 4),
        certainty=round(item.score, 4),
        total=round(size * item.score * (1.0 if sharpness is None else sharpness), 4),
    )
