"""A sweep of the phantom that is rendered once and then played back and forth, with new noise in every frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from usassist.phantom.config import PhantomConfig, as_float32, rng_of
from usassist.phantom.scanner import PhantomScanner

__all__ = ["Progress", "Sweep", "render_sweeps"]

UInt8Array = npt.NDArray[np.uint8]
Progress = Callable[[int, int], None]

_OTHER_DEPTH_S = 1.5
_FIELDS, _SPARE_PX = 8, 512  # number of noise fields, and their additional width


class Sweep:
    """The ultrasound images of a sweep, with noise.

    Parameters
    ----------
    scans : uint8 (h, w) each, at least two
    noise_sd : float32 (h, 1), standard deviation of the electronic noise per row, grey levels
    seed : of the noise

    Attributes
    ----------
    last : the image at the far end of the sweep
    """

    def __init__(self, scans: Sequence[UInt8Array], noise_sd: npt.NDArray[np.float32], seed: int) -> None:
        self._scans, self._seed = scans, seed
        self.last = scans[-1]
        rng = rng_of(seed, 0x5CB)
        height, width = self.last.shape
        self._fields = []
        for _ in range(_FIELDS):
            white = rng.standard_normal((height, width + _SPARE_PX), dtype=np.float32)
            soft = as_float32(cv2.GaussianBlur(white, (0, 0), sigmaX=0.9))
            soft *= noise_sd / np.float32(soft.std())
            self._fields.append(np.clip(np.round(soft), -100, 100).astype(np.int8))

    def at(self, place: int, *, noise_key: int) -> UInt8Array:
        """The image `place` frames after the start, uint8 (h, w), with the noise of `noise_key`.

        The frame at an end is shown once, so that consecutive frames always differ.
        """
        last = len(self._scans) - 1
        place %= 2 * last
        scan = self._scans[place if place <= last else 2 * last - place]
        rng = rng_of(self._seed, noise_key, 0x5CA)
        field = self._fields[int(rng.integers(_FIELDS))]
        column = int(rng.integers(_SPARE_PX))
        noisy = cv2.add(scan, field[:, column : column + scan.shape[1]], dtype=cv2.CV_8U)
        return np.asarray(noisy, np.uint8)


def render_sweeps(
    config: PhantomConfig, other_depths_mm: Sequence[float], loop_s: float, progress: Progress | None = None
) -> dict[float, Sweep]:
    """Render the sweep at the scanner's own depth, and a shorter one of the same neck at every other depth.

    Parameters
    ----------
    config : of the scanner
    other_depths_mm : further depths
    loop_s : one-way duration of the sweep, s
    progress : called after each frame with the number of frames done and of all frames

    Returns
    -------
    sweeps : depth in mm → sweep
    """
    own = PhantomScanner(config)
    nodules = tuple(nodule.plan for nodule in own.nodules)
    scanners = {config.depth_mm: own}
    for depth_mm in other_depths_mm:
        if depth_mm not in scanners:
            scanners[depth_mm] = PhantomScanner(replace(config, depth_mm=depth_mm, nodules=nodules))
    counts = {
        depth_mm: max(round((loop_s if one is own else min(_OTHER_DEPTH_S, loop_s)) * config.rate_hz), 2)
        for depth_mm, one in scanners.items()
    }
    sweeps: dict[float, Sweep] = {}
    done = 0
    for depth_mm, one in scanners.items():
        scans = []
        for index in range(counts[depth_mm]):
            scans.append(one.render_scan(index / config.rate_hz).scan)
            done += 1
            if progress is not None:
                progress(done, sum(counts.values()))
        sweeps[depth_mm] = Sweep(scans, _noise_sd(one), config.seed)
    return sweeps


def _noise_sd(scanner: PhantomScanner) -> npt.NDArray[np.float32]:
    """Electronic noise of the phantom per image row, float32 (h, 1), grey levels.

    The phantom draws new noise for every time, so frames one microsecond apart differ in their noise only.
    """
    middle_s = 0.5 * scanner.config.sweep_s
    same = np.stack([scanner.render_scan(middle_s + k * 1e-6).scan for k in range(4)]).astype(np.float32)
    by_row = np.sqrt(np.mean(np.var(same, axis=0, ddof=1), axis=1, keepdims=True))
    return as_float32(cv2.GaussianBlur(as_float32(by_row), (1, 0), sigmaX=0.1, sigmaY=len(by_row) / 40))
