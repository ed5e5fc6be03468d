"""How often an engine abstains: on frames that show what it was made for, and on frames that do not."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from usassist.errors import SourceError, UsageError
from usassist.evaluation.cases import read_names
from usassist.evaluation.contact_sheet import Tile, WorstFrames
from usassist.evaluation.figures import mean_by_case
from usassist.evaluation.folders import CLIP_SUFFIXES, LabelledFrame, list_negatives, read_negatives
from usassist.evaluation.images import Skipped
from usassist.evaluation.metrics import Figure
from usassist.evaluation.run import FrameOutcome

__all__ = [
    "DomainFrame",
    "DomainSet",
    "choose_domain_threshold",
    "collect_domain_frames",
    "domain_report",
    "domain_rows",
    "list_domain_sets",
    "read_domain_set",
]

_PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
_STEPS = 1000  # of a threshold that is chosen; rounded down, which loses no frame more


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainSet:
    """Frames of one kind.

    Attributes
    ----------
    name : of the set
    inside : they show what the engine was made for
    paths : images and clips, every one of them, or every nth
    stride : of the frames of a clip; None = every 20th of its first 100 frames
    """

    name: str
    inside: bool
    paths: tuple[Path, ...]
    stride: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainFrame:
    """What the engine says of one frame.

    Attributes
    ----------
    set : name of its set
    inside : it shows what the engine was made for
    name, case : of the frame; the frames of a clip are one case
    prob : probability that it does
    """

    set: str
    inside: bool
    name: str
    case: str
    prob: float


def list_domain_sets(
    inside: Sequence[str], outside: Sequence[str], names: Sequence[str], stride: int | None, skipped: list[Skipped]
) -> list[DomainSet]:
    """Find the images and clips of all sets, before any frame is run.

    Parameters
    ----------
    inside, outside : ``NAME=PATH`` of each set: a folder of images or of clips, or one clip
    names : ``NAME=FILE``: of that set only the images named in the file
    stride : every nth image of a folder, and every nth frame of a clip
    skipped : what cannot be used is added here

    Raises
    ------
    UsageError
        If there is no set, one has no name or comes twice, or a file of names belongs to none.
    SourceError
        If a path is missing or holds nothing that can be read.
    """
    pairs = [(*_split(item), is_inside) for items, is_inside in ((inside, True), (outside, False)) for item in items]
    known = [name for name, _, _ in pairs]
    if not pairs or len(set(known)) < len(known):
        raise UsageError(f"every set needs a name of its own, got {', '.join(known) or 'no set'}; give NAME=PATH")
    listed = {name: read_names(path) for name, path in map(_split, names)}
    if unknown := [name for name in listed if name not in known]:
        raise UsageError(f"--names {unknown[0]}: there is no such set; use {', '.join(known)}")
    sets = []
    for name, path, is_inside in pairs:
        is_clip = path.is_file() and path.suffix.lower() in CLIP_SUFFIXES
        found = [path] if is_clip else list_negatives(path, listed.get(name), skipped)
        images = [item for item in found if item.suffix.lower() not in CLIP_SUFFIXES][:: stride or 1]
        paths = (*images, *(item for item in found if item.suffix.lower() in CLIP_SUFFIXES))
        if not paths:
            raise SourceError(f"set {name}: {path} holds no image and no clip; check the path and the names")
        sets.append(DomainSet(name=name, inside=is_inside, paths=paths, stride=stride))
    return sets


def read_domain_set(frames: DomainSet, skipped: list[Skipped]) -> Iterator[LabelledFrame]:
    """Read the frames of a set; those that cannot be read are added to `skipped`."""
    return read_negatives(frames.paths, None, skipped, clip_stride=frames.stride)


def collect_domain_frames(
    outcomes: Iterable[tuple[DomainSet, FrameOutcome]], threshold: float
) -> tuple[list[DomainFrame], list[Tile]]:
    """What the engine says of every frame, and tiles of the frames that it judges worst.

    Parameters
    ----------
    outcomes : of an engine with a domain
    threshold : it abstains below it
    """
    frames, worst = [], WorstFrames()
    for of_set, outcome in outcomes:
        assert outcome.domain_prob is not None  # the engine has a domain
        prob, frame = outcome.domain_prob, outcome.frame
        frames.append(DomainFrame(set=of_set.name, inside=of_set.inside, name=frame.name, case=frame.case, prob=prob))
        if (prob < threshold) == of_set.inside:
            key = prob - threshold if of_set.inside else threshold - prob
            worst.offer(outcome, 2.0, key, f"{of_set.name}   {frame.name}   {prob:.2f}")
    return frames, worst.tiles


def choose_domain_threshold(frames: Sequence[DomainFrame], loss: float) -> float:
    """The highest threshold at which at most this share of the frames inside the domain is lost, all sets together.

    Parameters
    ----------
    frames : of all sets
    loss : share of the frames inside the domain, 0 to 1

    Raises
    ------
    UsageError
        If no frame lies inside the domain.
    """
    probs = np.sort([frame.prob for frame in frames if frame.inside])
    if not probs.size:
        raise UsageError("there is no frame of the domain to choose a threshold on; give a set that shows it")
    lost = min(int(loss * probs.size + 1e-9), probs.size - 1)
    return math.floor(float(probs[lost]) * _STEPS) / _STEPS


def domain_report(frames: Sequence[DomainFrame], threshold: float) -> dict[str, Any]:
    """Share of abstentions and distribution of the probability: of each set, and of those inside and outside together.

    Returns
    -------
    ``sets`` : name → ``inside``, ``frames``, ``cases``, ``abstained`` (a :class:`Figure`, with an interval by case),
        ``prob`` (percentile → value)
    ``pooled`` : the same of ``inside`` and ``outside``, where there are any
    """
    groups: dict[str, list[DomainFrame]] = {}
    for frame in frames:
        groups.setdefault(frame.set, []).append(frame)
    pooled = {name: [item for item in frames if item.inside is is_in] for name, is_in in _SIDES.items()}
    return {
        "sets": {name: _summary(group, threshold) for name, group in groups.items()},
        "pooled": {name: _summary(group, threshold) for name, group in pooled.items() if group},
    }


def domain_rows(frames: Sequence[DomainFrame], threshold: float, skipped: Iterable[Skipped]) -> list[Mapping[str, Any]]:
    """One row per frame and per skipped file, for CSV."""
    rows: list[Mapping[str, Any]] = [
        {
            "set": frame.set,
            "name": frame.name,
            "case": frame.case,
            "state": "abstained" if frame.prob < threshold else "answered",
            "inside": int(frame.inside),
            "prob": frame.prob,
        }
        for frame in frames
    ]
    keys = list(rows[0]) if rows else []
    rows.extend(dict.fromkeys(keys) | {"name": item.name, "state": f"skipped: {item.reason}"} for item in skipped)
    return rows


_SIDES = {"inside": True, "outside": False}


def _summary(group: Sequence[DomainFrame], threshold: float) -> dict[str, Any]:
    probs = np.array([frame.prob for frame in group])
    abstained: Figure = mean_by_case([(f"{frame.set}/{frame.case}", float(frame.prob < threshold)) for frame in group])
    return {
        "inside": group[0].inside,
        "frames": len(group),
        "cases": len({(frame.set, frame.case) for frame in group}),
        "abstained": abstained,
        "prob": {f"p{level}": float(np.percentile(probs, level)) for level in _PERCENTILES},
    }


def _split(item: str) -> tuple[str, Path]:
    name, equals, path = item.partition("=")
    if not (name and equals and path):
        raise UsageError(f"{item!r} is no set; write NAME=PATH, for example cine=FOLDER")
    return name, Path(path)
