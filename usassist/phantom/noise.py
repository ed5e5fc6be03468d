"""Random fields in body coordinates that change smoothly along the elevation axis.

White scatterers and smooth textures are cropped from two pools that are drawn once per process. A field at elevation e
is a weighted sum of slabs, so that two nearby planes share most of their scatterers: the speckle decorrelates as the
plane moves, and is the same again when the plane returns.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from usassist.phantom.config import FloatArray, as_float32, rng_of

__all__ = ["ELEVATION_SIGMA_MM", "TEXTURES", "ScattererField", "TextureField"]

SLAB_MM = 0.5
ELEVATION_SIGMA_MM = 0.5
_SLABS_EACH_SIDE = 3
_POOL_SIDE = 1536
_TEXTURE_SIDE = 704
_TEXTURE_MM = 0.25
_TEXTURE_SLAB_MM = 3.0
# standard deviations (depth, lateral) of the smoothing, mm
TEXTURES: dict[str, tuple[float, float]] = {
    "blob": (1.1, 1.4),
    "grain": (0.35, 0.45),
    "stria": (0.28, 4.0),
    "septa": (0.9, 5.0),
    "ripple": (1.0, 1.8),
    "warp_x": (5.0, 5.0),
    "warp_z": (3.5, 6.0),
}


@lru_cache(maxsize=1)
def white_pool() -> FloatArray:
    """Circular complex Gaussian noise of unit power: float32 (1536, 1536, 2), real and imaginary part."""
    rng = np.random.default_rng(0x5CA77E7)
    pool = rng.standard_normal((_POOL_SIDE, _POOL_SIDE, 2), dtype=np.float32)
    pool *= np.float32(np.sqrt(0.5))
    pool.flags.writeable = False
    return pool


@lru_cache(maxsize=8)
def _texture_pool(name: str) -> FloatArray:
    sigma_z, sigma_x = (s / _TEXTURE_MM for s in TEXTURES[name])
    rng = np.random.default_rng([0x7E87, list(TEXTURES).index(name)])
    pad = int(4 * max(sigma_x, sigma_z)) + 1
    white = rng.standard_normal((_TEXTURE_SIDE + 2 * pad, _TEXTURE_SIDE + 2 * pad), dtype=np.float32)
    smooth = as_float32(cv2.GaussianBlur(white, (0, 0), sigmaX=sigma_x, sigmaY=sigma_z))[pad:-pad, pad:-pad]
    smooth = as_float32(np.ascontiguousarray((smooth - smooth.mean()) / smooth.std()))
    smooth.flags.writeable = False
    return smooth


class ScattererField:
    """Scatterers on a grid fixed to the body.

    Parameters
    ----------
    seed : of the position of each slab in the pool
    shape : rows (depth) and columns (lateral) of the grid
    margin : by how many samples the body may move on the grid to each side
    """

    def __init__(self, seed: int, shape: tuple[int, int], margin: int) -> None:
        self._seed, self._shape, self._margin = seed, shape, margin
        room = [_POOL_SIDE - n - 2 * margin for n in shape]
        if min(room) < 1:
            raise ValueError(f"a grid of {shape} does not fit into the pool of {_POOL_SIDE}")
        self._room = room
        self._pool = white_pool()
        self._origins: dict[int, tuple[int, int, bool]] = {}

    def at(self, elevation_mm: float, shift_rc: tuple[int, int] = (0, 0)) -> FloatArray:
        """Complex amplitudes of unit power in one plane.

        The weights over the slabs are Gaussian in elevation with standard deviation 0.5 mm, so the correlation of two
        planes that are d mm apart is exp(-d² / (4 · 0.5²)).

        Parameters
        ----------
        elevation_mm : of the plane
        shift_rc : movement of the body on the grid, whole samples, within the margin

        Returns
        -------
        float32 (rows, columns, 2), real and imaginary part
        """
        rows, columns = self._shape
        center = round(elevation_mm / SLAB_MM)
        slabs = range(center - _SLABS_EACH_SIDE, center + _SLABS_EACH_SIDE + 1)
        distance = np.array([(k * SLAB_MM - elevation_mm) / ELEVATION_SIGMA_MM for k in slabs])
        weight = np.exp(-0.5 * distance**2)
        weight /= np.sqrt(np.sum(weight**2))
        total: FloatArray | None = None
        for k, w in zip(slabs, weight, strict=True):
            row, column, flip = self._origin(k)
            row += self._margin - shift_rc[0]
            column += self._margin - shift_rc[1]
            slab = self._pool[row : row + rows, column : column + columns]
            gain = -w if flip else w
            total = slab * np.float32(gain) if total is None else as_float32(cv2.scaleAdd(slab, float(gain), total))
        assert total is not None
        return total

    def _origin(self, k: int) -> tuple[int, int, bool]:
        if k not in self._origins:
            rng = rng_of(self._seed, k, 0x51AB)
            self._origins[k] = int(rng.integers(self._room[0])), int(rng.integers(self._room[1])), rng.random() < 0.5
        return self._origins[k]


class TextureField:
    """Smooth random fields of unit variance, for tissue texture and for wavy borders.

    Parameters
    ----------
    seed : of the fields
    extent_mm : x0, z0, x1, z1, the part of the plane that will be sampled
    """

    def __init__(self, seed: int, extent_mm: tuple[float, float, float, float]) -> None:
        x0, z0, x1, z1 = extent_mm
        self._x0_mm, self._z0_mm = x0 - 2.0, z0 - 2.0
        size = [int((b - a + 4.0) / _TEXTURE_MM) + 2 for a, b in ((z0, z1), (x0, x1))]
        self._rows, self._columns = (min(n, _TEXTURE_SIDE - 1) for n in size)
        self._seed = seed

    def at(self, name: str, elevation_mm: float, x_mm: FloatArray, z_mm: FloatArray) -> FloatArray:
        """Values at points of one plane; float32 of the shape of `x_mm`, zero mean, unit variance."""
        position = elevation_mm / _TEXTURE_SLAB_MM
        k = int(np.floor(position))
        angle = 0.5 * np.pi * (position - k)
        field = cv2.addWeighted(
            self._slab(name, k), float(np.cos(angle)), self._slab(name, k + 1), float(np.sin(angle)), 0
        )
        map_x = (x_mm - np.float32(self._x0_mm)) / np.float32(_TEXTURE_MM)
        map_z = (z_mm - np.float32(self._z0_mm)) / np.float32(_TEXTURE_MM)
        return as_float32(cv2.remap(field, map_x, map_z, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101))

    def _slab(self, name: str, k: int) -> FloatArray:
        rng = rng_of(self._seed, k, 0x7E8, list(TEXTURES).index(name))
        row = int(rng.integers(_TEXTURE_SIDE - self._rows))
        column = int(rng.integers(_TEXTURE_SIDE - self._columns))
        return _texture_pool(name)[row : row + self._rows, column : column + self._columns]
