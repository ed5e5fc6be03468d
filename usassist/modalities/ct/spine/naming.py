"""Which vertebra is which: one count for all of them, chosen by what each landmark says.

Vertebrae are numbered upwards: S1 is 0, L5 is 1, L1 is 5, T12 is 6. A hypothesis is the number of the lowest vertebra
seen. Each landmark has a likelihood under each hypothesis; their product, normalised over the hypotheses, is how much
better the best count is than one that is shifted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from usassist.modalities.ct.spine.landmarks import Landmarks

__all__ = ["Naming", "name_of", "name_vertebrae"]

Float64Array = npt.NDArray[np.float64]

_HYPOTHESES = np.arange(-4, 18)
_WING = (0.03, 0.55, 0.14)  # expected in a lumbar or thoracic vertebra, in S1 and below, standard deviation
_CREST = (1.62, 0.5)  # number of the vertebra at the height of the crest: between L5 and L4 (Chakraverty, J Anat 2007)
_LUNG = (6.0, 1.1)
_CERTAIN = 0.985  # no product of landmarks is believed further than this
_MIN_PROBABILITY = 0.8
_SACRUM_WING = 0.18


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """The count.

    Attributes
    ----------
    lowest : number of the lowest vertebra; None = it is not known
    confidence : 0 to 1, of the best count, also where it was not taken
    reason : what it rests on, or what is missing; one sentence
    landmarks : those seen
    lumbar : vertebrae between sacrum and last rib where both are seen; None = not both
    """

    lowest: int | None
    confidence: float
    reason: str
    landmarks: tuple[str, ...]
    lumbar: int | None


def name_of(number: int) -> str:
    """``S1`` of 0, ``L5`` of 1, ``T12`` of 6; ``S2`` of -1."""
    if number <= 0:
        return f"S{1 - number}"
    return f"L{6 - number}" if number <= 5 else f"T{18 - number}"


def name_vertebrae(landmarks: Landmarks, centres: Float64Array) -> Naming:
    """Choose the count.

    Parameters
    ----------
    landmarks : for these vertebrae
    centres : float64 (N,), positions on the curve, from below upwards
    """
    numbers = np.arange(len(centres))
    scores = np.zeros(len(_HYPOTHESES))
    for index, hypothesis in enumerate(_HYPOTHESES):
        scores[index] = _score(landmarks, centres, numbers + hypothesis)
    scores[(_HYPOTHESES < -2) | (_HYPOTHESES + len(centres) > 18)] -= 4.0
    chance = np.exp(scores - scores.max())
    chance /= chance.sum()
    best = int(chance.argmax())
    confidence = min(float(chance[best]), _CERTAIN)
    lowest = int(_HYPOTHESES[best])
    sacrum, last_rib = _sacrum(landmarks, -lowest), _last_rib(landmarks)
    seen = _seen(landmarks, sacrum, last_rib)
    lumbar = last_rib - sacrum - 1 if sacrum is not None and last_rib is not None else None
    if sacrum is None and last_rib is None:
        return Naming(lowest=None, confidence=confidence, reason=_missing(landmarks, seen), landmarks=seen, lumbar=None)
    if lumbar is not None and lumbar != 5:
        reason = f"{lumbar} vertebrae without ribs lie above the sacrum instead of 5: "
        reason += "transitional anatomy, or a rib or disc that was missed; count on the whole spine"
        if lumbar < 3:
            reason = "ribs and sacrum contradict each other"
        return Naming(lowest=None, confidence=min(confidence, 0.5), reason=reason, landmarks=seen, lumbar=lumbar)
    if confidence < _MIN_PROBABILITY:
        reason = f"{_listed(seen)} are in the volume, but the count is not certain enough ({confidence:.2f})"
        return Naming(lowest=None, confidence=confidence, reason=reason, landmarks=seen, lumbar=lumbar)
    return Naming(
        lowest=lowest,
        confidence=confidence,
        reason=f"counted from {_listed(seen)}",
        landmarks=seen,
        lumbar=lumbar,
    )


def _score(landmarks: Landmarks, centres: Float64Array, numbers: npt.NDArray[np.int64]) -> float:
    """Logarithm of the likelihood of all landmarks where the vertebrae have these numbers."""
    score = 0.0
    low, high, sd = _WING
    for wing, lean, number in zip(landmarks.wing, landmarks.lean_deg, numbers, strict=True):
        if math.isnan(wing):
            continue
        if number <= 0:
            score -= min(0.5 * (min(wing - high, 0.0) / sd) ** 2, 6.0)
            score -= 0.5 * min(max(8.0 - lean, 0.0) / 8.0, 2.0) ** 2  # a sacrum leans forwards
        else:
            score -= min(0.5 * (max(wing - low, 0.0) / sd) ** 2, 6.0 if number > 1 else 4.0)
    for ribs, number in zip(landmarks.ribs, numbers, strict=True):
        if math.isnan(ribs):
            continue
        # none, one side, both: T11 and above, T12 (may be short), L1, below
        table = (0.02, 0.08, 0.9) if number > 6 else (0.1, 0.12, 0.78) if number == 6 else (0.93, 0.04, 0.03)
        if number < 5:
            table = (0.97, 0.02, 0.01)
        score += math.log(table[int(ribs)])
    if landmarks.crest_along is not None:
        score += _normal(np.interp(landmarks.crest_along, centres, numbers), *_CREST)
    if landmarks.lung_along is not None and centres[0] <= landmarks.lung_along <= centres[-1]:
        score += _normal(np.interp(landmarks.lung_along, centres, numbers), *_LUNG)
    return score


def _normal(value: float, mean: float, sd: float) -> float:
    """Gaussian with heavy tails: what is far off counts no more than 3 standard deviations and a half."""
    return -min(0.5 * ((value - mean) / sd) ** 2, 6.0)


def _sacrum(landmarks: Landmarks, index: int) -> int | None:
    """The index counted as S1, where it has wings that the vertebra above lacks; None where no sacrum is seen."""
    if not 0 <= index < len(landmarks.wing) or math.isnan(landmarks.wing[index]) or landmarks.lean_deg[index] < 3:
        return None
    above = landmarks.wing[index + 1] if index + 1 < len(landmarks.wing) else 0.0
    return index if landmarks.wing[index] >= max(_SACRUM_WING, float(np.nan_to_num(above)) + 0.1) else None


def _last_rib(landmarks: Landmarks) -> int | None:
    """Index of the lowest vertebra with ribs where at least two below it have none; None where that is not seen."""
    ribs = landmarks.ribs
    has = [k for k in range(len(ribs)) if ribs[k] >= 1 and (ribs[k] == 2 or not (ribs[k + 1 : k + 2] == 0).any())]
    if not has or has[0] < 2:
        return None
    return has[0] if (ribs[has[0] - 2 : has[0]] == 0).all() else None


def _seen(landmarks: Landmarks, sacrum: int | None, last_rib: int | None) -> tuple[str, ...]:
    names = (
        (sacrum is not None, "the sacrum"),
        (last_rib is not None, "the last ribs"),
        (landmarks.crest_along is not None, "the iliac crests"),
        (landmarks.lung_along is not None, "the lung bases"),
    )
    return tuple(name for is_there, name in names if is_there)


def _listed(names: tuple[str, ...]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _missing(landmarks: Landmarks, seen: tuple[str, ...]) -> str:
    with_ribs = np.nan_to_num(landmarks.ribs, nan=0.0) > 0
    if with_ribs.any() and not (landmarks.ribs == 0).any():
        what = "every vertebra in the volume has ribs"
    elif np.isnan(landmarks.ribs).all():
        what = "the volume is too narrow or too short to see ribs"
    else:
        what = "neither the sacrum nor two vertebrae below the last ribs are in the volume"
    also = f"; {_listed(seen)} alone are not enough" if seen else ""
    return f"the vertebrae cannot be counted: {what}{also}; scan or load from T12 or S1"
