"""Query a Video4Linux device: its name, its modes, and the mode that it is in.

The numbers and structures are those of the kernel's ``linux/videodev2.h`` on 64-bit machines.
"""

from __future__ import annotations

import errno
import fcntl
from collections.abc import Callable, Iterator
from ctypes import Structure, c_char, c_uint32, c_uint64, sizeof
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

__all__ = ["Current", "Device", "Ioctl", "Mode", "list_modes", "query_current", "query_device"]

Ioctl = Callable[[int, int, Any], Any]

_CAPTURE = 1  # V4L2_BUF_TYPE_VIDEO_CAPTURE; also the flag for it in the capabilities
_HAS_DEVICE_CAPS = 0x80000000
_DISCRETE = 1
_PROGRESSIVE_FIELDS = frozenset({0, 1})  # any, none: no interlacing
_MAX_ENTRIES = 256  # for drivers that never report the end of a list
# Tried where a device accepts any size or rate in a range.
_COMMON_SIZES = (
    (3840, 2160),
    (1920, 1200),
    (1920, 1080),
    (1280, 1024),
    (1280, 720),
    (1024, 768),
    (800, 600),
    (640, 480),
)
_COMMON_RATES_HZ = (60, 50, 30, 25)
# The kernel's code of a format → FFmpeg's name.
FORMATS = {
    "BGR3": "bgr24", "GREY": "gray", "H264": "h264", "HEVC": "hevc", "JPEG": "mjpeg", "MJPG": "mjpeg", "NV12": "nv12",
    "RGB3": "rgb24", "UYVY": "uyvy422", "YU12": "yuv420p", "YUYV": "yuyv422",
}  # fmt: skip


class _Capability(Structure):
    _fields_ = (
        ("driver", c_char * 16), ("card", c_char * 32), ("bus_info", c_char * 32), ("version", c_uint32),
        ("capabilities", c_uint32), ("device_caps", c_uint32), ("reserved", c_uint32 * 3),
    )  # fmt: skip


class _Format(Structure):
    _fields_ = (
        ("index", c_uint32), ("type", c_uint32), ("flags", c_uint32), ("description", c_char * 32),
        ("pixelformat", c_uint32), ("mbus_code", c_uint32), ("reserved", c_uint32 * 3),
    )  # fmt: skip


class _FrameSize(Structure):
    # values: width, height; or least, most and step of the width, then of the height
    _fields_ = (
        ("index", c_uint32), ("pixelformat", c_uint32), ("type", c_uint32), ("values", c_uint32 * 6),
        ("reserved", c_uint32 * 2),
    )  # fmt: skip


class _Interval(Structure):
    # values: numerator and denominator of one interval in s; or of the least, the most and the step
    _fields_ = (
        ("index", c_uint32), ("pixelformat", c_uint32), ("width", c_uint32), ("height", c_uint32), ("type", c_uint32),
        ("values", c_uint32 * 6), ("reserved", c_uint32 * 2),
    )  # fmt: skip


class _CurrentFormat(Structure):
    # the padding aligns the union after the type, which holds pointers in other uses; `field` states interlacing
    _fields_ = (
        ("type", c_uint32), ("padding", c_uint32), ("width", c_uint32), ("height", c_uint32), ("pixelformat", c_uint32),
        ("field", c_uint32), ("rest", c_uint32 * 46),
    )  # fmt: skip


class _Parameters(Structure):
    _fields_ = (
        ("type", c_uint32), ("capability", c_uint32), ("mode", c_uint32), ("numerator", c_uint32),
        ("denominator", c_uint32), ("rest", c_uint32 * 46),
    )  # fmt: skip


class _Timings(Structure):
    _pack_ = 1
    _fields_ = (
        ("type", c_uint32), ("width", c_uint32), ("height", c_uint32), ("interlaced", c_uint32),
        ("polarities", c_uint32), ("pixelclock", c_uint64), ("rest", c_uint32 * 26),
    )  # fmt: skip


def _number(nr: int, kind: type[Structure], *, write: bool) -> int:
    """Request code of an ioctl: direction, size, the letter V, and its own number."""
    return ((3 if write else 2) << 30) | (sizeof(kind) << 16) | (ord("V") << 8) | nr


