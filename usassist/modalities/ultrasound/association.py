"""Findings associated over the frames of a stream: causal, with hysteresis, and without delay.

An engine answers every frame alone, so a weak nodule comes and goes, and noise is a finding for a single frame. Here
the candidates of a frame, down to a low score, are compared with what the frames before it had in the same place. What
is shown is always a candidate of the present frame: an outline is never kept on a frame where the engine has none.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from usassist.calibrate.association import AssociationRule
from usassist.calibrate.platt import at_least
from usassist.records import Detections

__all__ = ["SweepAssociation"]

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Remembered:
    """Candidates of one frame: boxes float32 (N, 4), label ids int32 (N,), and which were shown, bool (N,)."""

    xyxy_px: npt.NDArray[np.float32]
    label_id: npt.NDArray[np.int32]
    shown: BoolArray


class SweepAssociation:
    """Chooses among the candidates of each frame those that are shown. One for every stream; its frames come in order.

    A candidate is shown when its score reaches

    - ``alone``, whatever was there before; or
    - ``rise``, and one of the last ``frames`` frames has a candidate of its label in the same place; or
    - ``release``, and one of these frames shows a nodule of its label in the same place.

    Hysteresis with two thresholds follows Canny (IEEE PAMI 8, 1986), there along an edge and here along time; boxes are
    associated by their IoU as in Bochinski et al., "High-speed tracking-by-detection without using image information"
    (AVSS 2017).

    The choice depends on the frames before and on nothing else, so the same sequence gives the same choices.

    Parameters
    ----------
    rule : of the operating point
    """

    def __init__(self, rule: AssociationRule) -> None:
        self.rule = rule
        self._alone, self._rise, self._release = (at_least(score) for score in (rule.alone, rule.rise, rule.release))
        self._past: deque[_Remembered] = deque(maxlen=rule.frames)

    def reset(self) -> None:
        """Forget all frames: the next one is another sweep, or shows another place."""
        self._past.clear()

    def update(self, candidates: Detections, *, remember: bool = True) -> npt.NDArray[np.intp]:
        """Choose what is shown of the next frame.

        Parameters
        ----------
        candidates : all with a calibrated score of ``release`` or more; others are ignored
        remember : False leaves the memory as it was, as if there had been no such frame

        Returns
        -------
        shown : int (K,), rows of `candidates` in their order
        """
        known = candidates.score >= self._release
        shown = known & (candidates.score >= self._alone)
        if self._past and not shown.all():
            past_label_id = np.concatenate([frame.label_id for frame in self._past])
            there = _iou(candidates.xyxy_px, np.concatenate([frame.xyxy_px for frame in self._past])) >= self.rule.iou
            there &= candidates.label_id[:, None] == past_label_id
            seen, held = there.any(axis=1), there[:, np.concatenate([frame.shown for frame in self._past])].any(axis=1)
            shown |= known & (held | (seen & (candidates.score >= self._rise)))
        if remember:
            self._past.append(
                _Remembered(xyxy_px=candidates.xyxy_px[known], label_id=candidates.label_id[known], shown=shown[known])
            )
        return np.nonzero(shown)[0]


def _iou(first: npt.NDArray[np.float32], second: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """IoU of every box (N, 4) with every box (M, 4): float32 (N, M)."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = np.clip(high - low, 0.0, None).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (first, second)]
    return np.asarray(shared / (areas[0][:, None] + areas[1][None] - shared), np.float32)
