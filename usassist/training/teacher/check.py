"""How well the teacher outlines nodules whose mask is known, given their boxes, beside simpler ways."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from usassist.engine import Engine
from usassist.modalities.ultrasound import preprocess
from usassist.training.data.boxes import box_plane, ellipse_mask
from usassist.training.teacher.nodules import BoxedNodule, to_indices

__all__ = ["OutlineCheck", "check_outlines", "ellipse_in_box", "engine_in_box", "loosen"]

UInt8Array = npt.NDArray[np.uint8]

_LOOSE_SHARE = 0.03  # of the side, outward: about as loose as drawn boxes
_ROUNDS = 2000
_SEED = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class OutlineCheck:
    """Mean Dice of outlines given the box, with the 95 % interval from resampling whole cases.

    Attributes
    ----------
    nodules, cases : how many
    dice, low, high : mean over the nodules, and its interval
    """

    nodules: int
    cases: int
    dice: float
    low: float
    high: float


def check_outlines(nodules: Sequence[BoxedNodule], masks: Sequence[UInt8Array]) -> OutlineCheck:
    """Mean Dice of masks with those of the nodules; the case is the part of the frame's name before ``_``.

    Interval: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, 13.3.
    """
    dice = np.array([_dice(mask, nodule.mask) for nodule, mask in zip(nodules, masks, strict=True)])
    names = sorted({nodule.name.split("_")[0] for nodule in nodules})
    place = np.array([names.index(nodule.name.split("_")[0]) for nodule in nodules])
    total, count = (np.bincount(place, weights, len(names)) for weights in (dice, np.ones_like(dice)))
    drawn = np.random.default_rng(_SEED).integers(len(names), size=(_ROUNDS, len(names)))
    low, high = np.percentile(total[drawn].sum(1) / count[drawn].sum(1), [2.5, 97.5])
    return OutlineCheck(
        nodules=len(nodules),
        cases=len(names),
        dice=round(float(dice.mean()), 4),
        low=round(float(low), 4),
        high=round(float(high), 4),
    )


def ellipse_in_box(nodule: BoxedNodule) -> UInt8Array:
    """The ellipse that fills the box, as a mask: uint8 (H, W)."""
    height_px, width_px = nodule.image.shape
    return ellipse_mask(nodule.box_xyxy_px, (height_px, width_px))


def loosen(nodule: BoxedNodule) -> BoxedNodule:
    """The same nodule with a box as loose as drawn ones are: 3 % of its side outward at each side."""
    box = nodule.box_xyxy_px
    outward = _LOOSE_SHARE * np.tile(box[2:] - box[:2], 2) * (-1.0, -1.0, 1.0, 1.0)
    height_px, width_px = nodule.image.shape
    return replace(nodule, box_xyxy_px=np.clip(box + outward, 0.0, [width_px, height_px, width_px, height_px]))


def engine_in_box(engine: Engine, nodule: BoxedNodule) -> UInt8Array:
    """The mask of an engine, which is not shown the box, inside the box: uint8 (H, W), 0 or 1.

    Parameters
    ----------
    engine : with one image as input and the output ``mask_prob``
    nodule : frame, cropped to the scan area, and box
    """
    wanted = engine.spec.inputs[0]
    height_px, width_px = (int(side or 0) for side in wanted.shape[2:])
    tensor, image_to_input = preprocess(nodule.image, (height_px, width_px))
    prob = engine.infer({wanted.name: tensor})["mask_prob"][0, 0]
    to_mask = np.diag([prob.shape[1] / width_px, prob.shape[0] / height_px]) @ image_to_input
    size_wh = nodule.image.shape[1], nodule.image.shape[0]
    back = cv2.warpAffine(
        np.ascontiguousarray(prob, np.float32),
        to_indices(to_mask),
        size_wh,
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
    )
    inside = box_plane(nodule.box_xyxy_px, size_wh[::-1]) > 0
    return np.asarray((back >= 0.5) & inside, np.uint8)


def _dice(found: UInt8Array, truth: UInt8Array | None) -> float:
    assert truth is not None  # only nodules with a mask are checked
    return float(2 * (found & truth).sum() / max(1, int(found.sum()) + int(truth.sum())))