QUERYCAP = _number(0, _Capability, write=False)
ENUM_FMT = _number(2, _Format, write=True)
G_FMT = _number(4, _CurrentFormat, write=True)
G_PARM = _number(21, _Parameters, write=True)
ENUM_FRAMESIZES = _number(74, _FrameSize, write=True)
ENUM_FRAMEINTERVALS = _number(75, _Interval, write=True)
QUERY_DV_TIMINGS = _number(99, _Timings, write=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """Name of a device, and whether it captures video."""

    driver: str
    card: str
    captures: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Mode:
    """One pixel format (FFmpeg's name) at one size, with its rates, Hz, highest first."""

    format: str
    width_px: int
    height_px: int
    rates_hz: tuple[Fraction, ...]

    def __str__(self) -> str:
        rates = "/".join(f"{float(rate):.4g}" for rate in self.rates_hz)
        return f"{self.format} {self.width_px}x{self.height_px}" + (f" at {rates} Hz" if rates else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Current:
    """The mode that the device is in.

    Attributes
    ----------
    format : None where the kernel's code is not supported
    rate_hz : None where the driver does not report it
    interlaced : the two fields of a frame arrive interleaved or one by one
    signal_wh_px : size of the signal at the input, where the driver reports it
    """

    format: str | None
    width_px: int
    height_px: int
    rate_hz: Fraction | None
    interlaced: bool
    signal_wh_px: tuple[int, int] | None


def query_device(fd: int, ioctl: Ioctl = fcntl.ioctl) -> Device:
    """Query the name.

    Raises
    ------
    OSError
        If it is not a Video4Linux device.
    """
    caps = _Capability()
    ioctl(fd, QUERYCAP, caps)
    flags = caps.device_caps if caps.capabilities & _HAS_DEVICE_CAPS else caps.capabilities
    return Device(
        driver=caps.driver.decode("utf-8", "replace"),
        card=caps.card.decode("utf-8", "replace"),
        captures=bool(flags & _CAPTURE),
    )


def list_modes(fd: int, ioctl: Ioctl = fcntl.ioctl, wanted_wh_px: tuple[int, int] | None = None) -> list[Mode]:
    """List the modes whose format is supported.

    Parameters
    ----------
    fd, ioctl : the device
    wanted_wh_px : also listed where the device accepts a range of sizes that includes it
    """
    modes = []
    for item in _entries(fd, ioctl, ENUM_FMT, _Format, type=_CAPTURE):
        name = _format_name(item.pixelformat)
        if name is None:
            continue
        sizes: dict[tuple[int, int], None] = {}
        for size in _entries(fd, ioctl, ENUM_FRAMESIZES, _FrameSize, pixelformat=item.pixelformat):
            sizes |= dict.fromkeys(_sizes(size, wanted_wh_px))
            if size.type != _DISCRETE:
                break
        for width_px, height_px in sizes:
            rates: set[Fraction] = set()
            asked = {"pixelformat": item.pixelformat, "width": width_px, "height": height_px}
            for interval in _entries(fd, ioctl, ENUM_FRAMEINTERVALS, _Interval, **asked):
                rates |= set(_rates(interval))
                if interval.type != _DISCRETE:
                    break
            ordered = tuple(sorted(rates, reverse=True))
            modes.append(Mode(format=name, width_px=width_px, height_px=height_px, rates_hz=ordered))
    return modes


def query_current(fd: int, ioctl: Ioctl = fcntl.ioctl) -> Current:
    """Query the mode that the device is in.

    Raises
    ------
    OSError
        If it does not answer.
    """
    now = _CurrentFormat(type=_CAPTURE)
    ioctl(fd, G_FMT, now)
    parameters = _Parameters(type=_CAPTURE)
    rate_hz = None
    if _answers(fd, ioctl, G_PARM, parameters) and parameters.numerator and parameters.denominator:
        rate_hz = Fraction(parameters.denominator, parameters.numerator)
    timings = _Timings()
    known = _answers(fd, ioctl, QUERY_DV_TIMINGS, timings) and timings.width and timings.height
    return Current(
        format=_format_name(now.pixelformat),
        width_px=now.width,
        height_px=now.height,
        rate_hz=rate_hz,
        interlaced=now.field not in _PROGRESSIVE_FIELDS or bool(known and timings.interlaced),
        signal_wh_px=(timings.width, timings.height) if known else None,
    )


def _entries(fd: int, ioctl: Ioctl, number: int, kind: type[Structure], **fields: int) -> Iterator[Any]:
    """The entries of a list, which ends with EINVAL."""
    for index in range(_MAX_ENTRIES):
        entry = kind(index=index, **fields)
        try:
            ioctl(fd, number, entry)
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOTTY):
                return
            raise
        yield entry


def _answers(fd: int, ioctl: Ioctl, number: int, record: Structure) -> bool:
    """True when the driver answers an optional query; it may not, also for an input without a signal."""
    try:
        ioctl(fd, number, record)
    except OSError:
        return False
    return True


def _format_name(code: int) -> str | None:
    return FORMATS.get(code.to_bytes(4, "little").decode("latin-1"))


def _sizes(entry: _FrameSize, wanted_wh_px: tuple[int, int] | None) -> list[tuple[int, int]]:
    values = tuple(entry.values)
    if entry.type == _DISCRETE:
        return [(values[0], values[1])]
    least_w, most_w, step_w, least_h, most_h, step_h = values
    tried = [(most_w, most_h), *_COMMON_SIZES, *([] if wanted_wh_px is None else [wanted_wh_px])]
    return [
        (width, height)
        for width, height in tried
        if least_w <= width <= most_w
        and least_h <= height <= most_h
        and (width - least_w) % max(1, step_w) == 0
        and (height - least_h) % max(1, step_h) == 0
    ]


def _rates(entry: _Interval) -> list[Fraction]:
    values = tuple(entry.values)
    pairs = [(values[0], values[1])] if entry.type == _DISCRETE else [(values[0], values[1]), (values[2], values[3])]
    rates = [Fraction(denominator, numerator) for numerator, denominator in pairs if numerator and denominator]
    if entry.type != _DISCRETE and len(rates) == 2:
        rates += [Fraction(rate) for rate in _COMMON_RATES_HZ if rates[1] < rate < rates[0]]
    return rates
