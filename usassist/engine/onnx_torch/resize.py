"""Resize, in the variants that torch computes exactly as ONNX defines them; every other is refused by name."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from torch.nn import functional

from usassist.engine.onnx_torch.node import Builder, Node, Step

__all__ = ["RESIZE"]

_BY_RANK = {"linear": {1: "linear", 2: "bilinear", 3: "trilinear"}, "cubic": {2: "bicubic"}}
# Coordinates and rounding → what torch calls it, and whether only whole multiples agree: torch rounds halves up.
_NEAREST = {
    ("asymmetric", "floor"): ("nearest", False),
    ("half_pixel", "round_prefer_ceil"): ("nearest-exact", False),
    ("half_pixel", "round_prefer_floor"): ("nearest-exact", True),
}
_PLACES = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric")


def _resize(node: Node) -> Step:
    node.takes(1, 4)
    mode = node.one_of("mode", "nearest", "linear", "cubic")
    place = node.one_of("coordinate_transformation_mode", *_PLACES)
    rounding = node.one_of("nearest_mode", "round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
    axes = node.attribute("axes", ())
    node.one_of("antialias", 0)
    node.one_of("exclude_outside", 0)
    node.one_of("keep_aspect_ratio_policy", "stretch")
    node.attribute("extrapolation_value", 0.0)  # of tf_crop_and_resize, which is refused
    if not math.isclose(node.attribute("cubic_coeff_a", -0.75), -0.75) and mode == "cubic":
        raise node.refuse("cubic_coeff_a is not -0.75")
    if place == "asymmetric" if mode != "nearest" else (place, rounding) not in _NEAREST:
        raise node.refuse(f"mode {mode} with {place}{f' and {rounding}' if mode == 'nearest' else ''} is not supported")
    if _given(node, 2) == _given(node, 3):
        raise node.refuse("it needs either scales or sizes")
    if _given(node, 2):
        scales = _scales(node)
        plan = functools.lru_cache(maxsize=16)(lambda shape: _by_scale(shape, scales, axes, mode, place, rounding))
        return lambda x, *_: functional.interpolate(x, **plan(tuple(x.shape)))
    read = node.integers(3)
    sized = functools.lru_cache(maxsize=16)(
        lambda shape, sizes: _by_size(shape, sizes, axes, mode, place, rounding),
    )
    return lambda x, _roi, _scales, sizes: functional.interpolate(x, **sized(tuple(x.shape), read(sizes)))


def _given(node: Node, index: int) -> bool:
    value = node.constant(index)
    return node.has(index) and (value is None or value.numel() > 0)  # an empty one is as good as none


def _scales(node: Node) -> tuple[float, ...]:
    value = node.constant(2)
    if value is None:
        raise node.refuse("scales are not fixed")
    node.taken.add(2)
    return tuple(float(number) for number in value.tolist())


def _by_scale(
    shape: tuple[int, ...], scales: tuple[float, ...], axes: tuple[int, ...], mode: str, place: str, rounding: str
) -> dict[str, Any]:
    """Arguments of ``interpolate`` where scales are given: coordinates follow the scale, not the rounded size."""
    by_axis = [1.0] * len(shape)
    for axis, scale in zip(axes or range(len(shape)), scales, strict=True):
        by_axis[axis] = scale
    # ONNX has its scales in single precision, torch multiplies in double.
    sizes = [int(np.float32(side) * np.float32(scale)) for side, scale in zip(shape, by_axis, strict=True)]
    asked = _by_size(shape, tuple(sizes), (), mode, place, rounding)
    if place == "align_corners":  # here only the size counts
        return asked
    if sizes != [math.floor(side * scale) for side, scale in zip(shape, by_axis, strict=True)]:
        raise ValueError(f"scales {scales} of shape {shape} are rounded in another way")
    del asked["size"]
    return {**asked, "scale_factor": tuple(by_axis[2:]), "recompute_scale_factor": False}


def _by_size(
    shape: tuple[int, ...], sizes: tuple[int, ...], axes: tuple[int, ...], mode: str, place: str, rounding: str
) -> dict[str, Any]:
    """Arguments of ``interpolate`` where sizes are given."""
    wanted = list(shape)
    for axis, size in zip(axes or range(len(shape)), sizes, strict=True):
        wanted[axis] = size
    before, after = shape[2:], tuple(wanted[2:])
    if wanted[:2] != list(shape[:2]) or len(before) not in (1, 2, 3):
        raise ValueError(f"shape {shape} to {wanted}: only one to three spatial axes can be resized")
    if mode == "nearest":
        name, whole_only = _NEAREST[place, rounding]
        if whole_only and any(new % old for old, new in zip(before, after, strict=True)):
            raise ValueError(f"mode nearest with {place} and {rounding} from {before} to {after} is not supported")
        return {"size": after, "mode": name}
    if len(before) not in _BY_RANK[mode]:
        raise ValueError(f"mode {mode} of {len(before)} spatial axes is not supported")
    if place == "pytorch_half_pixel" and 1 in after:
        raise ValueError("pytorch_half_pixel to a side of one is not supported")
    return {"size": after, "mode": _BY_RANK[mode][len(before)], "align_corners": place == "align_corners"}


RESIZE: dict[str, Builder] = {"Resize": _resize}
