"""The thyroid sets with masks: DDTI, frames with outlined nodules, and TG3K, frames with the gland outlined."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from usassist.training.data.masked import read_pair
from usassist.training.data.sample import Sample, crop, crop_and_clean, nothing_marked

__all__ = ["DUPLICATE_GROUPS", "list_nodule_frames", "load_gland", "load_nodule"]

UInt8Array = npt.NDArray[np.uint8]

DUPLICATE_GROUPS: tuple[frozenset[str], ...] = (
    frozenset({"349_1", "150_1", "233_2", "326_1", "323_1"}),
    frozenset({"353_2", "396_1"}),
    frozenset({"1_1", "1_2"}),
    frozenset({"213_1", "213_2"}),
    frozenset({"230_1", "230_2"}),
    frozenset({"92_3", "92_4"}),
)
"""DDTI frames with identical pixels, some of them listed under different cases."""


def list_nodule_frames(folder: Path, part: str) -> list[str]:
    """Names of the DDTI frames of a part, without leaks from ``val`` into ``train``.

    From ``train``, every case is excluded that shares an image with a case of ``val``; of images that occur more than
    once in ``train``, one is kept. ``val`` is unchanged.

    Parameters
    ----------
    folder : the data set, with ``train.txt`` and ``val.txt``
    part : ``train`` or ``val``
    """
    lists = {key: (folder / f"{key}.txt").read_text(encoding="utf-8").split() for key in ("train", "val")}
    if part == "val":
        return lists["val"]
    held_out = set(lists["val"])
    leaking = {_case(name) for group in DUPLICATE_GROUPS if group & held_out for name in group}
    leaking |= {_case(name) for name in held_out}
    names: list[str] = []
    for name in lists["train"]:
        twins = next((group for group in DUPLICATE_GROUPS if name in group), frozenset())
        if _case(name) not in leaking and not twins & set(names):
            names.append(name)
    return names


def load_nodule(folder: Path, part: str, left_out: Collection[str] = ()) -> list[Sample]:
    """DDTI frames of a part with their nodule masks, cropped to the scan area, without those that are left out."""
    samples = []
    for name in list_nodule_frames(folder, part):
        if name in left_out:
            continue
        image, mask = read_pair(folder / "images" / f"{name}.jpg", folder / "masks" / f"{name}.png")
        if mask.any():
            samples.append(crop_and_clean(Sample(name=name, image=image, nodule=mask, gland=nothing_marked(mask))))
    return samples


def load_gland(folder: Path, last_number: int, left_out: Collection[str] = ()) -> list[Sample]:
    """TG3K frames (part ``train``) with their gland masks, without marked nodules.

    Parameters
    ----------
    folder : the data set
    last_number : frames with a higher file number are excluded
    left_out : names of frames that are excluded
    """
    samples = []
    for path in sorted((folder / "train" / "images").glob("*.jpg")):
        if int(path.stem) <= last_number and path.stem not in left_out:
            image, mask = read_pair(path, folder / "train" / "masks" / path.name)
            mask = _largest_component(mask)  # burnt-in text is foreground in these masks
            samples.append(crop(Sample(name=path.stem, image=image, nodule=nothing_marked(mask), gland=mask)))
    return samples


def _largest_component(mask: UInt8Array) -> UInt8Array:
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    if count < 2:
        return mask
    return np.asarray(labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA])), np.uint8)


def _case(name: str) -> str:
    return name.split("_")[0]
