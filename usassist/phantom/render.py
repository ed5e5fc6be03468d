"""The receive chain, from tissue to grey values: attenuation, gain compensation, log compression, scan conversion."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from usassist.phantom.beam import BeamGrid
from usassist.phantom.config import FloatArray, PhantomConfig, as_float32, rng_of
from usassist.phantom.nodule import TissueMaps

__all__ = ["Receiver"]

_MEAN_ALPHA = 0.55  # dB/cm/MHz that the scanner compensates for
_EFFECTIVE = 0.5  # the echo's centre frequency decreases with depth, and the attenuation with it
_GLAND_LEVEL = 0.52  # grey level of normal gland at 0 dB gain, relative to the range
_LN10_20 = float(np.log(10.0) / 20.0)


class Receiver:
    """The receive chain of one scanner.

    Parameters
    ----------
    grid : positions of the samples
    config : gain, compression, frequency, noise
    """

    def __init__(self, grid: BeamGrid, config: PhantomConfig) -> None:
        self._grid, self._config = grid, config
        rng = rng_of(config.seed, 0x7C6)
        depth_mm = (np.arange(grid.rows) + 0.5) * grid.range_step_mm
        sliders = np.concatenate([[0.0], rng.uniform(-1.0, 1.0, 7)]) * config.tgc_error_db
        error_db = np.interp(depth_mm, np.linspace(0.0, config.depth_mm, 8), sliders)
        error_db = cv2.GaussianBlur(error_db.astype(np.float32), (1, 0), sigmaX=0.1, sigmaY=grid.rows / 16).ravel()
        self._alpha_to_db = 2.0 * _EFFECTIVE * config.frequency_mhz * grid.range_step_mm / 10.0
        # the amplifier's gain is limited
        loss_db = _MEAN_ALPHA * self._alpha_to_db / grid.range_step_mm * depth_mm
        limit_db = 34.0 + rng.uniform(0.0, 12.0)
        short_db = np.clip(loss_db - limit_db, 0.0, None)
        self._tgc_db = (loss_db - 0.75 * short_db + error_db).astype(np.float32)[:, None]
        noise_db = config.noise_db + np.minimum(loss_db, limit_db) * 0.75
        edge = np.minimum(np.arange(grid.lines) + 1, grid.lines - np.arange(grid.lines)) / (0.03 * grid.lines)
        self._edge_db = (-3.0 * np.exp(-edge)).astype(np.float32)[None, :]
        self._noise_gain = np.exp(noise_db * _LN10_20).astype(np.float32)[:, None, None]
        self._haze = np.float32(10.0 ** (rng.uniform(-33.0, -24.0) / 20.0))
        self._lut = self._curve()

    def _curve(self) -> npt.NDArray[np.uint8]:
        level = np.linspace(0.0, 1.0, 256) ** self._config.gamma
        shaped = level + 0.06 * np.sin(2.0 * np.pi * (level - 0.5))  # a slightly S-shaped grey curve, as on scanners
        return np.round(np.clip(shaped, 0.0, 1.0) * 255.0).astype(np.uint8)

    def attenuate(self, maps: TissueMaps, reverberation: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Amplitude of the scatterers and of the specular reflectors after gain compensation.

        Shadow and enhancement result from the two-way line integral of the attenuation along each beam.
        """
        loss_db = np.cumsum(maps.alpha, axis=0, dtype=np.float32)
        loss_db *= np.float32(self._alpha_to_db)
        # the aperture is wider than small absorbers: blur across the beams
        loss_db = as_float32(cv2.GaussianBlur(loss_db, (0, 0), sigmaX=1.2, sigmaY=0.6))
        level_db = self._tgc_db + self._edge_db - loss_db
        reach = as_float32(cv2.exp(level_db * np.float32(_LN10_20)))
        amplitude = as_float32(cv2.exp((maps.echo_db + level_db) * np.float32(_LN10_20))) + reverberation
        # haze: side lobes and multiple reflections add a weak, delayed and blurred copy of the image
        mirror = maps.mirror * reach
        haze = cv2.blur(cv2.resize(amplitude + mirror, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA), (15, 9))
        haze = cv2.resize(haze, (amplitude.shape[1], amplitude.shape[0]), interpolation=cv2.INTER_LINEAR)
        late = round(1.6 / self._grid.range_step_mm)
        amplitude[late:] += self._haze * haze[:-late]
        return amplitude, mirror

    def noise(self, pool: FloatArray, key: int) -> FloatArray:
        """Electronic noise of one frame, float32 (rows, lines, 2)."""
        rng = rng_of(self._config.seed, key, 0x4015E)
        rows, lines = self._grid.rows, self._grid.lines
        row, column = int(rng.integers(pool.shape[0] - rows)), int(rng.integers(pool.shape[1] - lines))
        return as_float32(pool[row : row + rows, column : column + lines] * self._noise_gain)

    def to_image(self, envelope: FloatArray) -> npt.NDArray[np.uint8]:
        """Log compression and scan conversion; uint8 (H, W), 0 where no beam reaches."""
        config, grid = self._config, self._grid
        log_db = cv2.log(np.maximum(envelope, np.float32(1e-6)))
        scale = 255.0 / (config.dynamic_range_db * _LN10_20)
        offset = 255.0 * (_GLAND_LEVEL + config.gain_db / config.dynamic_range_db)
        level = np.clip(log_db * np.float32(scale) + np.float32(offset), 0.0, 255.0)
        ratio = grid.mm_per_px / grid.range_step_mm
        if ratio > 1.3 or grid.mm_per_px / float(grid.line_step_mm.mean()) > 1.3:
            level = cv2.GaussianBlur(
                level,
                (0, 0),
                sigmaX=max(0.35 * grid.mm_per_px / float(grid.line_step_mm.mean()), 0.1),
                sigmaY=max(0.35 * ratio, 0.1),
            )
        shown = cv2.remap(level, grid.map_line, grid.map_row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        if config.smoothing_px > 0.05:
            shown = cv2.GaussianBlur(shown, (0, 0), config.smoothing_px)
        grey = cv2.LUT(np.clip(np.round(shown), 0, 255).astype(np.uint8), self._lut)
        if grid.kind != "linear":
            grey[~grid.inside] = 0
        return np.asarray(grey, np.uint8)
