"""A moving test pattern that needs no hardware and no file; every frame has its number in its pixels.

The number is drawn as two rows of blocks along the upper edge, the second row inverted, so that it can be read back
from the pixels alone, also after lossy compression.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import count as count_up

import numpy as np
import numpy.typing as npt

from usassist.errors import SourceFormatError, UsageError
from usassist.records import SourceInfo
from usassist.sources.address import parse_settings
from usassist.sources.base import SourceOptions
from usassist.sources.cropping import choose_roi, cut, is_automatic
from usassist.sources.paced import PacedSource, RawFrame

__all__ = ["NullSource", "draw_pattern", "open_address", "read_frame_id"]

_SETTINGS = {"frames": "100", "rate": "30", "size": "480x640"}
_BITS = 32
_CELLS = _BITS + 2  # one white and one black block lead
_MIN_HW_PX = (32, 2 * _CELLS)
_MAX_PX = 16384


def open_address(rest: str, options: SourceOptions) -> NullSource:
    """Open ``null:frames=100,rate=30,size=480x640``; endless without ``frames``.

    Raises
    ------
    UsageError
        If a setting is unknown or out of range.
    """
    settings = parse_settings(rest, _SETTINGS, source="null")
    try:
        frames = int(settings["frames"]) if "frames" in settings else None
        rate_hz = float(settings.get("rate", _SETTINGS["rate"]))
    except ValueError as error:
        raise UsageError(f"source null: {error}; write frames and rate as numbers") from None
    size = re.fullmatch(r"(\d{1,6})x(\d{1,6})", settings.get("size", _SETTINGS["size"]))
    if size is None:
        raise UsageError(f"source null: size {settings['size']!r} is not HEIGHTxWIDTH in px; write size=480x640")
    return NullSource(options, image_hw_px=(int(size[1]), int(size[2])), rate_hz=rate_hz, frames=frames)


class NullSource(PacedSource):
    """The test pattern as a source.

    Parameters
    ----------
    options : see :class:`usassist.sources.SourceOptions`; ``crop`` ``auto`` keeps the whole pattern
    image_hw_px : height and width of the pattern, px
    rate_hz : frames per second
    frames : how many; None = endless

    Raises
    ------
    UsageError
        If a value is out of range.
    """

    def __init__(
        self,
        options: SourceOptions,
        *,
        image_hw_px: tuple[int, int] = (480, 640),
        rate_hz: float = 30.0,
        frames: int | None = None,
    ) -> None:
        if not all(least <= side <= _MAX_PX for least, side in zip(_MIN_HW_PX, image_hw_px, strict=True)):
            raise UsageError(
                f"source null: size {image_hw_px[0]}x{image_hw_px[1]} is out of range; give at least "
                f"{_MIN_HW_PX[0]}x{_MIN_HW_PX[1]} and at most {_MAX_PX}x{_MAX_PX}"
            )
        if not 0.01 <= rate_hz <= 10_000:
            raise UsageError(f"source null: rate {rate_hz} is out of range; give 0.01 to 10000 frames per second")
        if frames is not None and frames < 1:
            raise UsageError(f"source null: frames must be 1 or more, got {frames}; leave it out for an endless stream")
        if is_automatic(options):
            options = replace(options, crop="none")
        self._roi = choose_roi(options, image_hw_px, lambda: ())
        self._grab_hw_px = image_hw_px
        self._rate_hz = rate_hz
        self._frames = frames
        info = SourceInfo(
            description=f"test pattern, {rate_hz:g} Hz",
            image_hw_px=(self._roi[3] - self._roi[1], self._roi[2] - self._roi[0]),
            channels=1,
            rate_hz=rate_hz,
            frame_count=options.frame_count(frames),
            roi_xyxy_px=self._roi,
            grab_hw_px=image_hw_px,
            kind="simulated",
        )
        super().__init__(info, options)

    def _raw_frames(self) -> Iterator[RawFrame]:
        numbers = count_up() if self._frames is None or self._options.repeat else range(self._frames)
        for number in numbers:
            yield RawFrame(
                image=cut(draw_pattern(number, self._grab_hw_px), self._roi),
                roi_xyxy_px=self._roi,
                t_media_ns=round(number * 1e9 / self._rate_hz),
            )


def draw_pattern(frame_id: int, image_hw_px: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Draw the pattern of one frame: its number, and a moving ramp.

    Parameters
    ----------
    frame_id : 0 to 2**32 - 1; higher numbers start again at 0
    image_hw_px : height and width, px

    Returns
    -------
    image : uint8 (H, W)
    """
    height_px, width_px = image_hw_px
    columns = np.arange(width_px, dtype=np.uint32) + 3 * (frame_id & 0xFFFF)
    rows = np.arange(height_px, dtype=np.uint32)[:, None]
    image = ((columns + rows) & 0xFF).astype(np.uint8)
    bits = (frame_id >> np.arange(_BITS - 1, -1, -1)) & 1
    row = np.concatenate([[1, 0], bits]).astype(bool)
    cell_px, tall_px = width_px // _CELLS, _row_px(height_px)
    strip = np.repeat(row, cell_px)
    image[:tall_px, : strip.size] = np.where(strip, 255, 0)
    image[tall_px : 2 * tall_px, : strip.size] = np.where(strip, 0, 255)
    return image


def read_frame_id(image: npt.NDArray[np.uint8]) -> int:
    """Read the number of a frame of the test pattern from its pixels.

    Parameters
    ----------
    image : uint8 (H, W) or (H, W, 3), the whole pattern at the size it was drawn in

    Raises
    ------
    SourceFormatError
        If these pixels hold no number.
    """
    grey = image if image.ndim == 2 else image.mean(axis=2)
    cell_px, tall_px = grey.shape[1] // _CELLS, _row_px(grey.shape[0])
    columns = np.arange(_CELLS) * cell_px + cell_px // 2
    first, second = (grey[tall_px // 2 + offset, columns] > 127 for offset in (0, tall_px))
    if cell_px < 1 or bool((first == second).any()) or not first[0] or first[1]:
        raise SourceFormatError("these pixels hold no frame number; give a whole frame of the source null")
    return int("".join("1" if bit else "0" for bit in first[2:]), 2)


def _row_px(height_px: int) -> int:
    return max(4, height_px // 32)
