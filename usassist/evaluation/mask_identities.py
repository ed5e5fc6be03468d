"""Which nodule is which over the masks of a clip: by the values of the masks, or as far as regions tell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from usassist.errors import SourceFormatError
from usassist.evaluation.images import is_deep, read_grey, read_mask
from usassist.evaluation.metrics import match, regions
from usassist.evaluation.tally import MIN_IOU, MIN_TRUTH_PX

__all__ = ["IdentitiesFrom", "RegionIdentities", "judge_masks", "read_numbered_mask"]

UInt8Array = npt.NDArray[np.uint8]
BoolArray = npt.NDArray[np.bool_]

_LOSSLESS = (".png", ".bmp", ".tif", ".tiff")
_MOST = 127  # above, a mask is white on black


class IdentitiesFrom(StrEnum):
    """What tells the nodules of a clip apart.

    ``values``: the masks number them. ``one_region``: no frame has more than one marked region, which is taken for one
    nodule, also where it comes back. ``overlap``: regions of neighbouring frames that overlap (IoU of 0.3 or more) are
    one nodule; one that comes back, or jumps, counts as another, because black and white masks do not tell.
    ``scanner``: the simulated scanner.
    """

    VALUES = "values"
    ONE_REGION = "one_region"
    OVERLAP = "overlap"
    SCANNER = "scanner"


class RegionIdentities:
    """Numbers the marked regions of the frames of one clip, which come in order.

    Parameters
    ----------
    told_by : ``one_region`` or ``overlap``
    """

    def __init__(self, told_by: IdentitiesFrom) -> None:
        self._is_one = told_by is IdentitiesFrom.ONE_REGION
        self._before: list[tuple[int, BoolArray]] = []
        self._count = 0

    def number(self, truth: BoolArray) -> UInt8Array:
        """Number the regions of 50 px or more of the next frame: uint8 (H, W), 0 = none of them.

        Raises
        ------
        SourceFormatError
            If the clip has more than 255 nodules by this rule.
        """
        found = regions(truth, MIN_TRUTH_PX)
        pairs = match(found, [region for _, region in self._before], MIN_IOU)
        same = {index: self._before[before][0] for index, before in pairs}
        now: list[tuple[int, BoolArray]] = []
        identity = np.zeros(truth.shape, np.uint8)
        for index, region in enumerate(found):
            number = 1 if self._is_one else same.get(index, 0)
            if not number:
                self._count = number = self._count + 1
            if number > 255:
                raise SourceFormatError(
                    "the masks of a clip have more than 255 regions that do not go on from one frame to the next; "
                    "number the nodules by the values of the masks"
                )
            identity[region] = number
            now.append((number, region))
        self._before = now
        return identity


def judge_masks(clip: str, masks: Sequence[Path]) -> IdentitiesFrom:
    """Read all masks of a clip, and tell what their identities follow from.

    Raises
    ------
    SourceError
        If a mask cannot be read, its values are neither black and white nor numbers, the clip has both, or its numbers
        leave one out.
    """
    values: set[int] = set()
    white: Path | None = None
    for path in masks:
        numbers = _numbers(path)
        if numbers is None:
            white = white or path
        else:
            values.update(np.unique(numbers[numbers > 0]).tolist())
    if max(values, default=0) <= 1:  # black and white, or 0 and 1
        most = max(len(regions(read_mask(path), MIN_TRUTH_PX)) for path in masks)
        return IdentitiesFrom.ONE_REGION if most <= 1 else IdentitiesFrom.OVERLAP
    if white is not None:
        raise SourceFormatError(
            f"clip {clip}: {white.name} is black and white, and other masks have the values {_words(values)}; "
            "number the nodules in all masks of the clip, or in none"
        )
    if missing := set(range(1, max(values) + 1)) - values:
        raise SourceFormatError(
            f"clip {clip}: its masks have the values {_words(values)} and not {min(missing)}; number its nodules "
            "from 1 without a gap, or save the masks in black and white"
        )
    return IdentitiesFrom.VALUES


def read_numbered_mask(path: Path) -> UInt8Array:
    """A mask whose values number the nodules, uint8 (H, W), from 1; 0 = nothing.

    Raises
    ------
    SourceError
        If it cannot be read, or does not number them.
    """
    numbers = _numbers(path)
    if numbers is None:
        raise SourceFormatError(f"{path.name} does not number its nodules; save its numbers as grey values")
    return numbers


def _numbers(path: Path) -> UInt8Array | None:
    """The values of a mask; None where it is black and white, which 0 and 1 is not."""
    mask: npt.NDArray[np.generic] = read_grey(path)[0]
    if is_deep(path):
        deep = cv2.imread(str(path), cv2.IMREAD_ANYDEPTH)
        mask = mask if deep is None or int(deep.max()) > _MOST else deep.astype(np.uint8)
    brightest = int(mask.max())
    if brightest > _MOST or (brightest > 1 and path.suffix.lower() not in _LOSSLESS):
        read_mask(path)  # refuses what is not black and white
        return None
    return np.asarray(mask, np.uint8)


def _words(values: Iterable[int]) -> str:
    ordered = sorted(values)
    return ", ".join(map(str, ordered[:8])) + (" …" if len(ordered) > 8 else "")
