"""Sliding-window inference: an engine is run on overlapping windows of a volume, and its outputs are blended.

Memory does not grow with the depth of the volume: planes are yielded as soon as no further window overlaps them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from usassist.errors import UsageError
from usassist.frames.slabs import Float32Array, Infer, Slab, call_engine, check_call, check_planes, check_volume

__all__ = ["WEIGHTS", "blend_windows", "window_starts", "window_weights"]

WEIGHTS = ("gaussian", "constant")

_SIGMA = 1.0 / 8.0
_MIN_WEIGHT = 1e-3


def window_starts(size: int, window: int, overlap: float) -> list[int]:
    """Start positions of windows along one axis, so that together they cover it.

    The step is ``floor(window · (1 - overlap))``, at least 1; the last window is moved back to end flush with the axis.
    An axis shorter than the window has one start, 0: see `pad_value` of :func:`blend_windows`.

    Parameters
    ----------
    size : length of the axis, at least 1
    window : length of the window, at least 1
    overlap : share of a window that the next one covers too, 0 to below 1

    Returns
    -------
    starts : increasing from 0; the last is ``max(size - window, 0)``

    Raises
    ------
    UsageError
        If an argument is out of its range.
    """
    if type(size) is not int or size < 1:
        raise UsageError(f"an axis must be 1 or longer, got {size!r}; correct it")
    if type(window) is not int or window < 1:
        raise UsageError(f"a window must be a whole number from 1, got {window!r}; correct it")
    if not isinstance(overlap, int | float) or not 0.0 <= overlap < 1.0:
        raise UsageError(f"overlap must lie in 0 to below 1, got {overlap!r}; 0.5 is usual")
    last = max(size - window, 0)
    step = max(1, math.floor(window * (1.0 - overlap) + 1e-9))  # 20 · (1 - 0.9) is a little less than 2
    return [*range(0, last, step), last]


def window_weights(window_zyx: tuple[int, int, int], kind: str = "gaussian") -> Float32Array:
    """Weight of each voxel of a window where windows overlap.

    ``gaussian``: outputs near the border of a window, where context is missing, count less. The product of one Gaussian
    per axis about the middle of the window, with a standard deviation of an eighth of the axis, and at least 0.001. It
    was proposed with nnU-Net (Isensee et al. 2021, doi:10.1038/s41592-020-01008-z); the deviation and the minimum are
    the defaults of ``monai.data.utils.compute_importance_map``. ``constant``: 1 everywhere.

    Parameters
    ----------
    window_zyx : sides of the window, voxels
    kind : one of :data:`WEIGHTS`

    Returns
    -------
    weights : float32 (Wz, Wy, Wx), above 0, at most 1

    Raises
    ------
    UsageError
        If there is no such kind.
    """
    if kind not in WEIGHTS:
        raise UsageError(f"no weights {kind}; known: {', '.join(WEIGHTS)}")
    if kind == "constant":
        return np.ones(window_zyx, np.float32)
    along_z, along_y, along_x = (
        np.exp(-0.5 * ((np.arange(side) - (side - 1) / 2.0) / (_SIGMA * side)) ** 2).astype(np.float32)
        for side in window_zyx
    )
    weights: Float32Array = along_z[:, None, None] * along_y[:, None] * along_x
    np.maximum(weights, np.float32(_MIN_WEIGHT), out=weights)
    return weights


def blend_windows(
    volume: Float32Array,
    infer: Infer,
    *,
    window_zyx: tuple[int, int, int],
    outputs: Sequence[str],
    input_name: str = "image",
    overlap: float | tuple[float, float, float] = 0.5,
    batch: int = 1,
    weights: str = "gaussian",
    pad_value: float = 0.0,
    fixed_batch: bool = False,
) -> Iterator[Slab]:
    """Run a 3-D engine on overlapping windows, and yield the blended outputs from the first plane to the last.

    Along an axis that is shorter than the window, the volume is padded to the window with `pad_value` on both sides,
    the odd voxel at the end, and the outputs of the padding are discarded.

    Memory, beside the engine's own, in bytes::

        4 · [(K + 1)·D·Y·X  +  (B·C + 1)·Wz·Wy·Wx  +  B·K·D·Dy·Dx]  +  C·Y·X

    with B = `batch`, C channels of the volume, K channels of all outputs together, W the window, and D the part of it
    that lies in the volume, ``D = min(Wz, Z)``: the sums of one window's depth, the input windows and their weights,
    the weighted outputs, and the check for values that are not finite; NumPy itself takes some 64 kB. None of it grows
    with Z. With many channels the first term dominates: make the window less deep.

    Parameters
    ----------
    volume : float32 (C, Z, Y, X), preprocessed; may be a file (``numpy.memmap``), each part is read when it is needed
    infer : called with `input_name` → float32 (n, C, Wz, Wy, Wx), must return (n, K, Wz, Wy, Wx)
    window_zyx : sides of the window, voxels
    outputs : names of the requested outputs, all on the grid of the input
    input_name : name of the engine's input
    overlap : share of a window that the next one covers too, 0 to below 1, for all axes or for z, y and x
    batch : windows per call. The last call may have fewer.
    weights : one of :data:`WEIGHTS`, see :func:`window_weights`
    pad_value : value around a volume that is smaller than the window
    fixed_batch : the engine's batch axis has a fixed size. The last call is filled up to `batch`, and the outputs of
        the filling are discarded.

    Yields
    ------
    slab : complete float32 planes, the first slabs one window step deep, the last a whole window; valid until the next
        slab is requested

    Raises
    ------
    UsageError
        If an argument is invalid.
    RecordError
        If the volume is not float32 (C, Z, Y, X), is empty, or is not finite in a part that was read.
    EngineError
        If an output is missing, or not floats on the grid of the window.
    """
    check_volume(volume)
    check_call(outputs, batch)
    overlaps = tuple(overlap) if isinstance(overlap, Sequence) else (overlap,) * 3
    if not isinstance(window_zyx, Sequence) or len(window_zyx) != 3 or len(overlaps) != 3:
        raise UsageError(f"window and overlap go along z, y and x, got {window_zyx!r} and {overlap!r}; give three each")
    if not math.isfinite(pad_value):
        raise UsageError(f"pad_value must be finite, got {pad_value}; use the value of air")
    starts = [window_starts(*axis) for axis in zip(volume.shape[1:], window_zyx, overlaps, strict=True)]
    positions = itertools.product(*starts)
    importance = window_weights(window_zyx, weights)
    buffer = np.full((batch, volume.shape[0], *window_zyx), pad_value, np.float32)
    return _blend(volume, infer, tuple(outputs), input_name, positions, importance, buffer, fixed_batch)


def _blend(
    volume: Float32Array,
    infer: Infer,
    outputs: tuple[str, ...],
    input_name: str,
    positions: Iterator[tuple[int, ...]],
    importance: Float32Array,
    buffer: Float32Array,
    fixed_batch: bool,
) -> Iterator[Slab]:
    sides = volume.shape[1:]
    covered = [min(side, window) for side, window in zip(sides, importance.shape, strict=True)]
    # The part of a window that the volume fills. A window that is larger than the volume has one position on that axis.
    margins = [(window - part) // 2 for window, part in zip(importance.shape, covered, strict=True)]
    inside = tuple(slice(margin, margin + part) for margin, part in zip(margins, covered, strict=True))
    sums: _Sums | None = None
    output_channels: dict[str, int] = {}
    checked = 0
    while group := list(itertools.islice(positions, len(buffer))):
        needed = group[-1][0] + covered[0]
        check_planes(volume, checked, needed)
        checked = needed
        for window, (z, y, x) in zip(buffer, group, strict=False):
            part = volume[:, z : z + covered[0], y : y + covered[1], x : x + covered[2]]
            window[(slice(None), *inside)] = part
        inputs = buffer if fixed_batch else buffer[: len(group)]
        arrays = call_engine(infer, input_name, inputs, outputs, output_channels)
        if sums is None:
            sums = _Sums(output_channels, importance[inside], sides, len(buffer))
        # The outputs are consumed before a slab is yielded: the caller may use the engine between two slabs.
        sums.weigh({name: array[(slice(len(group)), slice(None), *inside)] for name, array in arrays.items()})
        for index, (z, y, x) in enumerate(group):
            if z > sums.z_start:
                yield sums.finish(z)
                sums.move(z)
            sums.add(index, y, x)
    if sums is not None:  # there is always at least one window
        yield sums.finish(sides[0])


class _Sums:
    """Sums of weighted outputs and of weights, for the planes that one layer of windows covers.

    Parameters
    ----------
    channels : output → K
    weights : of the part of a window that lies in the volume
    sides : of the volume, z, y, x
    batch : windows per call
    """

    def __init__(self, channels: Mapping[str, int], weights: Float32Array, sides: tuple[int, ...], batch: int) -> None:
        self.z_start = 0
        self._weights = weights
        self._depth, self._rows, self._columns = weights.shape
        planes = (self._depth, *sides[1:])
        self._weight_sum = np.zeros(planes, np.float32)
        self._sums = {name: np.zeros((count, *planes), np.float32) for name, count in channels.items()}
        self._weighted = {
            name: np.empty((batch, count, *weights.shape), np.float32) for name, count in channels.items()
        }

    def weigh(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Multiply the outputs (n, K, …) of one call by the weights."""
        for name, array in arrays.items():
            np.multiply(array, self._weights, out=self._weighted[name][: len(array)], casting="same_kind")

    def add(self, index: int, y: int, x: int) -> None:
        """Add the weighted outputs of window `index`, which starts at plane `z_start`, row `y` and column `x`."""
        part = (..., slice(y, y + self._rows), slice(x, x + self._columns))
        self._weight_sum[part] += self._weights
        for name, total in self._sums.items():
            total[part] += self._weighted[name][index]

    def finish(self, z_stop: int) -> Slab:
        """Normalise and return the planes before `z_stop`; nothing may be added to them afterwards."""
        count = z_stop - self.z_start
        outputs = {name: total[:, :count] for name, total in self._sums.items()}
        for planes in outputs.values():
            planes /= self._weight_sum[:count]
        return Slab(z_start=self.z_start, z_stop=z_stop, outputs=outputs)

    def move(self, z_start: int) -> None:
        """Discard the planes before `z_start`."""
        step = z_start - self.z_start
        self.z_start = z_start
        for total in (self._weight_sum, *itertools.chain.from_iterable(self._sums.values())):
            for start in range(0, self._depth - step, step):  # in pieces that do not overlap: NumPy would copy them
                rest = total[start + step : start + 2 * step]
                total[start : start + len(rest)] = rest
            total[self._depth - step :] = 0.0
