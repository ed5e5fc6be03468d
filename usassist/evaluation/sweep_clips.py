"""Clips as folders of frames with a mask on each: which frame belongs to which clip, and at which place."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from usassist.errors import ConfigError, SourceError, SourceFormatError, UsageError
from usassist.evaluation.folders import LabelledFrame, Pair
from usassist.evaluation.images import Skipped, list_files, list_images, read_grey, read_mask
from usassist.evaluation.mask_identities import IdentitiesFrom, RegionIdentities, judge_masks, read_numbered_mask
from usassist.sources.address import IMAGE_SUFFIXES

__all__ = ["Clip", "Place", "check_clip", "list_clips", "read_clip", "read_clip_table", "sample_images"]

_COLUMNS = ("file", "clip", "frame")
_CLIP_NAME = re.compile(r"\w[\w.-]*")  # also the name of a file
_SAMPLES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a frame belongs.

    Attributes
    ----------
    clip : name of the clip
    number : the frames of a clip are in the order of their numbers, which may leave numbers out
    """

    clip: str
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """The frames of one clip with their masks.

    Attributes
    ----------
    name : of the clip
    case : what the intervals resample: the clip itself, or the patient
    pairs, numbers : of the frames, in order; two or more
    """

    name: str
    case: str
    pairs: tuple[Pair, ...]
    numbers: tuple[int, ...]

    def check(self) -> IdentitiesFrom:
        """As :func:`check_clip`."""
        return check_clip(self)

    def sample(self) -> list[npt.NDArray[np.uint8]]:
        """As :func:`sample_images`."""
        return sample_images(self)

    def read(self, told_by: IdentitiesFrom) -> Iterator[LabelledFrame]:
        """As :func:`read_clip`."""
        return read_clip(self, told_by)


