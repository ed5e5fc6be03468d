"""The pictures of ``ct_head_png``: which of them are held out, and where the inside of their skulls is."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from usassist.errors import ConfigError
from usassist.modalities.ct.haemorrhage.pictures import BRAIN_HU, to_hu
from usassist.modalities.ct.haemorrhage.preprocess import crop_head
from usassist.training.data.picture_hash import hash_pictures, read_grey, reduce_picture, standardise

__all__ = [
    "PICTURES",
    "Picture",
    "PictureSplit",
    "crop_picture",
    "find_inside",
    "read_pictures",
    "split_pictures",
]

UInt8Array = npt.NDArray[np.uint8]
Float32Array = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]

PICTURES = "ct_head_png"

_MOST_BITS, _LEAST_CORRELATION = 12, 0.8
_HELD_OUT_EACH = 20
_BONE_LEVELS_HU = (75.0, 66.0, 58.0, 52.0)  # windows differ; the highest that gives a closed ring is taken
_LEAST_INSIDE = 0.15  # of the slice

SERIES: tuple[tuple[str, ...], ...] = (
    ("004", "005", "057", "058"),
    ("001", "007"),
    ("012", "030", "084"),
    ("017", "018"),
    ("034", "035", "036", "037", "038", "039"),
    ("040", "062", "063"),
    ("048", "049", "065"),
    ("079", "080"),
    ("081", "082"),
    ("085", "086"),
    ("097", "098"),
    ("100", "101"),
    ("104", "105", "183", "185", "186", "187"),
    ("106", "107", "108"),
    ("110", "111"),
    ("113", "116"),
    ("117", "118", "119", "120", "121", "122", "124", "125", "126", "127"),
    ("129", "130"),
    ("134", "135", "136", "137", "138"),
    ("140", "141", "142", "144"),
    ("145", "148"),
    ("151", "152"),
    ("153", "154"),
    ("156", "157"),
    ("162", "164", "165", "169", "170", "171", "172", "173", "175"),
    ("188", "189"),
)
"""Slices that look like one patient or one figure, found by eye in the numbering; the set does not say."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Picture:
    """One picture.

    Attributes
    ----------
    name : as ``labels.csv`` has it
    has_blood : its label
    grey : uint8 (H, W)
    """

    name: str
    has_blood: bool
    grey: UInt8Array


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureSplit:
    """Names of the pictures.

    Attributes
    ----------
    training, held_out : sorted; no group is on both sides
    groups : pictures that are alike or of one series
    """

    training: tuple[str, ...]
    held_out: tuple[str, ...]
    groups: tuple[tuple[str, ...], ...]


def read_pictures(data_root: Path) -> list[Picture]:
    """All pictures, in the order of their names.

    Raises
    ------
    ConfigError
        If the set is missing or a picture cannot be read.
    """
    table = data_root / PICTURES / "labels.csv"
    if not table.is_file():
        raise ConfigError(f"{table} is missing; set USASSIST_DATA to the folder of the data")
    with table.open(encoding="utf-8") as lines:
        rows = [{key.strip(): value.strip() for key, value in row.items()} for row in csv.DictReader(lines)]
    return [
        Picture(
            name=row["id"],
            has_blood=row["hemorrhage"] == "1",
            grey=read_grey(table.parent / f"{row['id']}.png"),
        )
        for row in sorted(rows, key=lambda row: row["id"])
    ]


def split_pictures(pictures: Sequence[Picture], seed: int) -> PictureSplit:
    """Hold out 20 pictures with and 20 without blood, whole groups only.

    Pictures are in one group if they are alike, also mirrored, by the same rule as in
    :mod:`usassist.training.data.duplicates`, or if they are in one of :data:`SERIES`.

    Parameters
    ----------
    pictures : all of the set
    seed : of the order in which groups are drawn

    Raises
    ------
    ConfigError
        If whole groups do not add up to 20 and 20.
    """
    groups = _group(pictures)
    label = {picture.name: picture.has_blood for picture in pictures}
    left = {True: _HELD_OUT_EACH, False: _HELD_OUT_EACH}
    held_out: list[str] = []
    order = np.random.default_rng(seed).permutation(len(groups))
    for index in order.tolist():
        counts = {value: sum(label[name] == value for name in groups[index]) for value in (True, False)}
        if all(counts[value] <= left[value] for value in left):
            held_out += groups[index]
            left = {value: left[value] - counts[value] for value in left}
    if any(left.values()):
        raise ConfigError(
            f"whole groups of pictures do not add up to {_HELD_OUT_EACH} of each label; take another seed"
        )
    kept = set(held_out)
    return PictureSplit(
        training=tuple(picture.name for picture in pictures if picture.name not in kept),
        held_out=tuple(sorted(held_out)),
        groups=tuple(groups),
    )


