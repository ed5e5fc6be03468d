"""Appearance augmentation: how another scanner or other settings could have shown the same anatomy.

All changes are applied to a frame at the network's input size. Changes of grey levels are combined in one table of 256
entries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
import numpy.typing as npt

from usassist.training.data.mark_drawing import draw_marks
from usassist.training.recipe import AugmentConfig

__all__ = ["SPECTRUM_REACH", "Appearance", "compute_low_spectrum", "cumulative_histogram", "fade_nodules"]

UInt8Array = npt.NDArray[np.uint8]
Float32Array = npt.NDArray[np.float32]

SPECTRUM_REACH = 4
"""Highest spatial frequency that belongs to a frame's appearance and not to its content, cycles per frame."""

_BLACK_KEPT_SHARE = 0.8  # share of frames in which black stays black
_FADE_MOST = 0.9  # of the difference in grey between a nodule and the tissue around it
_FADE_RING_PX = 6  # width of that tissue
_FADE_SOFT_PX = 2.0  # standard deviation of the border of the change


def cumulative_histogram(image: UInt8Array) -> Float32Array:
    """Cumulative histogram of the pixels that are not black: float32 (256,)."""
    count = np.bincount(image.ravel(), minlength=256).astype(np.float64)
    count[0] = 0.0
    return np.asarray(np.cumsum(count) / max(1.0, count.sum()), np.float32)


def compute_low_spectrum(image: UInt8Array) -> Float32Array:
    """Amplitude of the lowest spatial frequencies of a frame, independent of its size.

    Parameters
    ----------
    image : uint8 (H, W)

    Returns
    -------
    float32 (2 R + 1, R + 1) with R = ``SPECTRUM_REACH``: vertical frequencies -R to R, horizontal ones 0 to R, in
    grey levels
    """
    strength = np.abs(np.fft.rfft2(image.astype(np.float32))) / image.size
    rows = np.r_[-SPECTRUM_REACH : SPECTRUM_REACH + 1]
    return np.asarray(strength[rows, : SPECTRUM_REACH + 1], np.float32)


def fade_nodules(image: UInt8Array, nodule: UInt8Array, rng: np.random.Generator) -> UInt8Array:
    """Bring the grey level of the nodules nearer to that of the tissue around them, as of isoechoic nodules.

    The texture stays: a constant is added to what lies inside the outlines.

    Parameters
    ----------
    image : uint8 (H, W)
    nodule : uint8 (H, W), 1 = nodule
    rng : source of randomness

    Returns
    -------
    uint8 (H, W); ``image`` itself where nothing is visible around the nodules
    """
    side_px = 2 * _FADE_RING_PX + 1
    around = cv2.dilate(nodule, np.ones((side_px, side_px), np.uint8)) > nodule
    outside = image[around & (image > 0)]
    if not len(outside):
        return image
    shift = rng.uniform(0.3, _FADE_MOST) * (float(outside.mean()) - float(image[nodule > 0].mean()))
    soft = cv2.GaussianBlur(nodule.astype(np.float32), (0, 0), _FADE_SOFT_PX)
    return np.asarray(np.clip(image + np.float32(shift) * soft, 0.0, 255.0), np.uint8)


