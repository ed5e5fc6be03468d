"""What planes of a CT show: the section of the patient, a ring of bone, air, noise. One plane in memory at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from usassist.volumes import Volume

__all__ = ["RING_SHARE", "Section", "look_at"]

_PLANES_LOOKED_AT = 9
_BODY_HU, _AIR_HU, _BONE_HU = -300, -500, 250
RING_SHARE = 0.25  # of a section that lies inside the bone; of a head about 0.6, of an abdomen below 0.05
_SECTORS = 72
_AROUND_SHARE, _BONE_SHARE = 0.75, 0.07  # of 12 real head sections 1.0 and 0.09; of abdomens 0.67 and 0.06
_CLOSE_SHARE = 0.02  # of the side: gaps of the skull that are closed, such as burr holes and sutures


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Section:
    """What a plane shows.

    Attributes
    ----------
    air_share, body_share : of the plane
    ring_share : of the section, how much lies inside a closed ring of bone
    width_mm : of the section, the longer side of its box
    around : share of all directions from its centre in which there is bone
    bone_share : of the section
    inside_hu : values inside the ring, or inside the convex hull of the bone where the ring is open, without bone;
        empty where there is no cavity
    noise_hu : standard deviation of soft tissue from pixel to pixel; NaN where there is too little of it
    """

    air_share: float
    body_share: float
    ring_share: float
    around: float
    bone_share: float
    width_mm: float
    inside_hu: npt.NDArray[Any]
    noise_hu: float

    @property
    def shows_skull(self) -> bool:
        """True for a ring of bone, also one with gaps: fractures, burr holes, a flap that was taken out."""
        has_most = self.around >= _AROUND_SHARE and self.bone_share >= _BONE_SHARE
        return self.inside_hu.size > 0 and (self.ring_share >= RING_SHARE or has_most)


_NOTHING = Section(
    air_share=1.0,
    body_share=0.0,
    ring_share=0.0,
    around=0.0,
    bone_share=0.0,
    width_mm=0.0,
    inside_hu=np.zeros(0, np.int16),
    noise_hu=float("nan"),
)


def look_at(volume: Volume) -> list[Section]:
    """Look at some planes, evenly spread; at all of them where there are few."""
    depth = volume.shape_zyx[0]
    chosen = np.unique(np.linspace(0, depth - 1, min(depth, _PLANES_LOOKED_AT)).round().astype(int))
    return [_section(np.asarray(volume.voxels[index]), volume.spacing_zyx_mm) for index in chosen.tolist()]


def _section(hu: npt.NDArray[Any], spacing_zyx_mm: tuple[float, float, float]) -> Section:
    body: npt.NDArray[Any] = (hu > _BODY_HU).astype(np.uint8)
    body = cv2.morphologyEx(body, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    _, parts, stats, _ = cv2.connectedComponentsWithStats(body, connectivity=4)
    if len(stats) < 2:
        return _NOTHING
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    section = _filled(parts == largest)
    width, height = (int(stats[largest, key]) for key in (cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT))
    side = max(3, round(_CLOSE_SHARE * max(hu.shape)) | 1)
    bone: npt.NDArray[Any] = ((hu > _BONE_HU) & section).astype(np.uint8)
    closed = cv2.morphologyEx(bone, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
    ring = _filled(closed > 0) & (closed == 0)
    area = int(section.sum())
    ring_share = float(ring.sum()) / area
    around, hull = _around(bone, section)
    inside = ring if ring_share >= RING_SHARE else hull & (bone == 0)
    if int(inside.sum()) < RING_SHARE * area:
        inside = np.zeros_like(inside)  # no cavity
    return Section(
        air_share=float((hu < _AIR_HU).mean()),
        body_share=float(section.mean()),
        ring_share=ring_share,
        around=around,
        bone_share=float(bone.sum()) / area,
        width_mm=max(width * spacing_zyx_mm[2], height * spacing_zyx_mm[1]),
        inside_hu=hu[inside],
        noise_hu=_noise(hu, section),
    )


def _around(bone: npt.NDArray[Any], section: npt.NDArray[np.bool_]) -> tuple[float, npt.NDArray[np.bool_]]:
    """Share of the directions from the section's centre in which there is bone, and the convex hull of the bone."""
    hull = np.zeros(bone.shape, np.uint8)
    rows, columns = np.nonzero(bone)
    if rows.size < 3:
        return 0.0, hull > 0
    centre_y, centre_x = (float(where.mean()) for where in np.nonzero(section))
    angles = np.arctan2(rows - centre_y, columns - centre_x)
    sectors = np.unique(((angles + np.pi) / (2 * np.pi) * _SECTORS).astype(int) % _SECTORS)
    points = np.stack([columns, rows], axis=1).astype(np.int32)
    cv2.fillConvexPoly(hull, cv2.convexHull(points), 1)
    return sectors.size / _SECTORS, hull > 0


def _filled(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The mask with its holes."""
    padded = np.pad(mask, 1).astype(np.uint8)
    cv2.floodFill(padded, None, (0, 0), 2)
    return np.asarray(padded[1:-1, 1:-1] != 2)


def _noise(hu: npt.NDArray[Any], section: npt.NDArray[np.bool_]) -> float:
    """From differences of neighbours in soft tissue, by their median: edges do not count."""
    soft = section & (hu > -150) & (hu < 200)
    both = soft[:, 1:] & soft[:, :-1]
    if int(both.sum()) < 200:
        return float("nan")
    differences = np.abs(np.diff(hu.astype(np.float32), axis=1)[both])
    return float(np.median(differences)) / 0.6745 / float(np.sqrt(2.0))