def _group(pictures: Sequence[Picture]) -> list[tuple[str, ...]]:
    """Groups of pictures that are alike or of one series, in the order of their first names."""
    leader = {picture.name: picture.name for picture in pictures}

    def lead(name: str) -> str:
        while leader[name] != name:
            name = leader[name]
        return name

    def join(first: str, second: str) -> None:
        if first in leader and second in leader:
            one, other = sorted((lead(first), lead(second)))
            leader[other] = one

    for series in SERIES:
        for name in series[1:]:
            join(series[0], name)
    plain = np.stack([reduce_picture(picture.grey) for picture in pictures])
    turned = np.stack([reduce_picture(np.ascontiguousarray(picture.grey[:, ::-1])) for picture in pictures])
    hashes, small = hash_pictures(plain), standardise(plain)
    for others in (plain, turned):
        correlation = small @ standardise(others).T
        bits = np.bitwise_count(hashes[:, None] ^ hash_pictures(others)[None, :])
        alike = (bits <= _MOST_BITS) & (correlation >= _LEAST_CORRELATION)
        for first, second in np.argwhere(np.triu(alike, 1)).tolist():
            join(pictures[first].name, pictures[second].name)
    members: dict[str, list[str]] = {}
    for picture in pictures:
        members.setdefault(lead(picture.name), []).append(picture.name)
    return [tuple(names) for _, names in sorted(members.items())]


def find_inside(crop: Float32Array) -> tuple[BoolArray, BoolArray]:
    """Inside of the skull and ventricles of a cropped picture, as well as its greys show them.

    Parameters
    ----------
    crop : float32 (N, N), of :func:`to_hu`, cropped to the head

    Returns
    -------
    inside, ventricle : bool (N, N); empty where there is no closed ring of bone
    """
    side = crop.shape[0]
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
    inside: UInt8Array = np.zeros(crop.shape, np.uint8)
    for level_hu in _BONE_LEVELS_HU:
        bone = np.asarray(cv2.morphologyEx((crop > level_hu).astype(np.uint8), cv2.MORPH_CLOSE, kernel), np.uint8)
        hole = _largest_hole(bone)
        if hole is not None:
            inside = np.asarray(cv2.morphologyEx(hole, cv2.MORPH_CLOSE, kernel), np.uint8)
            outlines, _ = cv2.findContours(inside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(inside, outlines, -1, 1.0, cv2.FILLED)
            break
    depth = cv2.distanceTransform(inside, cv2.DIST_L2, 5)
    dark = (cv2.GaussianBlur(crop, (0, 0), 1.5) < BRAIN_HU - 11.0) & (depth > 0.12 * side)
    ellipse = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7))
    return inside > 0, cv2.morphologyEx(dark.astype(np.uint8), cv2.MORPH_OPEN, ellipse) > 0


def _largest_hole(bone: UInt8Array) -> UInt8Array | None:
    """The largest region that bone encloses, if it could be the inside of a skull: uint8 (N, N), 0 or 1."""
    side = bone.shape[0]
    count, labels, stats, _ = cv2.connectedComponentsWithStats(1 - bone, connectivity=4)
    best, most = 0, _LEAST_INSIDE * side * side
    for number in range(1, count):
        left, upper, width, height, area = (int(value) for value in stats[number])
        touches = left == 0 or upper == 0 or left + width == side or upper + height == side
        if not touches and area > most:
            best, most = number, area
    return (labels == best).astype(np.uint8) if best else None


def crop_picture(picture: Picture, side_px: int) -> Float32Array:
    """A picture in rough HU, cropped to the head as the engine crops: float32 (side_px, side_px)."""
    hu, square = to_hu(picture.grey)
    return crop_head(hu, square, side_px)
