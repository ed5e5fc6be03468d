"""Inference on volumes in slabs: a few complete planes at a time, with memory that does not grow with the depth.

Axes are (channel, z, y, x). `infer` is any callable that takes and returns named arrays as ``Engine.infer`` does, and
may overwrite its outputs at the next call; this module depends on no engine, runtime or modality.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from usassist.errors import EngineError, RecordError, UsageError

__all__ = ["Infer", "Slab", "call_engine", "check_call", "check_planes", "check_volume", "fill_volumes", "infer_slices"]

Float32Array = npt.NDArray[np.float32]
Infer = Callable[[Mapping[str, npt.NDArray[Any]]], Mapping[str, npt.NDArray[Any]]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Slab:
    """Some complete planes of an engine's outputs.

    Attributes
    ----------
    z_start, z_stop : first plane, and the plane after the last
    outputs : name → floats (K, z_stop - z_start, Y, X), in a buffer that is reused for the next slab: copy what you
        keep
    """

    z_start: int
    z_stop: int
    outputs: Mapping[str, npt.NDArray[Any]]


def fill_volumes(slabs: Iterable[Slab], volumes: Mapping[str, npt.NDArray[Any]]) -> None:
    """Copy slabs into whole volumes, which may be files (``numpy.memmap``).

    Parameters
    ----------
    slabs : from :func:`infer_slices` or :func:`usassist.frames.windows.blend_windows`
    volumes : name of an output → floats (K, Z, Y, X) to write into

    Raises
    ------
    UsageError
        If a volume does not hold floats, its shape does not match the outputs, or the slabs have no output of its name.
    """
    depths = {name: volume.shape[1] if volume.ndim == 4 else -1 for name, volume in volumes.items()}
    for name, volume in volumes.items():
        if not np.issubdtype(volume.dtype, np.floating):  # a score below 1 would become 0
            raise UsageError(
                f"volume {name} must hold floats, got {volume.dtype}; decode the slabs before storing them"
            )
    ends = dict.fromkeys(volumes, 0)
    for slab in slabs:
        for name, volume in volumes.items():
            if name not in slab.outputs:
                raise UsageError(f"the slabs hold {', '.join(slab.outputs)}, not {name}; request it as an output")
            planes = slab.outputs[name]
            expected = (planes.shape[0], depths[name], *planes.shape[2:])
            if volume.shape != expected or slab.z_stop > depths[name]:
                raise UsageError(
                    f"volume {name} must be {_sides((planes.shape[0], '?', *planes.shape[2:]))} with at least "
                    f"{slab.z_stop} planes, got {_sides(volume.shape)}; make it as deep and wide as the input"
                )
            volume[:, slab.z_start : slab.z_stop] = planes
            ends[name] = slab.z_stop
    for name, end in ends.items():
        if end != depths[name]:
            raise UsageError(f"volume {name} has {depths[name]} planes, the slabs end at {end}; make it as deep")


def infer_slices(
    volume: Float32Array,
    infer: Infer,
    *,
    outputs: Sequence[str],
    input_name: str = "image",
    batch: int = 8,
    context: int = 0,
    fixed_batch: bool = False,
) -> Iterator[Slab]:
    """Run a 2-D engine on a volume plane by plane, in batches.

    Memory, beside the engine's own: ``4·B·C·(2·context + 1)·Y·X + C·Y·X`` bytes, with B = `batch`.

    Parameters
    ----------
    volume : float32 (Z, Y, X) or (C, Z, Y, X), preprocessed; may be a file (``numpy.memmap``)
    infer : called with `input_name` → float32 (n, C·(2·context + 1), Y, X), must return (n, K, Y, X)
    outputs : names of the requested outputs, all on the grid of the input
    input_name : name of the engine's input
    batch : planes per call. The last call may have fewer.
    context : neighbouring planes on either side that the engine gets as further channels, in ascending order; at the
        ends of the volume the last plane is repeated
    fixed_batch : the engine's batch axis has a fixed size. The last call is filled up to `batch`, and the outputs of
        the filling are discarded.

    Yields
    ------
    slab : up to `batch` planes, valid until the next slab is requested or the engine is called

    Raises
    ------
    UsageError
        If an argument is invalid.
    RecordError
        If the volume is not float32, has another number of axes, is empty, or is not finite.
    EngineError
        If an output is missing, or not floats on the grid of the input.
    """
    if isinstance(volume, np.ndarray) and volume.ndim == 3:
        volume = volume[None]
    check_volume(volume)
    check_call(outputs, batch)
    if type(context) is not int or context < 0:
        raise UsageError(f"context must be a number of planes, 0 or more, got {context!r}; correct it")
    return _slices(volume, infer, tuple(outputs), input_name, batch, context, fixed_batch)


def _slices(
    volume: Float32Array,
    infer: Infer,
    outputs: tuple[str, ...],
    input_name: str,
    batch: int,
    context: int,
    fixed_batch: bool,
) -> Iterator[Slab]:
    channels, depth, *sides = volume.shape
    buffer = np.zeros((batch, channels * (2 * context + 1), *sides), np.float32)
    output_channels: dict[str, int] = {}
    checked = 0
    for start in range(0, depth, batch):
        stop = min(start + batch, depth)
        needed = min(stop + context, depth)
        check_planes(volume, checked, needed)
        checked = needed
        for row, z in zip(buffer, range(start, stop), strict=False):
            for index, neighbour in enumerate(range(z - context, z + context + 1)):
                plane = min(max(neighbour, 0), depth - 1)
                row[index * channels : (index + 1) * channels] = volume[:, plane]
        inputs = buffer if fixed_batch else buffer[: stop - start]
        arrays = call_engine(infer, input_name, inputs, outputs, output_channels)
        planes = {name: array[: stop - start].swapaxes(0, 1) for name, array in arrays.items()}
        yield Slab(z_start=start, z_stop=stop, outputs=planes)


def check_volume(volume: Float32Array) -> None:
    """Raise ``RecordError`` unless a volume is float32 (C, Z, Y, X) and not empty; values are not checked."""
    if not isinstance(volume, np.ndarray) or volume.ndim != 4 or volume.size == 0:
        came = _sides(volume.shape) if isinstance(volume, np.ndarray) else type(volume).__name__
        raise RecordError(f"a volume must be an array [channels, z, y, x] that is not empty, got {came}; reshape it")
    if volume.dtype != np.float32:
        raise RecordError(f"a volume must be float32, got {volume.dtype}; scale it as the engine's spec says")


def check_planes(volume: Float32Array, start: int, stop: int) -> None:
    """Raise ``RecordError`` when a plane in ``range(start, stop)`` has a value that is not finite."""
    for plane in range(start, stop):
        if not np.isfinite(volume[:, plane]).all():
            raise RecordError(f"the volume is not finite in plane {plane}; fix the series or the preprocessing")


def check_call(outputs: Sequence[str], batch: int) -> None:
    """Raise ``UsageError`` when no output is requested, or the batch size is not a positive integer."""
    if isinstance(outputs, str) or not outputs:
        raise UsageError(f"outputs must be names of the engine's outputs, got {outputs!r}; give a list of them")
    if type(batch) is not int or batch < 1:
        raise UsageError(f"batch must be a whole number from 1, got {batch!r}; correct it")


def call_engine(
    infer: Infer, input_name: str, batch: Float32Array, outputs: Sequence[str], output_channels: dict[str, int]
) -> dict[str, npt.NDArray[Any]]:
    """Call an engine once, and check that its outputs are on the grid of its input.

    Parameters
    ----------
    infer, input_name, outputs : as of :func:`infer_slices`
    batch : float32 (n, C, …)
    output_channels : output → its channels; filled at the first call, compared at every later one

    Returns
    -------
    arrays : output → floats (n, K, …), not copied; the next call may overwrite them

    Raises
    ------
    EngineError
        If an output is missing, or not floats on the grid of the input, or has other channels than before.
    """
    arrays = infer({input_name: batch})
    for name in outputs:
        if name not in arrays:
            raise EngineError(f"the engine has the outputs {', '.join(arrays)}, not {name}; request one of these")
        array = arrays[name]
        channels = output_channels.setdefault(name, array.shape[1] if array.ndim == batch.ndim else -1)
        if array.shape != (batch.shape[0], channels, *batch.shape[2:]):
            expected = (batch.shape[0], "?" if channels < 0 else channels, *batch.shape[2:])
            raise EngineError(
                f"output {name} must be {_sides(expected)}, on the grid of the input, got {_sides(array.shape)}; "
                "use an engine whose outputs are on its input's grid"
            )
        if not np.issubdtype(array.dtype, np.floating):
            raise EngineError(
                f"output {name} must be floats, got {array.dtype}; use an output of scores, not of labels"
            )
    return {name: arrays[name] for name in outputs}


def _sides(shape: Iterable[Any]) -> str:
    return f"[{', '.join(str(side) for side in shape)}]"
