"""Discs along the spine: valleys of density between two end plates, at the height of the foramina."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from usassist.modalities.ct.spine.straight import Curve

__all__ = ["BODY_FRONT_MM", "Discs", "find_discs"]

FloatArray = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]

BODY_FRONT_MM = 24.0
"""Distance of the axis of the bodies in front of the middle of the canal."""

_BODY_MM = (12.0, 35.0)  # in front of the canal
_TILTS_DEG = range(-20, 21, 4)
_GAPS_MM = (20, 46)  # from disc to disc
_USUAL_GAP_MM = 32.0
_LEAST = 0.25  # evidence for a disc; the median of a spine's discs is about 2
_COST = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Discs:
    """Where discs lie.

    Attributes
    ----------
    along : float64 (N,), positions on the curve, from below upwards
    evidence : float64 (N,), about 2 for a clear disc
    has_body : bool (M,), positions of the curve where bodies lie inside the volume
    """

    along: Float64Array
    evidence: Float64Array
    has_body: npt.NDArray[np.bool_]


def find_discs(curve: Curve) -> Discs:
    """The row of discs that explains the density best, with gaps that change slowly.

    Parameters
    ----------
    curve : along the canal
    """
    count = len(curve.xyz)
    along = np.arange(count, dtype=np.float64)[:, None, None]
    front = np.arange(_BODY_MM[0], _BODY_MM[1], 1.5)
    left = np.arange(-9.0, 9.1, 3.0)
    shape = (1, len(front), len(left))
    body = curve.sample(
        along, np.broadcast_to(front[None, :, None], shape), np.broadcast_to(left[None, None, :], shape)
    )
    picture = np.clip(body, -50, 450).mean(axis=2)  # NaN where any point lies outside
    has_body = np.isfinite(picture).all(axis=1)
    evidence = _valleys(picture, front) + 0.8 * _foramina(curve)
    evidence[~has_body] = -np.inf
    places = _chain(evidence)
    return Discs(places.astype(np.float64), evidence[places], has_body)


def _valleys(picture: FloatArray, front: Float64Array) -> Float64Array:
    """How far density falls between end plates, at the best tilt; about 1 for a clear disc."""
    count = len(picture)
    index = np.arange(count, dtype=np.float64)
    best = np.zeros(count)
    filled = np.nan_to_num(picture, nan=0.0)
    for tilt in _TILTS_DEG:
        shift = (front - front.mean()) * math.tan(math.radians(tilt))
        columns = [np.interp(index + move, index, filled[:, k]) for k, move in enumerate(shift)]
        profile = _mean_of(np.mean(columns, axis=0), 1)
        above = np.max([_moved(profile, step) for step in range(3, 11)], axis=0)
        below = np.max([_moved(profile, -step) for step in range(3, 11)], axis=0)
        best = np.maximum(best, np.minimum(above, below) - profile)
    return _scaled(best)


def _foramina(curve: Curve) -> Float64Array:
    """How little bone lies beside the canal, against what lies half a vertebra above and below; -1 to about 1."""
    along = np.arange(len(curve.xyz), dtype=np.float64)[:, None, None]
    front = np.arange(0.0, 10.1, 2.5)[None, :, None]
    left = np.concatenate([np.arange(-23.0, -10.0, 3.0), np.arange(11.0, 24.0, 3.0)])[None, None, :]
    beside = np.clip(np.nan_to_num(curve.sample(along, front + 0 * left, left + 0 * front), nan=50.0), 0, 500)
    profile = _mean_of(beside.mean(axis=(1, 2)).astype(np.float64), 3)
    around = 0.5 * (_moved(profile, 16) + _moved(profile, -16))
    return _scaled(around - profile)


def _scaled(values: Float64Array) -> Float64Array:
    top = float(np.percentile(values, 92))
    return np.asarray(np.clip(values / max(top, 20.0), -1.0, 1.5))


def _moved(values: Float64Array, step: int) -> Float64Array:
    """Values `step` mm further up; beyond the ends those of the end."""
    at = np.clip(np.arange(len(values)) + step, 0, len(values) - 1)
    return np.asarray(values[at])


def _mean_of(values: Float64Array, reach: int) -> Float64Array:
    padded = np.pad(values, reach, mode="edge")
    return np.convolve(padded, np.full(2 * reach + 1, 1 / (2 * reach + 1)), mode="valid")


def _chain(evidence: Float64Array) -> npt.NDArray[np.int64]:
    """Positions with the largest sum of evidence; gaps cost where they are unusual or change."""
    places = np.flatnonzero(evidence > _LEAST)
    if not len(places):
        return places
    gaps = np.arange(*_GAPS_MM)
    unusual = 0.1 * ((gaps - _USUAL_GAP_MM) / 7.0) ** 2
    change = np.minimum(0.25 * ((gaps[:, None] - gaps[None, :]) / 4.0) ** 2, 1.5)  # [gap, gap before]
    count = len(evidence)
    total = np.full((count, len(gaps)), -np.inf)  # the last disc here, and the gap before it
    first = np.where(evidence > _LEAST, evidence - _COST, -np.inf)
    came = np.full((count, len(gaps)), -1, np.int64)
    for place in places.tolist():
        for index, gap in enumerate(gaps):
            before = place - gap
            if before < 0 or not np.isfinite(first[before]):
                continue
            chained = total[before] - change[index]
            at = int(chained.argmax())
            start = first[before]
            came[place, index] = at if chained[at] > start else -1
            total[place, index] = max(float(chained[at]), float(start)) + evidence[place] - _COST - unusual[index]
    best = np.unravel_index(int(total.argmax()), total.shape)
    if not np.isfinite(total[best]):
        return np.array([int(first.argmax())])
    place, index = int(best[0]), int(best[1])
    row = [place]
    while index >= 0:
        index, place = int(came[place, index]), place - int(gaps[index])
        row.append(place)
    return np.array(row[::-1])
