"""Choose a mode of a Video4Linux device, and check the mode that the device is in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from usassist.errors import SourceError, UsageError
from usassist.sources.address import parse_settings
from usassist.sources.inputs.v4l2_modes import FORMATS, Current, Mode

__all__ = ["Choice", "Wanted", "check_current", "choose", "parse_wanted"]

_KNOWN = {"size": "1920x1080", "rate": "60", "format": "yuyv422", "hw": "none"}
_GOOD_RATE_HZ = Fraction(30)
_MAX_RATE_HZ = Fraction(60)  # no ultrasound scanner refreshes its screen faster
_TOLERANCE = Fraction(1, 100)  # 59.94 Hz is 60 Hz
_LISTED = 12  # modes in a message
_COST = {"mjpeg": 1, "h264": 2, "hevc": 3}  # uncompressed first: no decoding time, no artefacts


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The requested mode; None where any value will do."""

    wh_px: tuple[int, int] | None = None
    rate_hz: Fraction | None = None
    format: str | None = None
    hw: Literal["auto", "none"] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One mode at one rate; `rate_hz` is None where the driver lists none."""

    format: str
    width_px: int
    height_px: int
    rate_hz: Fraction | None


def parse_wanted(text: str) -> Wanted:
    """Read ``size=1920x1080,rate=60,format=mjpeg,hw=none``.

    Raises
    ------
    UsageError
        If it is malformed.
    """
    settings = parse_settings(text, _KNOWN, source="v4l2")
    wh_px = rate_hz = None
    if "size" in settings:
        width, _, height = settings["size"].partition("x")
        if not width.isdigit() or not height.isdigit() or not int(width) or not int(height):
            raise UsageError(f"v4l2: size={settings['size']} is not a size; write size=1920x1080")
        wh_px = int(width), int(height)
    if "rate" in settings:
        try:
            rate_hz = Fraction(settings["rate"])
        except (ValueError, ZeroDivisionError):
            rate_hz = Fraction(0)
        if not 1 <= rate_hz <= 1000:
            raise UsageError(f"v4l2: rate={settings['rate']} is not a rate in Hz; write rate=60")
    wanted_format = settings.get("format")
    if wanted_format is not None and wanted_format not in FORMATS.values():
        raise UsageError(
            f"v4l2: format={wanted_format} is unknown; write one of {', '.join(sorted({*FORMATS.values()}))}"
        )
    hw = settings.get("hw")
    if hw not in (None, "auto", "none"):
        raise UsageError(f"v4l2: hw={hw} is unknown; write hw=none or hw=auto")
    return Wanted(
        wh_px=wh_px,
        rate_hz=rate_hz,
        format=wanted_format,
        hw=None if hw is None else "none" if hw == "none" else "auto",
    )


def choose(modes: Sequence[Mode], wanted: Wanted) -> Choice:
    """Choose the largest frame at 30 Hz or more; of these the least compressed format; then the rate.

    Parameters
    ----------
    modes : of the device
    wanted : what must be met

    Raises
    ------
    SourceError
        If the device has no such mode; the message lists those that it has.
    """
    if not modes:
        raise SourceError("v4l2: the device lists no mode that is supported; read it by pipe: with its own program")
    fitting = [
        Choice(format=mode.format, width_px=mode.width_px, height_px=mode.height_px, rate_hz=rate)
        for mode in modes
        if wanted.format in (None, mode.format) and wanted.wh_px in (None, (mode.width_px, mode.height_px))
        for rate in (mode.rates_hz or (None,))
        if wanted.rate_hz is None or (rate is not None and _same_rate(rate, wanted.rate_hz))
    ]
    if not fitting:
        listed = "; ".join(str(mode) for mode in modes[:_LISTED]) + ("; …" if len(modes) > _LISTED else "")
        raise SourceError(f"v4l2: the device has no such mode; choose one of those it has: {listed}")
    return max(fitting, key=_rank)


def check_current(choice: Choice, current: Current, wanted: Wanted) -> tuple[str, ...]:
    """Compare the mode that the device is in with the one that was set.

    Returns
    -------
    warnings : one line each; empty when the mode is as requested

    Raises
    ------
    SourceError
        If the size or the format differs.
    """
    if (current.width_px, current.height_px) != (choice.width_px, choice.height_px) or (
        current.format is not None and current.format != choice.format
    ):
        raise SourceError(
            f"v4l2: the device delivers {current.format or 'another format'} {current.width_px}x{current.height_px} "
            f"instead of {choice.format} {choice.width_px}x{choice.height_px}; end other programs that use it, or ask "
            "for another size"
        )
    warnings = []
    if current.interlaced:
        warnings.append("the signal is interlaced: moving edges are torn; set the scanner's output to progressive")
    if current.signal_wh_px not in (None, (choice.width_px, choice.height_px)):
        width_px, height_px = current.signal_wh_px or (0, 0)
        warnings.append(
            f"the device scales the signal from {width_px}x{height_px} px to {choice.width_px}x{choice.height_px} px: "
            f"fine detail is lost; add size={width_px}x{height_px}"
        )
    asked_hz = wanted.rate_hz or choice.rate_hz
    if current.rate_hz is not None and asked_hz is not None and current.rate_hz < asked_hz * (1 - _TOLERANCE):
        warnings.append(
            f"the device delivers {float(current.rate_hz):.4g} Hz instead of {float(asked_hz):.4g} Hz; use a faster "
            "port or a smaller size"
        )
    elif asked_hz is not None and asked_hz < _GOOD_RATE_HZ * (1 - _TOLERANCE):
        warnings.append(f"{float(asked_hz):.4g} Hz is slow for live work; a smaller size may be faster")
    return tuple(warnings)


def _same_rate(left_hz: Fraction, right_hz: Fraction) -> bool:
    return abs(left_hz - right_hz) <= right_hz * _TOLERANCE


def _rank(choice: Choice) -> tuple[bool, int, int, Fraction]:
    rate_hz = choice.rate_hz or Fraction(0)
    fast = rate_hz >= _GOOD_RATE_HZ * (1 - _TOLERANCE)
    cost = _COST.get(choice.format, 0)
    # Faster than a scanner refreshes its screen is no better.
    useful_hz = rate_hz if rate_hz <= _MAX_RATE_HZ else 2 * _MAX_RATE_HZ - rate_hz
    return fast, choice.width_px * choice.height_px, -cost, useful_hz
