"""Scale frames whose pixels are not square, so that display and measurements are right."""

from __future__ import annotations

from fractions import Fraction

from usassist.common.pyav import av

__all__ = ["describe_aspect", "make_square", "square_wh_px"]

_ROUNDING = Fraction(1, 500)  # error of encoders that compute the aspect from a rounded size
_MAX_ASPECT = 4  # width over height, or height over width; more cannot be true


def square_wh_px(width_px: int, height_px: int, aspect: Fraction | None) -> tuple[int, int]:
    """Size of a frame with square pixels; the shorter side of a pixel is stretched, the longer is never shrunk.

    Parameters
    ----------
    width_px, height_px : as stored
    aspect : width over height of a pixel; None, or within a 500th of 1 = square
    """
    if not aspect or abs(aspect - 1) < _ROUNDING or not Fraction(1, _MAX_ASPECT) <= aspect <= _MAX_ASPECT:
        return width_px, height_px
    return (round(width_px * aspect), height_px) if aspect > 1 else (width_px, round(height_px / aspect))


def make_square(frame: av.VideoFrame, aspect: Fraction | None) -> av.VideoFrame:
    """Scale a frame to square pixels; a frame that has them is returned as it is.

    Raises
    ------
    av.error.FFmpegError, ValueError
        If its pixel format cannot be scaled.
    """
    width_px, height_px = square_wh_px(frame.width, frame.height, aspect)
    if (width_px, height_px) == (frame.width, frame.height):
        return frame
    try:
        return frame.reformat(width=width_px, height=height_px)
    except (av.error.FFmpegError, ValueError):
        return frame.reformat(width=width_px, height=height_px, format="rgb24")  # FFmpeg reads its format only


def describe_aspect(width_px: int, height_px: int, aspect: Fraction | None) -> str:
    """Describe the aspect for the log and the description of a source; "" where pixels are square."""
    if not aspect or aspect == 1:
        return ""
    ratio = f"{aspect.numerator}:{aspect.denominator}"
    if not Fraction(1, _MAX_ASPECT) <= aspect <= _MAX_ASPECT:
        return f"pixels of {ratio} cannot be true and are taken as square"
    unchanged = square_wh_px(width_px, height_px, aspect) == (width_px, height_px)
    return "" if unchanged else f"pixels of {ratio} made square"
