"""The user's own frames for quantisation: folders of images, and of images with masks.

File names may be names of patients. They serve to sort and to pair files, and are neither shown nor written: an image
with a fault is named by its number in the order of file names.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from usassist.errors import ScanAreaError, SourceError
from usassist.evaluation.cases import Cases
from usassist.evaluation.folders import LabelledFrame, Pair, read_pairs
from usassist.evaluation.images import Skipped, list_files, list_images, read_grey
from usassist.evaluation.metrics import regions
from usassist.evaluation.tally import MIN_TRUTH_PX
from usassist.frames import find_scan_area
from usassist.training.int8.quantize import CalibrationSet, spread_evenly

__all__ = [
    "MIN_FRAMES",
    "UserImages",
    "UserLabelledImages",
    "read_unlabelled",
    "read_user_images",
    "read_user_labelled",
]

UInt8Array = npt.NDArray[np.uint8]

MIN_FRAMES = 20
"""Minimum number of different images to set ranges, or to measure accuracy."""

_ORDER = "in the order of their names"
_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class UserImages:
    """Images that set the ranges.

    Attributes
    ----------
    frames : cropped as live
    paths : of the same images
    digests : SHA-256 of the grey pixels of each whole image
    """

    frames: CalibrationSet
    paths: tuple[Path, ...]
    digests: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class UserLabelledImages:
    """Images with masks, each of which can be read.

    Attributes
    ----------
    pairs : images and masks
    digests : SHA-256 of the grey pixels of each whole image
    """

    pairs: tuple[Pair, ...]
    digests: frozenset[str]

    def read(self) -> Iterator[LabelledFrame]:
        """The frames, not cropped.

        Raises
        ------
        SourceError
            If one can no longer be read.
        """
        for number, pair in enumerate(self.pairs, start=1):
            frame, reason = _read_pair(pair)
            if frame is None:
                raise SourceError(_fault("labelled image", [(number, reason)], len(self.pairs)))
            yield frame


def read_user_images(folder: Path, count: int) -> UserImages:
    """Take images evenly spaced from a folder, and crop each to its scan area.

    Parameters
    ----------
    folder : png, jpg, bmp and tif files; other files and folders in it are ignored
    count : at most so many are taken

    Raises
    ------
    SourceError
        If the folder cannot be read, there are fewer than :data:`MIN_FRAMES` different images, or one of those
        taken cannot be read or shows no scan area.
    """
    paths = list(list_images(list_files(folder), []).values())
    if not paths:
        raise SourceError("the folder of --images holds no png, jpg, bmp or tif images; give another folder")
    _check_enough(len(paths), "images")
    places = spread_evenly(len(paths), count)
    images: list[UInt8Array] = []
    faults: list[tuple[int, str]] = []
    digests: set[str] = set()
    for place in places:
        try:
            grey, _ = read_grey(paths[place])
            x1, y1, x2, y2 = find_scan_area([grey]).xyxy_px
        except ScanAreaError:
            faults.append((place + 1, "shows no scan area"))
        except SourceError as error:
            faults.append((place + 1, _nameless(str(error), paths[place])))
        else:
            digests.add(_digest(grey))
            images.append(np.ascontiguousarray(grey[y1:y2, x1:x2]))
    if faults:
        raise SourceError(_fault("image", faults, len(paths)))
    _check_enough(len(digests), "different images")
    frames = CalibrationSet(
        name="own pictures", chosen=f"{len(places)} of {len(paths)}, evenly spaced {_ORDER}", images=tuple(images)
    )
    return UserImages(frames=frames, paths=tuple(paths[place] for place in places), digests=frozenset(digests))


def read_user_labelled(images: Path, masks: Path) -> UserLabelledImages:
    """Pair images and masks of the same name, and check each.

    Raises
    ------
    SourceError
        If a folder cannot be read, an image or a mask has no partner, one cannot be read, both differ in size, or a
        nodule is marked in fewer than :data:`MIN_FRAMES` images.
    """
    strays: list[Skipped] = []
    by_name, labels = (list_images(list_files(folder), strays) for folder in (images, masks))
    alone = [number for number, name in enumerate(by_name, start=1) if name not in labels]
    left = len(labels.keys() - by_name.keys())
    twice = sum(stray.reason.startswith("same name") for stray in strays)
    if alone or left or twice:
        first = f" (the first is image {alone[0]} {_ORDER})" if alone else ""
        raise SourceError(
            f"images and masks do not match: {len(alone)} of {len(by_name)} images have no mask of the same "
            f"name{first}, {left} of {len(labels)} masks have no image, {twice} files have the name of another; "
            "correct the folders of --gate-images and --gate-masks"
        )
    pairs = tuple(Pair(name=name, image=path, mask=labels[name]) for name, path in by_name.items())
    faults: list[tuple[int, str]] = []
    digests: set[str] = set()
    marked = 0
    for number, pair in enumerate(pairs, start=1):
        frame, reason = _read_pair(pair)
        if frame is None:
            faults.append((number, reason))
        else:
            digests.add(_digest(frame.image))
            marked += bool(regions(frame.truth, MIN_TRUTH_PX))
    if faults:
        raise SourceError(_fault("labelled image", faults, len(pairs)))
    _check_enough(marked, "labelled images with a nodule in them")
    return UserLabelledImages(pairs=pairs, digests=frozenset(digests))


def read_unlabelled(paths: Sequence[Path]) -> Iterator[LabelledFrame]:
    """Images as frames on which nothing is marked, not cropped.

    Raises
    ------
    SourceError
        If one cannot be read.
    """
    for number, path in enumerate(paths, start=1):
        try:
            grey, _ = read_grey(path)
        except SourceError as error:
            raise SourceError(_fault("image", [(number, _nameless(str(error), path))], len(paths))) from None
        yield LabelledFrame(name=f"{number}", case=f"{number}", image=grey, truth=np.zeros(grey.shape, np.bool_))


def _read_pair(pair: Pair) -> tuple[LabelledFrame | None, str]:
    """The frame, or None and why not."""
    skipped: list[Skipped] = []
    frame = next(read_pairs([pair], Cases(), skipped), None)
    return frame, "" if frame is not None else _nameless(skipped[0].reason, pair.image, pair.mask)


def _check_enough(count: int, what: str) -> None:
    if count < MIN_FRAMES:
        raise SourceError(f"{count} {what} are too few; give {MIN_FRAMES} or more, of many patients and settings")


def _fault(what: str, faults: Sequence[tuple[int, str]], total: int) -> str:
    listed = "; ".join(f"number {number} {reason}" for number, reason in faults[:_SHOWN])
    more = f"; and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
    return f"of {total} {what}s {_ORDER}, {listed}{more}; repair or remove them"


def _nameless(reason: str, *paths: Path) -> str:
    """The reason without the file name before it and the advice after it."""
    for path in paths:
        reason = reason.removeprefix(path.name).strip()
    return reason.split(";")[0]


def _digest(image: UInt8Array) -> str:
    return hashlib.sha256(f"{image.shape}".encode() + image.tobytes()).hexdigest()
