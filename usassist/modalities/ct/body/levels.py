"""Which planes of a volume are measured: a level, a range of levels, or a plane that the user names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from usassist.errors import UsageError, VolumeError
from usassist.volumes import Volume

__all__ = ["LEVELS", "LevelPlanes", "PlaneChoice", "choose_planes", "parse_levels"]

LEVELS = ("T12", "L1", "L2", "L3", "L4", "L5")
"""The levels that can be measured, from the head downwards."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelPlanes:
    """One vertebral level in a volume.

    Attributes
    ----------
    plane : in which areas are measured
    first, stop : planes of the vertebra
    confidence : of the search, 0 to 1; None where the user named the plane
    reason : what the confidence rests on
    """

    plane: int
    first: int
    stop: int
    confidence: float | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaneChoice:
    """What is measured in a volume.

    Attributes
    ----------
    levels : name → planes, from the head downwards
    first, stop : planes that are segmented
    missing : level → why it is not measured
    """

    levels: Mapping[str, LevelPlanes]
    first: int
    stop: int
    missing: Mapping[str, str] = field(default_factory=dict)


def parse_levels(text: str) -> tuple[str, ...]:
    """``L3``, ``T12..L5`` or ``all`` → names of levels, from the head downwards.

    Raises
    ------
    UsageError
        If it is none of these.
    """
    asked = text.strip().upper()
    first, _, last = ("T12", "", "L5") if asked == "ALL" else asked.partition("..")
    last = last or first
    if first not in LEVELS or last not in LEVELS or LEVELS.index(first) > LEVELS.index(last):
        raise UsageError(f"no level {text}; give one of {', '.join(LEVELS)}, a range such as L1..L4, or all")
    return LEVELS[LEVELS.index(first) : LEVELS.index(last) + 1]


def choose_planes(volume: Volume, asked: tuple[str, ...], plane: int | None = None) -> PlaneChoice:
    """The planes to measure.

    Parameters
    ----------
    volume : of one plane only where one level is asked for
    asked : of :func:`parse_levels`
    plane : index that the user names for the one level that is asked for; None = the level is searched for

    Raises
    ------
    UsageError
        If a plane is named for more than one level, or lies outside the volume.
    VolumeError
        If none of the levels was found.
    """
    depth = volume.shape_zyx[0]
    if plane is not None or depth == 1:
        if len(asked) != 1:
            raise UsageError("a plane that is named, or a single slice, is one level: name it, for example --level L3")
        at = 0 if plane is None else plane
        if not 0 <= at < depth:
            raise UsageError(
                f"there is no slice {at + 1}: this series has the slices 1 (nearest to the feet) to {depth}"
            )
        given = LevelPlanes(plane=at, first=at, stop=at + 1, confidence=None, reason="named by the user")
        return PlaneChoice(levels={asked[0]: given}, first=at, stop=at + 1)
    from usassist.modalities.ct.spine import find_levels

    found = find_levels(volume)
    levels: dict[str, LevelPlanes] = {}
    missing: dict[str, str] = {}
    for name in asked:
        try:
            vertebra = found.vertebra(name)
        except VolumeError as error:
            missing[name] = str(error)
            continue
        if vertebra.plane is None or vertebra.planes is None or not 0 <= vertebra.plane < depth:
            missing[name] = "the middle of its body is not in this series"
            continue
        levels[name] = LevelPlanes(
            plane=vertebra.plane,
            first=min(vertebra.planes[0], vertebra.plane),
            stop=max(vertebra.planes[1], vertebra.plane) + 1,
            confidence=vertebra.confidence,
            reason="; ".join(filter(None, (found.reason, vertebra.reason))),
        )
    if not levels:
        raise VolumeError(f"{missing[asked[0]]}; name one with --level and --slice")
    return PlaneChoice(
        levels=levels,
        first=min(item.first for item in levels.values()),
        stop=max(item.stop for item in levels.values()),
        missing=missing,
    )
