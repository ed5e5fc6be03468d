"""Planes of one series sorted by where they lie, and what is wrong with their positions.

Nothing here is read from file names or image numbers: planes are sorted by the projection of Image Position (Patient)
on their normal (PS3.3 C.7.6.2.1.1). The voxel grid is that of the positions themselves, so a tilted gantry gives a
sheared affine, and nothing is resampled.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from usassist.sources.volumes.facts import PlaneTurn
from usassist.sources.volumes.headers import Common, Plane, Scan

__all__ = ["Stack", "make_stacks"]

Float64Array = npt.NDArray[np.float64]

_TOLERANCE, _LEAST_MM = 0.1, 0.12  # of a plane from its place: a share of the spacing; some round positions to 0.1 mm
_LEAST_GAPS, _MOST_BLOCKS = 3, 3
_SAME_MM = 0.01
_MAX_SPACING_MM = 50.0
_TILT_DEG = 0.1
_SPLIT_BY = ("acquisition", "echo", "time")
_HEAD, _AXIAL_COSINE = 2, 0.7


@dataclass(slots=True, kw_only=True)
class Stack:
    """Planes that make one volume.

    Attributes
    ----------
    part : number among the stacks of its series, from 0 on
    planes : sorted
    affine : of the turned planes, index (i, j, k) → LPS mm; None where it cannot be known
    """

    common: Common
    scan: Scan
    part: int = 0
    planes: list[Plane]
    affine: Float64Array | None = None
    turn: PlaneTurn = field(default_factory=PlaneTurn)
    tilt_deg: float = 0.0
    spacing_is_known: bool = True
    problems: list[str] = field(default_factory=list)
    unreadable: str = ""


def make_stacks(planes: list[tuple[Common, Scan, Plane]]) -> list[Stack]:
    """Put planes together that make one volume, in the order in which they came."""
    groups: dict[Common, list[tuple[Scan, Plane]]] = {}
    for common, scan, plane in planes:
        groups.setdefault(common, []).append((scan, plane))
    parts: Counter[str] = Counter()
    stacks: list[Stack] = []
    for common, members in groups.items():
        unique: dict[object, Plane] = {}
        for _, plane in members:  # programs that take identity away have given all images of a series one UID
            unique.setdefault((plane.sop_instance_uid, plane.frame_number, plane.position_mm), plane)
        copies = len(members) - len(unique)
        times = _split(common, list(unique.values()))
        for some in [block for planes_of_one in times for block in _blocks(common, planes_of_one)]:
            stack = Stack(common=common, scan=members[0][0], planes=some, part=parts[common.series_uid])
            parts[common.series_uid] += 1
            if copies:
                stack.problems.append(f"{_many(copies, 'plane')} there twice, as the same image; one of each is used")
            stacks.append(stack)
    for stack in stacks:
        if parts[stack.common.series_uid] > 1:
            stack.problems.append(
                f"its series holds {parts[stack.common.series_uid]} stacks (other sizes, directions, spacings, times), "
                "which are listed one by one"
            )
        _place(stack)
    return stacks


def _split(common: Common, planes: list[Plane]) -> list[list[Plane]]:
    """Separate planes that lie at one place, where acquisition, echo or time tell them apart."""
    if not _has_doubles(common, planes):
        return [planes]
    for index in range(len(_SPLIT_BY)):
        sets: dict[int, list[Plane]] = {}
        for plane in planes:
            sets.setdefault(plane.order[index], []).append(plane)
        if len(sets) > 1 and not any(_has_doubles(common, some) for some in sets.values()):
            return [sets[key] for key in sorted(sets)]
    return [planes]


def _blocks(common: Common, planes: list[Plane]) -> list[list[Plane]]:
    """Separate blocks of even spacing, where it changes once or twice: old sequences of a head have two.

    One wide gap among even ones is no block: there a plane is missing.
    """
    if len(planes) < 2 * _LEAST_GAPS or _has_doubles(common, planes) or not _is_placed(common, planes):
        return [planes]
    along = _along(_normal(planes), planes)
    order = np.argsort(along, kind="stable")
    gaps = np.diff(along[order])
    starts = [0]  # of runs of equal gaps
    for index in range(1, len(gaps)):
        if abs(gaps[index] - gaps[starts[-1]]) > max(_LEAST_MM, _TOLERANCE * gaps[starts[-1]]):
            starts.append(index)
    ends = [*starts[1:], len(gaps)]
    if not 2 <= len(starts) <= _MOST_BLOCKS or min(np.subtract(ends, starts)) < _LEAST_GAPS:
        return [planes]
    cuts = [0, *(start + 1 for start in starts[1:]), len(planes)]
    return [[planes[index] for index in order[first:last]] for first, last in pairwise(cuts)]


def _is_placed(common: Common, planes: list[Plane]) -> bool:
    return bool(common.orientation) and all(plane.position_mm is not None for plane in planes)


def _has_doubles(common: Common, planes: list[Plane]) -> bool:
    if not _is_placed(common, planes):
        return False
    along = np.sort(_along(_normal(planes), planes))
    return bool((np.diff(along) < _SAME_MM).any())


def _normal(planes: list[Plane]) -> Float64Array:
    cosines = np.array(planes[0].cosines, np.float64).reshape(2, 3)
    return np.cross(cosines[0], cosines[1])


def _along(normal: Float64Array, planes: list[Plane]) -> Float64Array:
    return np.array([plane.position_mm for plane in planes], np.float64) @ normal


def _place(stack: Stack) -> None:
    """Sort the planes and find the affine, or the reason why there is none."""
    common, planes = stack.common, stack.planes
    faults = Counter(plane.fault for plane in planes if plane.fault)
    if faults:
        (fault, count), *_ = faults.most_common()
        where = "" if len(planes) == 1 else f" ({count} of {len(planes)} planes)"
        stack.unreadable = f"{fault}{where}"
    if not stack.unreadable:
        stack.unreadable = _refuse_grid(common, planes)
    if stack.unreadable:
        return
    cosines = np.array(planes[0].cosines, np.float64).reshape(2, 3)
    cosines /= np.linalg.norm(cosines, axis=1, keepdims=True)
    normal = np.cross(cosines[0], cosines[1])
    if normal[np.argmax(np.abs(normal))] < 0:  # planes go to the left, the back or the head
        normal = -normal
    along = _along(normal, planes)
    order = np.argsort(along, kind="stable")
    stack.planes = planes = [planes[index] for index in order]
    step = _step(stack, along[order], normal)
    if step is None:
        return
    spacing_r_mm, spacing_c_mm = common.spacing_rc_mm
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1], affine[:3, 2] = cosines[0] * spacing_c_mm, cosines[1] * spacing_r_mm, step
    affine[:3, 3] = planes[0].position_mm
    stack.affine, stack.turn = _turned(affine, common.rows, common.columns, normal)
    cosine = float(step @ normal) / float(np.linalg.norm(step))
    tilt = math.degrees(math.acos(min(1.0, cosine)))
    stack.tilt_deg = round(tilt, 2) if tilt >= _TILT_DEG else 0.0
    _note_tilt(stack)
    _note_numbers(stack)


def _refuse_grid(common: Common, planes: list[Plane]) -> str:
    if not _is_placed(common, planes):
        return "states no position or no direction of its planes, so they cannot be put in order"
    cosines = np.array(common.orientation, np.float64).reshape(2, 3)
    lengths = np.linalg.norm(cosines, axis=1)
    if (np.abs(lengths - 1) > 0.01).any() or abs(float(cosines[0] @ cosines[1])) > 0.01:
        return "states directions of rows and columns that are not perpendicular"
    if not all(0 < value <= _MAX_SPACING_MM for value in common.spacing_rc_mm):
        return "states no spacing of its pixels, or one that cannot be true"
    return ""


def _step(stack: Stack, along: Float64Array, normal: Float64Array) -> Float64Array | None:
    """From one plane to the next, LPS mm; None, and the reason in the stack, where planes are not evenly spaced."""
    planes = stack.planes
    positions = np.array([plane.position_mm for plane in planes], np.float64)
    if len(planes) == 1:
        thickness = planes[0].between_mm or planes[0].thickness_mm
        stack.spacing_is_known = thickness is not None
        if thickness is None:
            stack.problems.append("it is one plane without a thickness; 1 mm is taken")
        return normal * (thickness or 1.0)
    gaps = np.diff(along)
    doubles = int((gaps < _SAME_MM).sum())
    if doubles:
        stack.unreadable = f"holds {_many(doubles, 'place')} with more than one image; export one series alone"
        return None
    usual = float(np.median(gaps[gaps <= 1.5 * gaps.min()]))  # not of all: half of them may span a missing plane
    slack = max(_LEAST_MM, _TOLERANCE * usual)
    counts = np.rint(gaps / usual)
    if (counts > 1).any() and (np.abs(gaps - counts * usual) <= slack * counts).all() and (counts >= 1).all():
        missing, first = int(counts.sum()) - len(gaps), int(np.argmax(counts > 1))
        stack.unreadable = (
            f"lacks {_many(missing, 'plane', verb=False)}, the first after plane {first + 1} of {len(planes)}; "
            "export the whole series"
        )
        return None
    step = (positions[-1] - positions[0]) / (len(planes) - 1)
    places = positions[0] + np.arange(len(planes))[:, None] * step
    if float(np.linalg.norm(positions - places, axis=1).max()) > slack or (np.abs(gaps - usual) > slack).any():
        stack.unreadable = (
            f"has planes that are not evenly spaced ({gaps.min():.4g} to {gaps.max():.4g} mm); "
            "export a reconstruction of one spacing"
        )
        return None
    if float(np.linalg.norm(step)) > _MAX_SPACING_MM:
        stack.unreadable = f"has planes that lie {np.linalg.norm(step):.4g} mm apart, so they make no volume"
        return None
    thickness = planes[0].thickness_mm
    if thickness is not None and usual > 1.5 * thickness:
        stack.problems.append(f"planes of {thickness:g} mm lie {usual:.4g} mm apart: what is between was not imaged")
    return np.asarray(step)


def _turned(affine: Float64Array, rows: int, columns: int, normal: Float64Array) -> tuple[Float64Array, PlaneTurn]:
    """Bring axial planes to x = left, y = back by exchange and flips of the axes; others stay as stored."""
    if abs(normal[_HEAD]) < _AXIAL_COSINE:
        return affine, PlaneTurn()
    affine = affine.copy()
    transpose = abs(affine[0, 1]) > abs(affine[0, 0])
    if transpose:
        affine[:, [0, 1]] = affine[:, [1, 0]]
        rows, columns = columns, rows
    flip_x, flip_y = bool(affine[0, 0] < 0), bool(affine[1, 1] < 0)
    for axis, flip, length in ((0, flip_x, columns), (1, flip_y, rows)):
        if flip:
            affine[:3, 3] += affine[:3, axis] * (length - 1)
            affine[:3, axis] *= -1
    return affine, PlaneTurn(transpose=bool(transpose), flip_y=flip_y, flip_x=flip_x)


def _note_tilt(stack: Stack) -> None:
    stated = stack.scan.gantry_tilt_deg
    if stack.tilt_deg:
        stack.problems.append(f"the gantry was tilted by {stack.tilt_deg:.1f}°; the volume keeps its sheared grid")
    elif stated is not None and abs(stated) >= 1 and len(stack.planes) > 1:
        stack.problems.append(f"the header states a tilt of {stated:g}°, and the positions show none")


def _note_numbers(stack: Stack) -> None:
    """Planes may be missing at the ends, where positions cannot show it."""
    claimed = stack.scan.images_in_acquisition
    if claimed is not None and claimed > len(stack.planes) > 1:
        stack.problems.append(f"the header states {claimed} images, and {len(stack.planes)} are here")


def _many(count: int, what: str, *, verb: bool = True) -> str:
    if count == 1:
        return f"1 {what}{' is' if verb and what == 'plane' else ''}"
    return f"{count} {what}s{' are' if verb and what == 'plane' else ''}"