@dataclass(frozen=True, slots=True)
class Appearance:
    """Changes the appearance of a frame but not its shapes.

    Attributes
    ----------
    config : ranges of the changes
    histograms : float32 (N, 256), cumulative histograms for histogram matching
    spectra : float32 (M, 2 R + 1, R + 1), of :func:`compute_low_spectrum`
    """

    config: AugmentConfig
    histograms: Float32Array
    spectra: Float32Array

    @classmethod
    def from_donors(cls, config: AugmentConfig, images: Sequence[UInt8Array]) -> Self:
        """With the histograms and low frequencies of frames, at least one."""
        return cls(
            config,
            histograms=np.stack([cumulative_histogram(image) for image in images]),
            spectra=np.stack([compute_low_spectrum(image) for image in images]),
        )

    def __call__(self, image: UInt8Array, before: Float32Array, rng: np.random.Generator) -> UInt8Array:
        """Augment one frame.

        Parameters
        ----------
        image : uint8 (H, W)
        before : float32 (256,), cumulative histogram of the frame before warping
        rng : source of randomness
        """
        config = self.config
        dark = image == 0
        out = np.asarray(cv2.LUT(image, self._grey_table(before, rng)), np.uint8)
        if rng.random() < config.equalise_p:
            contrast = cv2.createCLAHE(float(rng.uniform(1.0, 3.0)), (int(rng.integers(2, 7)), int(rng.integers(2, 7))))
            out = np.asarray(contrast.apply(out), np.uint8)
        grey = out.astype(np.float32)
        if len(self.spectra) and rng.random() < config.spectrum_p:
            grey = self._transfer_spectrum(grey, rng)
        grey = self._texture(grey, rng)
        grey *= self._gain_field(image.shape, rng)
        if rng.random() < _BLACK_KEPT_SHARE:
            grey[dark] = 0.0
        out = np.clip(grey, 0.0, 255.0).astype(np.uint8)
        if rng.random() < config.corners_p:
            _cut_corners(out, rng)
        if rng.random() < config.marks_p:
            draw_marks(out, rng)
        if rng.random() < config.jpeg_p:
            _, packed = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 90))])
            out = np.asarray(cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE), np.uint8)
        return out

    def _grey_table(self, before: Float32Array, rng: np.random.Generator) -> UInt8Array:
        """One table for histogram matching, gamma, gain and offset."""
        config = self.config
        levels = np.arange(256, dtype=np.float64)
        value = levels.copy()
        if len(self.histograms) and rng.random() < config.histogram_p:
            donor = self.histograms[rng.integers(len(self.histograms))]
            matched = np.interp(before, donor, levels)
            blend = rng.uniform(0.3, 1.0)
            value = (1 - blend) * value + blend * matched
        value = 255.0 * (value / 255.0) ** np.exp(rng.normal(0.0, config.gamma_sd))
        value = value * np.exp(rng.uniform(-1, 1) * np.log(config.gain_most)) + rng.uniform(-15.0, 15.0)
        return np.asarray(np.clip(value, 0.0, 255.0), np.uint8)

    def _transfer_spectrum(self, grey: Float32Array, rng: np.random.Generator) -> Float32Array:
        """Low frequencies with the amplitude of another frame (Yang and Soatto, FDA, CVPR 2020); brightness is kept."""
        donor = self.spectra[rng.integers(len(self.spectra))] * grey.size
        spectrum = np.fft.rfft2(grey)
        rows = np.r_[-SPECTRUM_REACH : SPECTRUM_REACH + 1]
        low = spectrum[rows, : SPECTRUM_REACH + 1]
        strength = np.maximum(np.abs(low), 1e-3)
        blend = rng.uniform(0.3, 1.0)
        ratio = np.clip(1 - blend + blend * donor / strength, 0.2, 4.0)
        ratio[SPECTRUM_REACH, 0] = 1.0
        spectrum[rows, : SPECTRUM_REACH + 1] = low * ratio
        return np.asarray(np.fft.irfft2(spectrum, s=grey.shape), np.float32)

    def _texture(self, grey: Float32Array, rng: np.random.Generator) -> Float32Array:
        """Change the speckle, blur or sharpen; then add correlated multiplicative noise."""
        config = self.config
        max_amplitude = config.speckle_most
        draw = rng.random()
        if draw < config.blur_p:
            grey = np.asarray(cv2.GaussianBlur(grey, (0, 0), rng.uniform(0.4, 1.6)), np.float32)
        elif draw < config.blur_p + config.sharpen_p:
            soft = cv2.GaussianBlur(grey, (0, 0), 1.2)
            gain = rng.uniform(0.3, 1.2)
            grey = np.asarray(cv2.addWeighted(grey, 1.0 + gain, soft, -gain, 0.0), np.float32)
        elif draw < config.blur_p + config.sharpen_p + config.speckle_swap_p:
            median = cv2.medianBlur(np.clip(grey, 0, 255).astype(np.uint8), 2 * int(rng.integers(1, 4)) + 1)
            grey, max_amplitude = median.astype(np.float32), 1.3 * max_amplitude
        amplitude = rng.uniform(-0.5, 1.0) * max_amplitude
        if amplitude > 0:
            height_px, width_px = grey.shape
            coarse = int(rng.integers(1, 4))
            white = rng.standard_normal((height_px // coarse, width_px // coarse), dtype=np.float32)
            noise = cv2.GaussianBlur(white, (0, 0), sigmaX=rng.uniform(0.5, 1.5), sigmaY=rng.uniform(0.3, 0.8))
            noise = cv2.resize(noise, (width_px, height_px), interpolation=cv2.INTER_LINEAR)
            grey = np.asarray(grey * (1.0 + noise * (amplitude / max(1e-6, float(noise.std())))), np.float32)
        return grey

    def _gain_field(self, size_hw_px: tuple[int, ...], rng: np.random.Generator) -> Float32Array:
        """Depth-dependent gain, and shadow stripes as below bone or bad contact: float32, size_hw_px."""
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


def _cut_corners(image: UInt8Array, rng: np.random.Generator) -> None:
    """Draw black triangles in the upper corners, as beside a trapezoid, or in all four, as around a fan."""
    height_px, width_px = image.shape
    side, drop = rng.uniform(0.05, 0.25) * width_px, rng.uniform(0.3, 1.0) * height_px
    corners = [[(0, 0), (side, 0), (0, drop)], [(width_px, 0), (width_px - side, 0), (width_px, drop)]]
    if rng.random() < 0.4:
        low = height_px - rng.uniform(0.05, 0.2) * height_px
        corners += [
            [(0, height_px), (0, low), (0.5 * width_px, height_px)],
            [(width_px, height_px), (width_px, low), (0.5 * width_px, height_px)],
        ]
    for corner in corners:
        cv2.fillPoly(image, [np.array(corner, np.int32)], 0)
