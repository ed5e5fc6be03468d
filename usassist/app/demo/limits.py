"""What the demo page takes: kinds of files, their size, and how much of a clip is answered."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from usassist.errors import UsageError
from usassist.sources.address import IMAGE_SUFFIXES

__all__ = ["LIMITS", "SUFFIXES", "Allowance", "Limits", "allow", "stored_name"]

_VIDEO_SUFFIXES = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ts", ".webm", ".wmv"})
SUFFIXES = frozenset({".dcm"}) | _VIDEO_SUFFIXES | IMAGE_SUFFIXES
"""Of files that are known; a DICOM file may also have none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of one visitor.

    Attributes
    ----------
    file_bytes : size of an uploaded file
    clip_s, frames : how much of a clip is answered
    frame_px : area of the largest frame
    clip_px : area of all frames of a clip together, because every frame is kept without loss until the visit ends
    """

    file_bytes: int = 200 * 2**20
    clip_s: float = 60.0
    frames: int = 3600
    frame_px: int = 4096 * 2304
    clip_px: int = 3600 * 1280 * 720


LIMITS = Limits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """How much of a source is answered.

    Attributes
    ----------
    count : number of frames at most
    frames : that the source has, None where it does not state it
    seconds : length of the source, None where it is not stated
    allowed_s : length of the part that is answered, None where the rate is not stated
    size_wh_px : of one frame
    """

    count: int
    frames: int | None
    seconds: float | None
    allowed_s: float | None
    size_wh_px: tuple[int, int]

    @property
    def is_cut(self) -> bool:
        """True when the source is known to be longer than what is answered."""
        return self.frames is not None and self.frames > self.count


def allow(grab_hw_px: tuple[int, int], rate_hz: float | None, frames: int | None, limits: Limits = LIMITS) -> Allowance:
    """How much of a source is answered.

    Parameters
    ----------
    grab_hw_px : height and width of one frame
    rate_hz : frames a second, None where it is not stated
    frames : number of frames, also as an estimate; None where it is not stated
    limits : that hold

    Raises
    ------
    UsageError
        If a frame is too large.
    """
    height, width = grab_hw_px
    if height * width > limits.frame_px:
        raise UsageError(
            f"a frame of {width} x {height} px is too large here; at most {limits.frame_px / 1e6:.1f} megapixels "
            "(4096 x 2304) are taken, so scale it down, or run usassist replay on your own machine"
        )
    count = min(limits.frames, max(1, limits.clip_px // (height * width)))
    if rate_hz:
        count = min(count, math.ceil(limits.clip_s * rate_hz))
    return Allowance(
        count=count,
        frames=frames,
        seconds=frames / rate_hz if frames is not None and rate_hz else None,
        allowed_s=count / rate_hz if rate_hz else None,
        size_wh_px=(width, height),
    )


def stored_name(name: str, size_bytes: int, limits: Limits = LIMITS) -> str:
    """Name under which an uploaded file is kept: never its own, which may name a patient.

    Raises
    ------
    UsageError
        If its kind is not known, or it is empty or too large.
    """
    suffix = Path(name).suffix.lower()
    if suffix and suffix not in SUFFIXES and not suffix[1:].isdigit():  # a UID may end in any number
        raise UsageError(
            f"a file that ends with {suffix[:16]} is not taken; give a video (mp4, avi, mkv, mov), a DICOM file, or a "
            "picture (png, jpg, bmp, tif)"
        )
    if not size_bytes:
        raise UsageError("the file is empty; choose another")
    if size_bytes > limits.file_bytes:
        raise UsageError(
            f"the file has {size_bytes / 2**20:.0f} MiB and at most {limits.file_bytes / 2**20:.0f} MiB are taken; "
            "cut it, or run usassist replay on your own machine"
        )
    return "upload" + (suffix if suffix in SUFFIXES else "")
