"""Rows to the back and columns to the left: how the planes of a volume are turned for the engine, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from usassist.errors import VolumeError
from usassist.volumes import Volume

__all__ = ["PlaneOrientation", "find_orientation"]

_Any = TypeVar("_Any", bound=np.generic)
_STEEPEST = 0.8  # cosine of the largest angle between the planes' normal and the long axis of the body, 37 degrees


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaneOrientation:
    """How the planes of a volume differ from rows to the patient's back and columns to the left.

    Attributes
    ----------
    transposed : rows and columns are exchanged first
    rows_reversed, columns_reversed : after that
    """

    transposed: bool
    rows_reversed: bool
    columns_reversed: bool

    def turn(self, plane: npt.NDArray[_Any]) -> npt.NDArray[_Any]:
        """A view of a plane (Y, X) of the volume with rows to the back and columns to the left."""
        turned = plane.T if self.transposed else plane
        return turned[:: -1 if self.rows_reversed else 1, :: -1 if self.columns_reversed else 1]

    def turn_back(self, plane: npt.NDArray[_Any]) -> npt.NDArray[_Any]:
        """The inverse of :meth:`turn`, a view."""
        turned = plane[:: -1 if self.rows_reversed else 1, :: -1 if self.columns_reversed else 1]
        return turned.T if self.transposed else turned

    def spacing_yx_mm(self, volume: Volume) -> tuple[float, float]:
        """Spacing of the rows and the columns of a turned plane."""
        _, along_y, along_x = volume.spacing_zyx_mm
        return (along_x, along_y) if self.transposed else (along_y, along_x)


def find_orientation(volume: Volume) -> PlaneOrientation:
    """From the affine.

    Raises
    ------
    VolumeError
        If the planes are not transverse.
    """
    axes: Any = volume.affine_ijk_to_lps_mm[:3, :3]
    normal = np.cross(axes[:, 0], axes[:, 1])
    if abs(normal[2]) < _STEEPEST * np.linalg.norm(normal):
        raise VolumeError("body composition needs transverse planes; this series is sagittal, coronal or oblique")
    transposed = bool(abs(axes[0, 1]) > abs(axes[0, 0]))
    left, back = (axes[:, 1], axes[:, 0]) if transposed else (axes[:, 0], axes[:, 1])
    return PlaneOrientation(transposed=transposed, rows_reversed=bool(back[1] < 0), columns_reversed=bool(left[0] < 0))
