"""Augmentation of training frames: geometry here, appearance in :mod:`usassist.training.data.appearance`.

A frame is warped once, directly to the network's input size, together with its masks; its appearance is changed
afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from usassist.frames import letterbox_affine
from usassist.training.data.appearance import Appearance, cumulative_histogram, fade_nodules
from usassist.training.data.sample import Sample
from usassist.training.recipe import AugmentConfig

__all__ = ["Augmenter"]

UInt8Array = npt.NDArray[np.uint8]
Float64Array = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
Grid = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]

_NODULE_CENTRED_SHARE = 0.6  # of enlarged frames, so that nodules are cropped no more often than shown whole
_REFLECT_SHARE = 0.3  # of shrunk frames, which are padded with their mirror image instead of black
_PLAIN_SHARE = 0.3  # of frames, which keep their size: the engine gets plain letterboxed frames
_BEND_NODES_HW = (5, 7)
_FAN_NARROW = (0.45, 0.9)  # width at the skin, share of that in the depth
_FAN_ARC_SHARE = 0.12  # highest rise of a line of equal depth towards the side, share of the height


@dataclass(frozen=True, slots=True)
class Augmenter:
    """Augments training frames.

    Attributes
    ----------
    config : ranges of the changes
    appearance : changes the appearance
    """

    config: AugmentConfig
    appearance: Appearance

    def __call__(
        self, sample: Sample, size_hw_px: tuple[int, int], rng: np.random.Generator
    ) -> tuple[UInt8Array, UInt8Array, UInt8Array]:
        """Augment one frame.

        Returns
        -------
        image : uint8, size_hw_px
        nodule, gland : uint8, size_hw_px, 1 = nodule, 1 = gland
        """
        affine, border = self._warp(sample, size_hw_px, rng)
        bend = rng.uniform(0.0, self.config.elastic_most) * size_hw_px[0]
        bent = _bent_grid(size_hw_px, bend, rng) if bend > 1.0 else None
        shown: BoolArray | None = None
        if rng.random() < self.config.fan_p:
            bent, shown = _fan_grid(size_hw_px, bent, rng)

        def warped(plane: UInt8Array, smooth: int) -> UInt8Array:
            if bent is None:
                return np.asarray(cv2.warpAffine(plane, affine, size_hw_px[::-1], flags=smooth, borderMode=border))
            back = cv2.invertAffineTransform(affine).astype(np.float32)
            x = back[0, 0] * bent[0] + back[0, 1] * bent[1] + back[0, 2]
            y = back[1, 0] * bent[0] + back[1, 1] * bent[1] + back[1, 2]
            out = np.asarray(cv2.remap(plane, x, y, smooth, borderMode=border), np.uint8)
            return out if shown is None else np.asarray(out * shown, np.uint8)

        cleaned = sample.cleaned if rng.random() < self.config.marks_out_p else None
        image = warped(sample.image if cleaned is None else cleaned, cv2.INTER_LINEAR)
        nodule = warped(sample.nodule, cv2.INTER_NEAREST) if sample.nodule.any() else np.zeros(size_hw_px, np.uint8)
        gland = warped(sample.gland, cv2.INTER_NEAREST) if sample.gland.any() else np.zeros_like(nodule)
        if nodule.any() and rng.random() < self.config.faint_p:
            image = fade_nodules(image, nodule, rng)
        return self.appearance(image, cumulative_histogram(sample.image), rng), nodule, gland

    def _warp(self, sample: Sample, size_hw_px: tuple[int, int], rng: np.random.Generator) -> tuple[Float64Array, int]:
        """The affine map from pixel indices of the frame to those of the output, and the border mode."""
        config = self.config
        height_px, width_px = sample.image.shape
        base = letterbox_affine((height_px, width_px), size_hw_px)
        zoom = float(np.exp(rng.uniform(np.log(config.zoom_least), np.log(config.zoom_most))))
        if rng.random() < _PLAIN_SHARE:
            zoom = 1.0
        aspect = float(np.exp(rng.uniform(-1, 1) * np.log(config.aspect_most)))
        flip = -1.0 if rng.random() < 0.5 else 1.0
        angle = np.deg2rad(rng.uniform(-1, 1) * config.rotate_most_deg)
        scale = np.diag([base[0, 0] * zoom * np.sqrt(aspect) * flip, base[1, 1] * zoom / np.sqrt(aspect)])
        rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        linear = rotation @ scale
        pivot = np.array([width_px / 2, height_px / 2])
        target = np.array([size_hw_px[1] / 2, size_hw_px[0] / 2])
        if zoom > 1.0:
            inside = np.argwhere(sample.nodule)
            if len(inside) and rng.random() < _NODULE_CENTRED_SHARE:
                pivot = inside[rng.integers(len(inside))][::-1] + 0.5
                target = target * rng.uniform(0.6, 1.4, 2)
            else:
                slack = 0.5 * (1 - 1 / zoom)
                pivot = pivot + rng.uniform(-slack, slack, 2) * (width_px, height_px)
        else:
            target = target + rng.uniform(-0.5, 0.5, 2) * (1 - zoom) * (size_hw_px[1], size_hw_px[0])
        affine = np.column_stack([linear, target - linear @ pivot])
        affine[:, 2] += affine[:, :2] @ (0.5, 0.5) - 0.5  # continuous coordinates to pixel indices
        mirrored = zoom < 1.0 and rng.random() < _REFLECT_SHARE
        return affine, cv2.BORDER_REFLECT if mirrored else cv2.BORDER_CONSTANT


def _fan_grid(size_hw_px: tuple[int, int], bent: Grid | None, rng: np.random.Generator) -> tuple[Grid, BoolArray]:
    """Pixel coordinates as of :func:`_bent_grid` for a trapezoid or fan, and where it shows anything: bool size_hw_px.

    A virtual convex probe steers its outer beams outwards: the frame is narrow at the skin, as wide as before in the
    depth, and points of equal depth lie on an arc.
    """
    height_px, width_px = size_hw_px
    narrow = float(rng.uniform(*_FAN_NARROW))
    arc_px = float(rng.uniform(0.0, _FAN_ARC_SHARE)) * height_px
    y, x = np.mgrid[:height_px, :width_px].astype(np.float32)
    depth = (y + 0.5) / height_px
    side = (x + 0.5 - width_px / 2) / (narrow + (1 - narrow) * depth)
    across, down = side + width_px / 2 - 0.5, y + arc_px * depth * (side / (width_px / 2)) ** 2
    shown = (np.abs(side) <= width_px / 2) & (down < height_px)
    if bent is not None:
        across, down = across + bent[0] - x, down + bent[1] - y
    return (across.astype(np.float32), down.astype(np.float32)), shown


def _bent_grid(size_hw_px: tuple[int, int], bend_px: float, rng: np.random.Generator) -> Grid:
    """Pixel coordinates x and y, each float32 size_hw_px, smoothly displaced by about ``bend_px``.

    Random displacements on a coarse grid with cubic interpolation (Ronneberger et al., U-Net, MICCAI 2015).
    """
    height_px, width_px = size_hw_px
    nodes = rng.standard_normal((2, *_BEND_NODES_HW)).astype(np.float32) * np.float32(bend_px / 2)
    shift_x, shift_y = (cv2.resize(plane, (width_px, height_px), interpolation=cv2.INTER_CUBIC) for plane in nodes)
    x = np.arange(width_px, dtype=np.float32)[None, :] + shift_x
    y = np.arange(height_px, dtype=np.float32)[:, None] + shift_y
    return np.asarray(x, np.float32), np.asarray(y, np.float32)
