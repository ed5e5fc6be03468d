"""Label maps of ``ct_head_ich_labels_cq500`` as shapes: skull, inside of the skull, ventricles, blood."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from usassist.errors import ConfigError
from usassist.phantom.ct.render import smooth_field

__all__ = ["LABEL_MAPS", "LabelMap", "Shapes", "read_label_maps", "warp_shapes"]

UInt8Array = npt.NDArray[np.uint8]
Float32Array = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]

LABEL_MAPS = "ct_head_ich_labels_cq500"

_SMOOTH_PX = 0.9  # the maps have stairs of one px, which would show when they are enlarged
_MARGIN = 0.04  # of usassist.modalities.ct.haemorrhage.preprocess


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelMap:
    """One map.

    Attributes
    ----------
    name : of its file
    shares : float32 (Y, X, 4), 0 to 1: bone, inside of the skull, ventricle, blood
    head : float32 (Y, X), 0 to 1
    centre_xy_px, side_px : of the square around the head
    """

    name: str
    shares: Float32Array
    head: Float32Array
    centre_xy_px: tuple[float, float]
    side_px: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shapes:
    """A map on the grid of a simulated slice, all bool (N, N).

    Attributes
    ----------
    head, bone, inside, ventricle, blood
    across_xy : unit vector from the right to the left of the map, or back, on the grid
    """

    across_xy: tuple[float, float]
    head: BoolArray
    bone: BoolArray
    inside: BoolArray
    ventricle: BoolArray
    blood: BoolArray


def read_label_maps(data_root: Path) -> list[LabelMap]:
    """All maps, in the order of their names.

    Raises
    ------
    ConfigError
        If there are none.
    """
    paths = sorted((data_root / LABEL_MAPS).glob("*.png"))
    if not paths:
        raise ConfigError(
            f"there are no label maps in {data_root / LABEL_MAPS}; set USASSIST_DATA to the folder of the data"
        )
    return [_read(path) for path in paths]


def _read(path: Path) -> LabelMap:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise ConfigError(f"{path} cannot be read; fetch the data set again")
    blue, green, red = (image[..., channel] > 127 for channel in range(3))
    bone = blue & green & red
    brain, blood = green & ~red & ~blue, red & ~green & ~blue
    ventricle = blue & ~green & ~red
    head = (blue | green | red).astype(np.uint8)
    head = np.asarray(cv2.morphologyEx(head, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8)), np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(head)
    if count > 2:
        head = (labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))).astype(np.uint8)
    rows, columns = np.flatnonzero(head.any(axis=1)), np.flatnonzero(head.any(axis=0))
    height, width = rows[-1] + 1 - rows[0], columns[-1] + 1 - columns[0]
    shares = np.stack([bone, brain | ventricle | blood, ventricle, blood], axis=-1).astype(np.float32)
    return LabelMap(
        name=path.stem,
        shares=np.asarray(cv2.GaussianBlur(shares, (0, 0), _SMOOTH_PX), np.float32),
        head=np.asarray(cv2.GaussianBlur(head.astype(np.float32), (0, 0), _SMOOTH_PX), np.float32),
        centre_xy_px=(columns[0] + width / 2 - 0.5, rows[0] + height / 2 - 0.5),
        side_px=max(height, width) * (1.0 + 2.0 * _MARGIN),
    )


def warp_shapes(chosen: LabelMap, side_px: int, rng: np.random.Generator, zoom: float = 1.0) -> Shapes:
    """A map turned, stretched, bent and enlarged to the grid of a slice.

    Parameters
    ----------
    chosen : the map
    side_px : of the slice, N
    zoom : extent of the head as a share of what fills the slice
    """
    angle = np.deg2rad(rng.normal(0.0, 8.0))
    stretch = float(np.exp(rng.normal(0.0, 0.06)))
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    scale = chosen.side_px / side_px / zoom
    linear = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * scale
    linear = linear @ np.diag([mirror * stretch, 1.0 / stretch])
    slack = (1.0 - zoom) / 2.0 * side_px
    x, y = np.meshgrid(
        *(np.arange(side_px, dtype=np.float32) - side_px / 2 + 0.5 + rng.uniform(-1, 1) * slack for _ in "xy")
    )
    bend_px = rng.uniform(0.0, 0.02) * side_px
    x = x + smooth_field((side_px, side_px), side_px * 0.12, rng) * np.float32(bend_px)
    y = y + smooth_field((side_px, side_px), side_px * 0.12, rng) * np.float32(bend_px)
    at_x = (linear[0, 0] * x + linear[0, 1] * y + chosen.centre_xy_px[0]).astype(np.float32)
    at_y = (linear[1, 0] * x + linear[1, 1] * y + chosen.centre_xy_px[1]).astype(np.float32)
    shares = cv2.remap(chosen.shares, at_x, at_y, cv2.INTER_LINEAR)
    head = cv2.remap(chosen.head, at_x, at_y, cv2.INTER_LINEAR) > 0.5
    inside = (shares[..., 1] > 0.5) & head
    bone = (shares[..., 0] > 0.4) & head & ~inside
    length = float(np.hypot(linear[0, 0], linear[0, 1]))
    return Shapes(
        across_xy=(linear[0, 0] / length, linear[0, 1] / length),
        head=head,
        bone=bone,
        inside=inside,
        ventricle=(shares[..., 2] > 0.5) & inside,
        blood=(shares[..., 3] > 0.5) & inside,
    )
