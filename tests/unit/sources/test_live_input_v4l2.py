"""Modes of Video4Linux devices, read through a driver that is pretended."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from usassist.errors import SourceError
from usassist.sources.inputs import v4l2, v4l2_modes
from usassist.sources.inputs.address import GrabOptions, open_grabber
from usassist.sources.inputs.v4l2_choice import Choice, Wanted, check_current, choose, parse_wanted
from usassist.sources.inputs.v4l2_modes import Current, Mode, list_modes, query_current, query_device

Sizes = dict[tuple[int, int], list[tuple[int, int]]]  # width, height: intervals in s as numerator, denominator


def code(name: str) -> int:
    return int.from_bytes(name.encode(), "little")


class Driver:
    """Answers as a driver of the kernel does: fills the structure, or raises EINVAL behind the end of a list."""

    def __init__(self, formats: dict[str, Sizes], *, caps: int = 1, device_caps: int | None = 1) -> None:
        self.formats = formats
        self.caps, self.device_caps = caps, device_caps
        self.now: dict[str, Any] = {"format": "YUYV", "wh": (1920, 1080), "field": 1, "interval": (1, 60)}
        self.signal: tuple[int, int, int] | None = None
        self.range: tuple[int, ...] | None = None

    def __call__(self, fd: int, number: int, record: Any) -> int:
        if number == v4l2_modes.QUERYCAP:
            record.driver, record.card = b"uvcvideo", b"Some Grabber"
            record.capabilities = self.caps | (0 if self.device_caps is None else 0x80000000)
            record.device_caps = self.device_caps or 0
        elif number == v4l2_modes.ENUM_FMT:
            record.pixelformat = code(self.entry(list(self.formats), record.index))
        elif number == v4l2_modes.ENUM_FRAMESIZES and self.range is not None:
            record.type, record.values[:] = 3, self.range
        elif number == v4l2_modes.ENUM_FRAMESIZES:
            record.type = 1
            record.values[:2] = self.entry(list(self.sizes(record.pixelformat)), record.index)
        elif number == v4l2_modes.ENUM_FRAMEINTERVALS and self.range is not None:
            record.type, record.values[:] = 2, (1, 60, 1, 5, 0, 1)
        elif number == v4l2_modes.ENUM_FRAMEINTERVALS:
            record.type = 1
            intervals = self.sizes(record.pixelformat)[record.width, record.height]
            record.values[:2] = self.entry(intervals, record.index)
        elif number == v4l2_modes.G_FMT:
            record.width, record.height = self.now["wh"]
            record.pixelformat, record.field = code(self.now["format"]), self.now["field"]
        elif number == v4l2_modes.G_PARM:
            record.numerator, record.denominator = self.now["interval"]
        elif number == v4l2_modes.QUERY_DV_TIMINGS and self.signal is not None:
            record.width, record.height, record.interlaced = self.signal
        else:
            raise OSError(errno.ENOTTY, os.strerror(errno.ENOTTY))
        return 0

    def sizes(self, pixelformat: int) -> Sizes:
        return next(sizes for name, sizes in self.formats.items() if code(name) == pixelformat)

    @staticmethod
    def entry(entries: list[Any], index: int) -> Any:
        if index >= len(entries):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return entries[index]


def usb3() -> Driver:
    return Driver(
        {
            "YUYV": {(1920, 1080): [(1, 60), (1, 30)], (1280, 720): [(1, 60)]},
            "MJPG": {(1920, 1080): [(1, 60)], (3840, 2160): [(1, 15)]},
            "ZZZZ": {(4096, 4096): [(1, 60)]},
        }
    )


def usb2() -> Driver:
    return Driver(
        {
            "MJPG": {(1920, 1080): [(1001, 30000), (1, 25)], (1280, 720): [(1, 60)]},
            "YUYV": {(1920, 1080): [(1, 5)], (640, 480): [(1, 30)]},
        }
    )


@pytest.mark.skipif(ctypes.sizeof(ctypes.c_void_p) != 8, reason="the numbers are those of 64-bit machines")
def test_ioctl_numbers_are_those_of_the_kernel() -> None:
    assert v4l2_modes.QUERYCAP == 0x80685600
    assert v4l2_modes.ENUM_FMT == 0xC0405602
    assert v4l2_modes.G_FMT == 0xC0D05604
    assert v4l2_modes.G_PARM == 0xC0CC5615
    assert v4l2_modes.ENUM_FRAMESIZES == 0xC02C564A
    assert v4l2_modes.ENUM_FRAMEINTERVALS == 0xC034564B
    assert v4l2_modes.QUERY_DV_TIMINGS == 0x80845663


def test_modes_are_listed_as_the_driver_has_them() -> None:
    assert [str(mode) for mode in list_modes(0, usb3())] == [
        "yuyv422 1920x1080 at 60/30 Hz",
        "yuyv422 1280x720 at 60 Hz",
        "mjpeg 1920x1080 at 60 Hz",
        "mjpeg 3840x2160 at 15 Hz",
    ]


def test_ranges_give_the_common_sizes_and_the_one_asked_for() -> None:
    driver = Driver({"NV12": {}})
    driver.range = (320, 1920, 8, 240, 1080, 2)
    modes = list_modes(0, driver, wanted_wh_px=(1000, 700))
    sizes = {(mode.width_px, mode.height_px) for mode in modes}
    assert {(1920, 1080), (1280, 720), (1000, 700)} <= sizes
    assert not any(width > 1920 for width, _ in sizes)
    assert modes[0].rates_hz == (60, 50, 30, 25, 5)


@pytest.mark.parametrize(
    ("caps", "device_caps", "captures"), [(1, 1, True), (1, 0, False), (1, None, True), (2, None, False)]
)
def test_device_that_holds_only_metadata_does_not_capture(caps: int, device_caps: int | None, captures: bool) -> None:
    device = query_device(0, Driver({}, caps=caps, device_caps=device_caps))
    assert (device.driver, device.card, device.captures) == ("uvcvideo", "Some Grabber", captures)


def test_what_the_device_does_now_is_read() -> None:
    driver = usb3()
    driver.signal = (1280, 1024, 0)
    now = query_current(0, driver)
    assert (now.format, now.width_px, now.height_px, now.rate_hz) == ("yuyv422", 1920, 1080, 60)
    assert now.signal_wh_px == (1280, 1024)
    assert not now.interlaced


@pytest.mark.parametrize(("field", "signal"), [(4, None), (7, None), (1, (1920, 1080, 1))])
def test_interlaced_fields_are_seen(field: int, signal: tuple[int, int, int] | None) -> None:
    driver = usb3()
    driver.now["field"], driver.signal = field, signal
    assert query_current(0, driver).interlaced


@pytest.mark.parametrize(
    ("driver", "asked", "expected"),
    [
        (usb3, "", "yuyv422 1920x1080 60"),
        (usb2, "", "mjpeg 1920x1080 30000/1001"),
        (usb2, "size=1280x720", "mjpeg 1280x720 60"),
        (usb2, "format=yuyv422", "yuyv422 640x480 30"),
        (usb2, "format=yuyv422,size=1920x1080", "yuyv422 1920x1080 5"),
        (usb2, "rate=30", "mjpeg 1920x1080 30000/1001"),
        (usb2, "rate=25", "mjpeg 1920x1080 25"),
        (usb3, "size=3840x2160", "mjpeg 3840x2160 15"),
    ],
)
def test_best_mode_is_chosen(driver: Callable[[], Driver], asked: str, expected: str) -> None:
    choice = choose(list_modes(0, driver()), parse_wanted(asked))
    assert f"{choice.format} {choice.width_px}x{choice.height_px} {choice.rate_hz}" == expected


@pytest.mark.parametrize("asked", ["size=800x600", "rate=120", "format=nv12", "size=1280x720,rate=30"])
def test_mode_that_is_not_there_is_refused_with_the_list(asked: str) -> None:
    with pytest.raises(SourceError, match=r"no such mode.*mjpeg 1920x1080 at 29.97/25 Hz"):
        choose(list_modes(0, usb2()), parse_wanted(asked))


def test_device_without_supported_modes_is_refused() -> None:
    with pytest.raises(SourceError, match="lists no mode"):
        choose([], Wanted())


def test_rates_above_those_of_a_screen_are_not_preferred() -> None:
    mode = Mode(format="mjpeg", width_px=640, height_px=480, rates_hz=(Fraction(120), Fraction(60), Fraction(30)))
    assert choose([mode], Wanted()).rate_hz == 60


CHOICE = Choice(format="yuyv422", width_px=1920, height_px=1080, rate_hz=Fraction(60))


def now(**changes: Any) -> Current:
    values = {"format": "yuyv422", "width_px": 1920, "height_px": 1080, "rate_hz": Fraction(60), "interlaced": False}
    return Current(**(values | {"signal_wh_px": None} | changes))


def test_mode_as_requested_gives_no_warning() -> None:
    assert check_current(CHOICE, now(signal_wh_px=(1920, 1080), rate_hz=Fraction(60000, 1001)), Wanted()) == ()


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"interlaced": True}, "interlaced"),
        ({"signal_wh_px": (1280, 1024)}, "scales the signal from 1280x1024"),
        ({"rate_hz": Fraction(30)}, "30 Hz instead of 60 Hz"),
    ],
)
def test_mode_that_degrades_the_image_gives_a_warning(changes: dict[str, Any], word: str) -> None:
    (warning,) = check_current(CHOICE, now(**changes), Wanted())
    assert word in warning


@pytest.mark.parametrize("changes", [{"width_px": 640, "height_px": 480}, {"format": "mjpeg"}])
def test_another_size_or_format_than_asked_for_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(SourceError, match="instead of yuyv422 1920x1080"):
        check_current(CHOICE, now(**changes), Wanted())


def test_missing_device_has_a_remedy() -> None:
    with pytest.raises(SourceError, match="there is no such device; plug it in"):
        open_grabber("v4l2:/dev/video987", GrabOptions())


def test_file_is_no_device(tmp_path: Path) -> None:
    path = tmp_path / "video0"
    path.write_bytes(b"")
    with pytest.raises(SourceError, match="this is not a device"):
        open_grabber(f"v4l2:{path}", GrabOptions())


def test_device_of_another_kind_is_no_grabber() -> None:
    with pytest.raises(SourceError, match="not a Video4Linux device"):
        open_grabber("v4l2:/dev/null", GrabOptions())


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EACCES, "add the user to the group video"),
        (errno.EBUSY, "in use by viewer .process 12.; end the other program"),
        (errno.EIO, "does not answer"),
    ],
)
def test_failure_to_open_has_a_remedy(number: int, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: Any) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", refuse)
    monkeypatch.setattr(v4l2, "users_of", lambda _name: "viewer (process 12)")
    with pytest.raises(SourceError, match=words):
        open_grabber("v4l2:/dev/null", GrabOptions())
