"""Inputs that show whether two back ends agree: the golden input, variations of it, and random ones.

Noise alone excites little: a network finds nothing in it, and so does a broken one. Three kinds are used, all seeded,
all within the range that the spec allows, the same on every machine:

- ``golden``: as stored;
- ``varied``: the golden input moved, brightened or darkened, unevenly and as a whole. Its content is still found, in
  another place and with other values;
- ``random``: smooth textures with structure of every size over the whole range, and plain noise. They reach values
  and layers that the golden input does not. Inputs with free axes get their usual, smallest and largest shape.

Integers (indices, lengths) have no range in the spec: only values of the golden input are used for them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from usassist.engine.spec import EngineSpec, TensorSpec

__all__ = ["Probe", "golden_input", "probes"]

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]

VARIED = 6
TEXTURES = 3

_OCTAVES = ((4, 0.55), (16, 0.3), (64, 0.15))  # cells along the longest side, weight
_MARGIN = 0.02  # the ends of the range are left out: many operators have a special value there


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Probe:
    """One input.

    Attributes
    ----------
    name : for messages, for example ``varied 2``
    kind : ``golden``, ``varied`` or ``random``
    inputs : one array per input of the spec, of its dtype
    """

    name: str
    kind: str
    inputs: dict[str, Array]


def golden_input(spec: EngineSpec) -> dict[str, Array]:
    """The golden input, of the dtypes of the spec.

    Raises
    ------
    EngineSpecError
        If the golden file cannot be used.
    """
    stored = spec.golden.load([tensor.name for tensor in spec.inputs])
    return {tensor.name: np.ascontiguousarray(stored[tensor.name], tensor.dtype) for tensor in spec.inputs}


def probes(spec: EngineSpec, seed: int = 0) -> Iterator[Probe]:
    """All inputs of an engine, one after the other; the same seed gives the same bits.

    Raises
    ------
    EngineSpecError
        If the golden file cannot be used.
    """
    golden = golden_input(spec)
    yield Probe(name="golden", kind="golden", inputs=golden)
    for index in range(VARIED):
        rng = np.random.default_rng([seed, 1, index])
        yield Probe(name=f"varied {index + 1}", kind="varied", inputs=_varied(spec, golden, rng))
    shapes = ["usual"] * (TEXTURES + 1) + (["least", "largest"] if any(item.is_free for item in spec.inputs) else [])
    for index, size in enumerate(shapes):
        rng = np.random.default_rng([seed, 2, index])
        is_noise = index == TEXTURES
        name = f"{'noise' if is_noise else 'texture'} {index + 1}" + ("" if size == "usual" else f", {size} shape")
        yield Probe(name=name, kind="random", inputs=_random(spec, golden, rng, size, is_noise=is_noise))


def _varied(spec: EngineSpec, golden: dict[str, Array], rng: np.random.Generator) -> dict[str, Array]:
    gain, exponent = rng.uniform(0.7, 1.3), rng.uniform(0.7, 1.4)
    letters = sorted({letter for tensor in spec.inputs for letter in _sides(tensor)})
    # At most a tenth of the side, and cyclic, so that no new values enter.
    shift = {letter: rng.uniform(-0.1, 0.1) for letter in letters}
    inputs = {}
    for tensor in spec.inputs:
        array = golden[tensor.name]
        if not _is_measured(tensor):
            inputs[tensor.name] = array
            continue
        low, high = _range(spec, tensor, array)
        unit = np.clip((array.astype(np.float64) - low) / (high - low), 0.0, 1.0)
        field = 0.8 + 0.4 * _texture(array.shape, tensor, rng)
        unit = np.clip(gain * field * unit**exponent, 0.0, 1.0)
        for axis, letter in enumerate(tensor.layout):
            if letter in shift:
                unit = np.roll(unit, round(shift[letter] * array.shape[axis]), axis)
        inputs[tensor.name] = _cast(low + (high - low) * unit, tensor)
    return inputs


def _random(
    spec: EngineSpec, golden: dict[str, Array], rng: np.random.Generator, size: str, *, is_noise: bool
) -> dict[str, Array]:
    inputs = {}
    for tensor in spec.inputs:
        array = golden[tensor.name]
        ranges = {"usual": tensor.opt_shape, "least": tensor.min_shape, "largest": tensor.max_shape}
        shape = ranges[size] or array.shape
        if not _is_measured(tensor):
            inputs[tensor.name] = _cast(rng.choice(array.ravel(), shape), tensor)
            continue
        low, high = _range(spec, tensor, array)
        unit = rng.random(shape) if is_noise else _texture(shape, tensor, rng)
        inputs[tensor.name] = _cast(low + (high - low) * (_MARGIN + (1.0 - 2.0 * _MARGIN) * unit), tensor)
    return inputs


def _texture(shape: tuple[int, ...], tensor: TensorSpec, rng: np.random.Generator) -> FloatArray:
    """Smooth noise of several sizes, float64 of `shape`, from 0 to 1."""
    axes = [axis for axis, letter in enumerate(tensor.layout) if letter in _sides(tensor)]
    longest = max((shape[axis] for axis in axes), default=1)
    texture = np.zeros(shape)
    for cells, weight in _OCTAVES:
        coarse = [max(2, round(side * cells / longest)) if axis in axes else side for axis, side in enumerate(shape)]
        layer = rng.random(coarse)
        for axis in axes:
            layer = _stretched(layer, axis, shape[axis])
        texture += weight * layer
    low, high = float(texture.min()), float(texture.max())
    return (texture - low) / (high - low) if high > low else rng.random(shape)


def _stretched(array: FloatArray, axis: int, side: int) -> FloatArray:
    """Resampled to `side` values along an axis, linearly."""
    place = np.linspace(0.0, array.shape[axis] - 1.0, side)
    first = np.minimum(place.astype(np.intp), array.shape[axis] - 2)
    share = (place - first).reshape([-1 if index == axis else 1 for index in range(array.ndim)])
    resampled: FloatArray = np.take(array, first, axis) * (1.0 - share) + np.take(array, first + 1, axis) * share
    return resampled


def _range(spec: EngineSpec, tensor: TensorSpec, golden: Array) -> tuple[FloatArray, FloatArray]:
    """Smallest and largest legal value, to be broadcast: of the preprocessing, widened by the golden input."""
    mean, std = np.array(spec.mean), np.array(spec.std)
    low, high = ((value - mean) / std for value in spec.input_range)
    channels = golden.shape[tensor.layout.index("C")] if "C" in tensor.layout else 1
    if len(low) != channels:
        low, high = low.min(keepdims=True), high.max(keepdims=True)
    slack = 1e-3 * float((high - low).max())
    if float(golden.min()) < float(low.min()) - slack or float(golden.max()) > float(high.max()) + slack:
        low, high = np.array([float(golden.min())]), np.array([max(float(golden.max()), float(golden.min()) + 1e-6)])
    sides = [-1 if letter == "C" else 1 for letter in tensor.layout] if "C" in tensor.layout else [1]
    return low.reshape(sides), high.reshape(sides)


def _is_measured(tensor: TensorSpec) -> bool:
    """True for measured values, false for indices and lengths."""
    return tensor.dtype.startswith("float") or tensor.dtype == "uint8"


def _sides(tensor: TensorSpec) -> str:
    return "".join(letter for letter in tensor.layout if letter not in "NC")


def _cast(values: Array, tensor: TensorSpec) -> Array:
    if tensor.dtype == "uint8":
        values = np.clip(np.rint(values), 0, 255)
    return np.ascontiguousarray(values, tensor.dtype)