def read_clip_table(path: Path) -> dict[str, Place]:
    """Frame → clip and number, from a CSV file with the columns ``file``, ``clip`` and ``frame``; others are ignored.

    Raises
    ------
    ConfigError
        If a column is missing, a line has another form, or a file has two lines.
    SourceError
        If the file cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{path} cannot be read: {error}; give a CSV file") from error
    reader = csv.DictReader(lines)
    missing = [column for column in _COLUMNS if column not in (reader.fieldnames or ())]
    if missing:
        raise ConfigError(f"{path.name} has no column {missing[0]}; its first line must name file, clip and frame")
    places: dict[str, Place] = {}
    for row in reader:
        file, clip, number = ((row[column] or "").strip() for column in _COLUMNS)
        name = Path(file).stem if Path(file).suffix.lower() in IMAGE_SUFFIXES else file
        if not name or name in places or not number.isdecimal() or not _CLIP_NAME.fullmatch(clip):
            raise ConfigError(
                f"{path.name}, line {reader.line_num}: must be a file with its one clip (letters, digits, - _ .) and "
                f"the number of the frame in it, got {file},{clip},{number}"
            )
        places[name] = Place(clip=clip, number=int(number))
    return places


def list_clips(
    images: Path,
    masks: Path,
    skipped: list[Skipped],
    *,
    table: Mapping[str, Place] | None = None,
    names: Sequence[str] | None = None,
    cases: Mapping[str, str] | None = None,
) -> list[Clip]:
    """The clips in a folder of images and a folder of masks with the names of the images.

    Parameters
    ----------
    images, masks : folders
    skipped : files that are no images are added here
    table : from :func:`read_clip_table`; None = a frame is named CLIP_NUMBER
    names : only these clips, in this order; None = all
    cases : clip → case; None = every clip is a case

    Returns
    -------
    clips : at least one

    Raises
    ------
    SourceError
        If a folder is missing, there are no images, or a frame lacks its image or its mask.
    UsageError
        If a name does not give its clip, a clip is not known or has one frame only, or two frames have one number.
    """
    image_by_name = list_images(list_files(images), skipped)
    mask_by_name = list_images(list_files(masks), skipped)
    if not image_by_name:
        raise SourceError(f"no frame in {images} can be evaluated; check the folder")
    placed = _place([*image_by_name, *mask_by_name], table)
    known = list(dict.fromkeys(place.clip for place in placed.values()))
    unknown = [name for name in names or () if name not in known]
    if unknown:
        raise UsageError(f"there is no clip {unknown[0]}; the clips are {', '.join(known)}")
    members: dict[str, list[str]] = {name: [] for name in names or known}
    for name in sorted(placed, key=lambda name: placed[name].number):
        if placed[name].clip in members:
            members[placed[name].clip].append(name)
    _require_pairs([name for frames in members.values() for name in frames], image_by_name, mask_by_name)
    clips = []
    for name, frames in members.items():
        numbers = tuple(placed[frame].number for frame in frames)
        _check_frames(name, frames, numbers)
        if cases is not None and name not in cases:
            raise ConfigError(f"the case file has no line for clip {name}; add it")
        pairs = tuple(Pair(name=frame, image=image_by_name[frame], mask=mask_by_name[frame]) for frame in frames)
        clips.append(Clip(name=name, case=name if cases is None else cases[name], pairs=pairs, numbers=numbers))
    return clips


def check_clip(clip: Clip) -> IdentitiesFrom:
    """Read every file of a clip once, so that a bad one is named before the first frame is run.

    Returns
    -------
    told_by : what its nodules are told apart by

    Raises
    ------
    SourceError
        If a file cannot be read, a mask has another size than its image, the images have different sizes, or masks
        number nodules in a way that cannot be understood.
    """
    told_by = judge_masks(clip.name, [pair.mask for pair in clip.pairs])
    first: tuple[int, ...] | None = None
    for pair in clip.pairs:
        image, mask = read_grey(pair.image)[0], read_grey(pair.mask)[0]
        first = first or image.shape
        if mask.shape != image.shape:
            raise SourceFormatError(
                f"{pair.name}: the image has {_size(image.shape)}, its mask {_size(mask.shape)}; make them alike"
            )
        if image.shape != first:
            raise SourceFormatError(
                f"clip {clip.name}: {pair.name} has {_size(image.shape)}, the frames before it {_size(first)}; "
                "make two clips of it"
            )
    return told_by


def sample_images(clip: Clip) -> list[npt.NDArray[np.uint8]]:
    """A few images spread over the clip, uint8 (H, W), to find the scan area on."""
    last = len(clip.pairs) - 1
    chosen = sorted({round(index * last / (_SAMPLES - 1)) for index in range(_SAMPLES)})
    return [read_grey(clip.pairs[index].image)[0] for index in chosen]


def read_clip(clip: Clip, told_by: IdentitiesFrom | None = None) -> Iterator[LabelledFrame]:
    """The frames of a clip, in order.

    Parameters
    ----------
    clip : to read
    told_by : from :func:`check_clip`; None = nodules are not told apart, and masks are black and white
    """
    by_region = RegionIdentities(told_by) if told_by and told_by is not IdentitiesFrom.VALUES else None
    for pair in clip.pairs:
        image, converted = read_grey(pair.image)
        identity = read_numbered_mask(pair.mask) if told_by is IdentitiesFrom.VALUES else None
        truth = read_mask(pair.mask) if identity is None else identity > 0
        if by_region is not None:
            identity = by_region.number(truth)
        yield LabelledFrame(
            name=pair.name, case=clip.case, image=image, truth=truth, converted=converted, identity=identity
        )


def _place(names: Sequence[str], table: Mapping[str, Place] | None) -> dict[str, Place]:
    """The place of every frame, from its name or the table; the table may name frames that are missed then."""
    if table is not None:
        unknown = [name for name in names if name not in table]
        if unknown:
            raise ConfigError(f"the table of clips has no line for {unknown[0]}; add it")
        return dict(table)
    placed = {}
    for name in names:
        clip, _, number = name.rpartition("_")
        if not number.isdecimal() or not _CLIP_NAME.fullmatch(clip):
            raise UsageError(
                f"{name} does not give its clip and its number as CLIP_NUMBER; "
                "rename the frames, or list them in a CSV file with --clips"
            )
        placed[name] = Place(clip=clip, number=int(number))
    return placed


def _require_pairs(names: Sequence[str], images: Mapping[str, Path], masks: Mapping[str, Path]) -> None:
    alone = [name for name in names if name not in images or name not in masks]
    if alone:
        lacks = "mask" if alone[0] in images else "image"
        others = f", and {len(alone) - 1} more frames lack one of the two" if len(alone) > 1 else ""
        raise SourceError(
            f"{alone[0]} has no {lacks}{others}; a sweep needs both of every frame, so add what is missing"
        )


def _check_frames(clip: str, frames: Sequence[str], numbers: Sequence[int]) -> None:
    if len(frames) == 1:
        raise UsageError(
            f"clip {clip} has one frame only, {frames[0]}, and a sweep has two or more; "
            "leave it out with --names, or use usassist eval nodule"
        )
    for (first, number), (second, same) in pairwise(zip(frames, numbers, strict=True)):
        if number == same:
            raise UsageError(f"{first} and {second} are both frame {number} of clip {clip}; rename one")


def _size(hw_px: Sequence[int]) -> str:
    return f"{hw_px[1]} x {hw_px[0]} px"
