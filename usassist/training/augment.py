"""Random changes that a scanner, its settings or its operator could have made to a frame.

One training frame is warped once, straight to the network's input size; what follows works on that small image only.
Changes of grey levels are joined into one table of 256 entries.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from usassist.frames import letterbox_affine
from usassist.training.datasets import Sample, cumulative_histogram
from usassist.training.recipe import AugmentConfig

__all__ = ["Augmenter", "paste_nodule"]

UInt8Array = npt.NDArray[np.uint8]
Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]

_NODULE_CENTRED_SHARE = 0.6  # of the enlarged frames, so that nodules are cut off no more often than seen whole
_REFLECT_SHARE = 0.3  # of the shrunk frames are filled up with their mirror image instead of black
_BLACK_KEPT_SHARE = 0.8  # of the frames keep black as black whatever happens to the other grey levels
_WORDS = ("LT", "RT", "TRV", "SAG", "ISTHMUS", "THYROID", "1 D 12.4mm", "2 D 8.1mm", "MI 0.9", "Gn 52", "12 cm", "2D")


@dataclass(frozen=True, slots=True)
class Augmenter:
    """Makes training images.

    Attributes
    ----------
    config : how far a frame may be changed
    histograms : float32 (N, 256), cumulative histograms to draw grey levels towards
    """

    config: AugmentConfig
    histograms: Float32Array

    def __call__(
        self, sample: Sample, size_hw_px: tuple[int, int], rng: np.random.Generator
    ) -> tuple[UInt8Array, UInt8Array]:
        """One changed frame.

        Returns
        -------
        image : uint8, size_hw_px
        nodule : uint8, size_hw_px, 1 = nodule
        """
        table = self._grey_table(sample.image, rng)
        affine, border = self._warp(sample, size_hw_px, rng)
        size_wh = size_hw_px[::-1]
        image = cv2.warpAffine(sample.image, affine, size_wh, flags=cv2.INTER_LINEAR, borderMode=border)
        nodule = cv2.warpAffine(sample.nodule, affine, size_wh, flags=cv2.INTER_NEAREST, borderMode=border)
        grey = cv2.LUT(image, table).astype(np.float32)
        grey = self._texture(grey, rng)
        grey *= self._gain_field(size_hw_px, rng)
        out = np.clip(grey, 0.0, 255.0).astype(np.uint8)
        if rng.random() < self.config.marks_p:
            _draw_marks(out, rng)
        if rng.random() < self.config.jpeg_p:
            _, packed = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 90))])
            out = np.asarray(cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE), np.uint8)
        return out, np.asarray(nodule, np.uint8)

    def _warp(self, sample: Sample, size_hw_px: tuple[int, int], rng: np.random.Generator) -> tuple[Float64Array, int]:
        """Map from pixel indices of the frame to those of the output, and how to fill what lies outside."""
        config = self.config
        height_px, width_px = sample.image.shape
        base = letterbox_affine((height_px, width_px), size_hw_px)
        zoom = float(np.exp(rng.uniform(np.log(config.zoom_least), np.log(config.zoom_most))))
        if rng.random() < 0.3:
            zoom = 1.0  # the plain letterboxed frame is what the engine will see
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

    def _grey_table(self, image: UInt8Array, rng: np.random.Generator) -> UInt8Array:
        """One table for borrowed histogram, gamma, gain and offset."""
        config = self.config
        levels = np.arange(256, dtype=np.float64)
        value = levels.copy()
        if len(self.histograms) and rng.random() < config.histogram_p:
            donor = self.histograms[rng.integers(len(self.histograms))]
            matched = np.interp(cumulative_histogram(image), donor, levels)
            blend = rng.uniform(0.3, 1.0)
            value = (1 - blend) * value + blend * matched
        value = 255.0 * (value / 255.0) ** np.exp(rng.normal(0.0, config.gamma_sd))
        value = value * np.exp(rng.uniform(-1, 1) * np.log(config.gain_most)) + rng.uniform(-15.0, 15.0)
        if rng.random() < _BLACK_KEPT_SHARE:
            value[0] = 0.0
        return np.asarray(np.clip(value, 0.0, 255.0), np.uint8)

    def _texture(self, grey: Float32Array, rng: np.random.Generator) -> Float32Array:
        """Blur or sharpen, then correlated multiplicative noise."""
        config = self.config
        draw = rng.random()
        if draw < config.blur_p:
            grey = np.asarray(cv2.GaussianBlur(grey, (0, 0), rng.uniform(0.4, 1.6)), np.float32)
        elif draw < config.blur_p + config.sharpen_p:
            soft = cv2.GaussianBlur(grey, (0, 0), 1.2)
            grey = np.asarray(
                cv2.addWeighted(grey, 1.0 + (gain := rng.uniform(0.3, 1.2)), soft, -gain, 0.0), np.float32
            )
        amplitude = rng.uniform(-0.5, 1.0) * config.speckle_most
        if amplitude > 0:
            height_px, width_px = grey.shape
            coarse = int(rng.integers(1, 4))
            white = rng.standard_normal((height_px // coarse, width_px // coarse), dtype=np.float32)
            noise = cv2.GaussianBlur(white, (0, 0), sigmaX=rng.uniform(0.5, 1.5), sigmaY=rng.uniform(0.3, 0.8))
            noise = cv2.resize(noise, (width_px, height_px), interpolation=cv2.INTER_LINEAR)
            grey = np.asarray(grey * (1.0 + noise * (amplitude / max(1e-6, float(noise.std())))), np.float32)
        return grey

    def _gain_field(self, size_hw_px: tuple[int, int], rng: np.random.Generator) -> Float32Array:
        """Gain over depth, and stripes of shadow below bone or bad contact: float32, size_hw_px."""
        config = self.config
        rows, columns = 32, 48
        depth = np.linspace(-0.5, 0.5, rows)[:, None]
        side = np.linspace(-0.5, 0.5, columns)[None, :]
        slope = rng.uniform(-1, 1) * config.tgc_most
        wave = rng.uniform(0.0, 0.3 * config.tgc_most) * np.sin(
            2 * np.pi * (rng.uniform(0.5, 2) * depth + rng.random())
        )
        field = np.exp(slope * depth + wave) * np.ones((1, columns))
        if rng.random() < config.shadow_p:
            for _ in range(int(rng.integers(1, 4))):
                profile = np.exp(-0.5 * ((side - rng.uniform(-0.6, 0.6)) / rng.uniform(0.02, 0.12)) ** 2)
                start = 1.0 / (1.0 + np.exp(-(depth - rng.uniform(-0.6, 0.3)) / 0.03))
                field = field * (1.0 - rng.uniform(0.3, 0.95) * profile * start)
        return np.asarray(
            cv2.resize(field.astype(np.float32), size_hw_px[::-1], interpolation=cv2.INTER_LINEAR), np.float32
        )


def paste_nodule(gland: Sample, donor: Sample, rng: np.random.Generator) -> Sample:
    """Put the nodule of one frame into the gland of another, so that a scanner's look does not give the answer away.

    The pasted patch keeps its own texture; its brightness is scaled by the ratio of the gland around the new place to
    the tissue around the old one, and its rim fades out over the width of the margin.

    Parameters
    ----------
    gland : a frame with a gland mask
    donor : a frame with a nodule
    rng : source of randomness

    Returns
    -------
    the changed frame, or ``gland`` itself when one of the masks is too small
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats(donor.nodule, connectivity=8)
    places = np.argwhere(gland.gland)
    if count < 2 or len(places) < 200:
        return gland
    chosen = 1 + int(rng.integers(count - 1))
    x, y, width_px, height_px, area_px = (int(value) for value in stats[chosen])
    if area_px < 100:
        return gland
    margin_px = max(3, round(0.15 * max(width_px, height_px)))
    y1, x1 = max(0, y - margin_px), max(0, x - margin_px)
    window = np.s_[y1 : y + height_px + margin_px, x1 : x + width_px + margin_px]
    patch, mask = donor.image[window], (labels[window] == chosen).astype(np.uint8)
    scale = float(np.sqrt(rng.uniform(0.08, 0.8) * len(places) / area_px))
    size_wh = (max(8, round(patch.shape[1] * scale)), max(8, round(patch.shape[0] * scale)))
    smooth = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    patch = np.asarray(cv2.resize(patch, size_wh, interpolation=smooth), np.uint8)
    mask = np.asarray(cv2.resize(mask, size_wh, interpolation=cv2.INTER_NEAREST), np.uint8)
    row, column = places[rng.integers(len(places))]
    top, left = int(row) - patch.shape[0] // 2, int(column) - patch.shape[1] // 2
    bottom, right = top + patch.shape[0], left + patch.shape[1]
    if top < 0 or left < 0 or bottom > gland.image.shape[0] or right > gland.image.shape[1]:
        return gland
    place = np.s_[top:bottom, left:right]
    rim_px = max(1.0, margin_px * scale / 3)
    grown = cv2.dilate(mask, np.ones((3, 3), np.uint8), iterations=max(1, round(rim_px)))
    alpha = cv2.GaussianBlur(grown.astype(np.float32), (0, 0), rim_px)
    outside = (mask == 0) & (patch > 0)
    old_level = float(patch[outside].mean()) if outside.any() else float(patch.mean())
    new_level = float(gland.image[gland.gland > 0].mean())
    ratio = float(np.clip(new_level / max(old_level, 1.0), 0.4, 2.5))
    image, nodule = gland.image.copy(), gland.nodule.copy()
    blended = alpha * np.minimum(patch * ratio, 255.0) + (1 - alpha) * image[place]
    image[place] = blended.astype(np.uint8)
    nodule[place] |= mask
    return Sample(name=f"{gland.name}+{donor.name}", image=image, nodule=nodule, gland=gland.gland)


def _draw_marks(image: UInt8Array, rng: np.random.Generator) -> None:
    """Calipers and text at random places: they stand beside nodules in real frames, and must not stand for them."""
    height_px, width_px = image.shape
    level = int(rng.integers(150, 256))
    for _ in range(int(rng.integers(0, 3))):
        ends = [(int(rng.integers(width_px)), int(rng.integers(height_px))) for _ in range(2)]
        kind = cv2.MARKER_CROSS if rng.random() < 0.5 else cv2.MARKER_TILTED_CROSS
        for end in ends:
            cv2.drawMarker(image, end, level, kind, int(rng.integers(5, 12)), 1)
        if rng.random() < 0.6:
            steps = np.linspace(0, 1, int(rng.integers(8, 30)))[:, None]
            dots = np.round((1 - steps) * ends[0] + steps * ends[1]).astype(np.int64)
            image[dots[:, 1], dots[:, 0]] = level
    for _ in range(int(rng.integers(0, 3))):
        word = _WORDS[rng.integers(len(_WORDS))]
        place = (int(rng.integers(width_px)), int(rng.integers(height_px)))
        cv2.putText(image, word, place, cv2.FONT_HERSHEY_SIMPLEX, float(rng.uniform(0.25, 0.5)), level, 1)
