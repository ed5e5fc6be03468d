"""How far apart two outlines are: normalised surface distance and Hausdorff distance, computed by MONAI."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from usassist.evaluation.extras import need

__all__ = ["TOLERANCE_PX", "SurfaceDistance", "surface_distance"]

BoolArray = npt.NDArray[np.bool_]

TOLERANCE_PX = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SurfaceDistance:
    """How far apart the outlines in one frame are.

    Attributes
    ----------
    nsd : share of both outlines that lies within 2 px of the other, 0 to 1
    hd95_px : of the distances from each outline to the other the 95th percentile, the greater of both directions, px
    """

    nsd: float
    hd95_px: float


def surface_distance(found: BoolArray, truth: BoolArray) -> SurfaceDistance:
    """NSD at 2 px and HD95 of everything found against everything marked.

    Nikolov et al. 2021 (doi 10.2196/26151) for the NSD; Maier-Hein et al. 2024 (doi 10.1038/s41592-023-02151-z) for
    what to do without a prediction: the worst value, which is 0 for the NSD and the diagonal of the frame for the HD95.

    Parameters
    ----------
    found, truth : bool (H, W); `truth` not empty

    Raises
    ------
    UsageError
        If MONAI is not installed.
    ValueError
        If nothing is marked: then there is no outline to compare with.
    """
    if not truth.any():
        raise ValueError("there is no outline to compare with; leave the frame out")
    if not found.any():
        return SurfaceDistance(nsd=0.0, hd95_px=float(np.hypot(*truth.shape)))
    torch, metrics = need("torch"), need("monai.metrics")
    pair = [torch.from_numpy(np.ascontiguousarray(mask))[None, None] for mask in (found, truth)]
    with warnings.catch_warnings():  # MONAI 1.6 calls itself with an argument that it has deprecated
        warnings.filterwarnings("ignore", message=".*always_return_as_numpy", category=FutureWarning)
        nsd = metrics.compute_surface_dice(*pair, class_thresholds=[TOLERANCE_PX], include_background=True)
        hd95 = metrics.compute_hausdorff_distance(*pair, percentile=95, include_background=True)
    return SurfaceDistance(nsd=float(nsd), hd95_px=float(hd95))
