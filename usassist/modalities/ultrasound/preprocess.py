"""From a frame to the input tensor of an ultrasound engine."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from usassist.frames import letterbox, to_grey

__all__ = ["preprocess"]

UInt8Array = npt.NDArray[np.uint8]
Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]


def preprocess(
    image: UInt8Array, size_hw_px: tuple[int, int], out: Float32Array | None = None
) -> tuple[Float32Array, Float64Array]:
    """Convert a frame to grey, fit it into the engine's input without changing its aspect, and scale it to 0 to 1.

    Parameters
    ----------
    image : uint8 (H, W) or (H, W, 3) RGB, already cropped to the scan area
    size_hw_px : height and width of the engine's input, px
    out : a C-ordered buffer float32 (1, 1, h, w) to write into, so that nothing is allocated per frame

    Returns
    -------
    tensor : float32 (1, 1, h, w), pixel / 255, padding 0; ``out`` when it was given
    image_to_input : float64 (2, 3), maps (x, y, 1) in image px to input px

    Raises
    ------
    ValueError
        If a side is not positive, or ``out`` has another shape or type.
    """
    shape = (1, 1, *size_hw_px)
    if out is None:
        out = np.empty(shape, np.float32)
    elif out.shape != shape or out.dtype != np.float32:
        raise ValueError(f"out must be float32 {shape}, got {out.dtype} {out.shape}")
    padded, image_to_input = letterbox(to_grey(image), size_hw_px)
    np.divide(padded, np.float32(255.0), out=out[0, 0])
    return out, image_to_input
