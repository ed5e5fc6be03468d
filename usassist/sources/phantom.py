"""The simulated scanner as a source.

It is treated like a grabbed screen: the phantom renders a whole scanner screen, and only the scan area, whose position
and scale are known exactly, becomes the frame.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from usassist.errors import UsageError
from usassist.phantom import PhantomConfig, PhantomScanner
from usassist.records import SourceInfo
from usassist.sources.address import parse_settings
from usassist.sources.base import SourceOptions
from usassist.sources.cropping import choose_roi, cut, is_automatic
from usassist.sources.paced import PacedSource, RawFrame
from usassist.sources.scale import Claim

__all__ = ["PhantomSource", "open_address"]

_SETTINGS = {"seed": "3", "seconds": "10"}

# The scale follows from how the image is rendered. What remains is rounding to whole pixels: half a pixel over some
# 500, taken as a standard uncertainty. Zero would claim that lengths have no error at all.
_SPACING_REL_SD = 0.001


def open_address(rest: str, options: SourceOptions) -> PhantomSource:
    """Open ``phantom:seed=3,seconds=10``; endless without ``seconds``.

    Raises
    ------
    UsageError
        If a setting is unknown or out of range.
    """
    settings = parse_settings(rest, _SETTINGS, source="phantom")
    try:
        seed = int(settings.get("seed", _SETTINGS["seed"]))
        seconds = float(settings["seconds"]) if "seconds" in settings else None
    except ValueError as error:
        raise UsageError(f"source phantom: {error}; write seed and seconds as numbers") from None
    return PhantomSource(options, PhantomConfig(seed=seed), seconds=seconds)


class PhantomSource(PacedSource):
    """The simulated scanner as a source.

    Parameters
    ----------
    options : see :class:`usassist.sources.SourceOptions`; ``crop`` ``auto`` takes the phantom's own scan area
    config : of the phantom
    seconds : duration; None = endless

    Raises
    ------
    UsageError
        If ``seconds`` is out of range.
    """

    def __init__(self, options: SourceOptions, config: PhantomConfig, *, seconds: float | None = None) -> None:
        if seconds is not None and not (math.isfinite(seconds) and seconds * config.rate_hz >= 1):
            raise UsageError(
                f"source phantom: {seconds:g} s is less than one frame at {config.rate_hz:g} Hz; give more seconds"
            )
        self._scanner = PhantomScanner(config)
        self._rate_hz = config.rate_hz
        self._available = None if seconds is None else round(seconds * config.rate_hz)
        if is_automatic(options):
            options = replace(options, crop=self._scanner.scan_xyxy_px)
        self._roi = choose_roi(options, config.screen_hw_px, lambda: ())
        info = SourceInfo(
            description=f"simulated scanner, seed {config.seed}, {config.rate_hz:g} Hz",
            image_hw_px=(self._roi[3] - self._roi[1], self._roi[2] - self._roi[0]),
            channels=3,
            rate_hz=config.rate_hz,
            frame_count=options.frame_count(self._available),
            roi_xyxy_px=self._roi,
            grab_hw_px=config.screen_hw_px,
            kind="simulated",
        )
        super().__init__(info, options)

    def _raw_frames(self) -> Iterator[RawFrame]:
        number = 0
        while self._available is None or self._options.repeat or number < self._available:
            shown = number if self._available is None else number % self._available
            phantom = self._scanner.render(shown / self._rate_hz)
            yield RawFrame(
                image=cut(phantom.screen, self._roi),
                roi_xyxy_px=self._roi,
                t_media_ns=round(number * 1e9 / self._rate_hz),
                own_scale=Claim(spacing_rc_mm=phantom.spacing_rc_mm, spacing_rel_sd=_SPACING_REL_SD),
            )
            number += 1
