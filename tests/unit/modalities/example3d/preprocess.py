"""From a CT volume to the input of the engine."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from usassist.volumes import Volume


def window_hu(
    volume: Volume, low_hu: float, high_hu: float, out: npt.NDArray[np.float32], report: Callable[[float], None]
) -> None:
    """Scale a window of HU to -1 to 1, a plane at a time; what lies outside is clipped.

    Parameters
    ----------
    volume : in HU
    low_hu, high_hu : become -1 and 1
    out : float32 (1, Z, Y, X) to write into; may lie in a file
    report : receives the share that is done, once per plane
    """
    depth = volume.shape_zyx[0]
    for z in range(depth):
        plane = np.clip(volume.voxels[z].astype(np.float32), low_hu, high_hu)
        out[0, z] = (plane - low_hu) * (2.0 / (high_hu - low_hu)) - 1.0
        report((z + 1) / depth)
