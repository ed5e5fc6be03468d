"""Frames that occur more than once, within a data set and across the sets, also mirrored or cut and saved again.

Pairs whose 64-bit perceptual hashes differ in few bits are compared by the correlation of the small pictures without
their slow changes of grey (:mod:`usassist.training.data.picture_hash`).
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from usassist.errors import ConfigError
from usassist.training.data.picture_hash import hash_pictures, read_grey, reduce_picture, standardise

__all__ = [
    "TRAINING",
    "VALIDATION",
    "FrameFile",
    "Pair",
    "find_pairs",
    "list_frames",
    "list_leaks",
    "list_repeats",
]

Part = tuple[str, str]

TRAINING: tuple[Part, ...] = (
    ("thyroid_ddti", "train"),
    ("thyroid_tn5000", "train"),
    ("thyroid_gland_tg3k", "train"),
    ("breast_busi", ""),
)
"""Folder and part of the sets that frames are trained on."""

VALIDATION: tuple[Part, ...] = (
    ("thyroid_ddti", "val"),
    ("thyroid_tn5000", "val"),
    ("thyroid_gland_tg3k", "val"),
    ("thyroid_cine", ""),
    ("thyroid_tn3k9", ""),
)
"""Folder and part of the sets that engines are compared on."""

MOST_BITS = 12
"""Bits of 64 in which the hashes of a pair may differ."""

LEAST_CORRELATION = 0.8
"""Correlation of the small pictures from which a pair is one picture, or one plane of one patient."""

SAME_CORRELATION = 0.95
"""Correlation from which a pair is one picture, or neighbouring frames of one sweep."""

_NEIGHBOURS = {"thyroid_tn5000": 3}
"""Sets whose parts are blocks of numbers, with the distance up to which frames may be of one patient."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameFile:
    """One frame of a data set.

    Attributes
    ----------
    folder : the data set, as its folder is named
    part : ``train``, ``val``, or "" where the set has no parts
    name : as the training samples name it
    path : the picture
    """

    folder: str
    part: str
    name: str
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two frames of the same picture or plane.

    Attributes
    ----------
    first, second : the frames, in the order of the list
    bits : in which the hashes differ, 0 to 64
    correlation : of the small pictures, -1 to 1
    mirrored : whether the second is the first from right to left
    """

    first: FrameFile
    second: FrameFile
    bits: int
    correlation: float
    mirrored: bool


def list_frames(data_dir: Path, parts: Iterable[Part]) -> list[FrameFile]:
    """The frames of the parts named, in their order.

    Parameters
    ----------
    data_dir : folder that holds the data sets
    parts : of :data:`TRAINING` and :data:`VALIDATION`

    Raises
    ------
    ConfigError
        If a set is missing or has no frames of a part.
    """
    frames: list[FrameFile] = []
    for folder, part in parts:
        root = data_dir / folder
        if not root.is_dir():
            raise ConfigError(f"the data set {folder} is not in {data_dir}; fetch it or leave it out")
        if (root / "boxes.csv").is_file():
            with (root / "boxes.csv").open(encoding="utf-8", newline="") as file:
                names = [row["id"] for row in csv.DictReader(file) if row["part"] == part]
            paths = [root / "images" / f"{name}.jpg" for name in names]
        elif part and (root / f"{part}.txt").is_file():
            names = (root / f"{part}.txt").read_text(encoding="utf-8").split()
            paths = [root / "images" / f"{name}.jpg" for name in names]
        else:
            paths = sorted((root / part / "images").glob("*.jpg"))
            names = [path.stem for path in paths]
        if not paths:
            raise ConfigError(f"the data set {folder} has no frames of the part {part or 'images'!r}; fetch it again")
        frames += [
            FrameFile(folder=folder, part=part, name=name, path=path) for name, path in zip(names, paths, strict=True)
        ]
    return frames


def find_pairs(
    frames: Sequence[FrameFile], *, most_bits: int = MOST_BITS, least_correlation: float = LEAST_CORRELATION
) -> list[Pair]:
    """Every pair of frames that show the same picture, or the same plane.

    Parameters
    ----------
    frames : to compare, each with each
    most_bits, least_correlation : limits of the two tests

    Raises
    ------
    ConfigError
        If a picture cannot be read.
    """
    small = np.stack([reduce_picture(read_grey(frame.path)) for frame in frames])
    mirror = np.ascontiguousarray(small[:, :, ::-1])
    hashes, mirror_hashes = hash_pictures(small), hash_pictures(mirror)
    shape, mirror_shape = standardise(small), standardise(mirror)
    pairs = []
    for index in range(len(frames) - 1):
        after = hashes[index + 1 :]
        for mirrored, own in ((False, hashes[index]), (True, mirror_hashes[index])):
            bits = np.bitwise_count(after ^ own)
            likely = np.flatnonzero(bits <= most_bits)
            correlation = shape[index + 1 + likely] @ (mirror_shape if mirrored else shape)[index]
            for offset, value in zip(likely, correlation, strict=True):
                if value >= least_correlation:
                    pairs.append(
                        Pair(
                            first=frames[index],
                            second=frames[index + 1 + int(offset)],
                            bits=int(bits[offset]),
                            correlation=float(value),
                            mirrored=mirrored,
                        )
                    )
    return pairs


def list_leaks(
    data_dir: Path,
    training: Iterable[Part] = TRAINING,
    validation: Iterable[Part] = VALIDATION,
    held_out: Mapping[str, Collection[str]] | None = None,
) -> dict[str, frozenset[str]]:
    """Training frames that show the same plane as a frame of a validation set: not to be trained on.

    Where the parts of a set are blocks of numbers, the frames next to a block of the other part are taken as well.

    Parameters
    ----------
    data_dir : folder that holds the data sets
    training, validation : parts to compare
    held_out : for a folder of a training set, the names in it that are validation frames, too

    Returns
    -------
    for each folder of a training set, the names to exclude, without those of `held_out`
    """
    kept_back = held_out or {}
    every = list_frames(data_dir, training)
    taught = [frame for frame in every if frame.name not in kept_back.get(frame.folder, ())]
    compared = [frame for frame in every if frame.name in kept_back.get(frame.folder, ())]
    compared += list_frames(data_dir, validation)
    compared_paths = {frame.path for frame in compared}
    leaks: dict[str, set[str]] = {frame.folder: set() for frame in taught}
    for pair in find_pairs(taught + compared):
        if (pair.first.path in compared_paths) != (pair.second.path in compared_paths):
            leaks[pair.first.folder].add(pair.first.name)
    for folder, distance in _NEIGHBOURS.items():
        numbers = np.array([int(frame.name) for frame in compared if frame.folder == folder])
        for frame in taught:
            if frame.folder == folder and len(numbers) and np.abs(numbers - int(frame.name)).min() <= distance:
                leaks[folder].add(frame.name)
    return {folder: frozenset(names) for folder, names in leaks.items()}


def list_repeats(data_dir: Path, training: Iterable[Part] = TRAINING) -> dict[str, frozenset[str]]:
    """Training frames that show the same picture as an earlier one: leaving them out, each picture occurs once.

    Parameters
    ----------
    data_dir : folder that holds the data sets
    training : parts to compare

    Returns
    -------
    for each folder of a training set, the names to leave out
    """
    frames = list_frames(data_dir, training)
    repeats: dict[str, set[str]] = {frame.folder: set() for frame in frames}
    for pair in find_pairs(frames, least_correlation=SAME_CORRELATION):
        if pair.first.name not in repeats[pair.first.folder]:
            repeats[pair.second.folder].add(pair.second.name)
    return {folder: frozenset(names) for folder, names in repeats.items()}
