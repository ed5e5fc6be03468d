"""Run as a capture process, with devices that misbehave; see ``test_capture.py``.

The address says what happens: ``fake:then=hang_read,frames=3,size=64x48,format=yuv420p,rate=0``. The pixels of frame n
are the level n, with a ramp along the first row.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
# isort: split
from usassist.errors import SourceError, UsageError
from usassist.sources.capture.child import main
from usassist.sources.grab import Grab
from usassist.sources.inputs.address import GrabOptions
from usassist.sources.screen import Layout, Screen


def hang(*, holding: bool = False) -> None:
    sleep = ctypes.PyDLL(None).sleep if holding else time.sleep  # PyDLL: while it sleeps, no thread of Python runs
    while True:
        sleep(3600)


def screen(number: int, layout: Layout) -> Screen:
    planes = [np.full(shape, (number + 40 * place) % 256, np.uint8) for place, shape in enumerate(layout.shapes)]
    width = layout.hw_px[1]
    planes[0][0] = np.arange(width, dtype=np.uint8)[(..., *[None] * (planes[0].ndim - 2))]
    return Screen.of_planes(layout, planes)


class Device:
    description = "fake, 25 Hz"
    warnings: tuple[str, ...] = ("interlaced",)
    rate_hz = 25.0

    def __init__(self, settings: dict[str, str]) -> None:
        self._settings = settings
        self._closed = False
        self._then = settings.get("then", "end")
        if self._then == "hang_open":
            hang()
        if self._then == "hang_open_holding":
            hang(holding=True)
        if self._then == "refuse":
            raise SourceError("fake: the device is busy; end the other program")
        if self._then == "misuse":
            raise UsageError("fake: size=big is no size; write size=64x48")

    def grabs(self) -> Iterator[Grab]:
        settings = self._settings
        width, height = (int(side) for side in settings.get("size", "64x48").split("x"))
        rate = float(settings.get("rate", "0"))
        for number in range(int(settings.get("frames", "3"))):
            factor = 2 if self._then == "grow" and number % 2 else 1
            layout = Layout(
                format=settings.get("format", "yuv420p"),
                hw_px=(factor * height, factor * width),
                color_range=int(settings.get("range", "1")),
                colorspace=5,
            )
            if self._then == "warn" and number == 2:
                self.warnings = ("interlaced", "its pixels are not square")
            if rate:
                time.sleep(1 / rate)
            t_ns = time.monotonic_ns()
            yield Grab(
                number=number,
                screen=screen(number, layout),
                t_capture_ns=t_ns,
                t_decoded_ns=t_ns + 1,
                stamp="driver",
                pts=3003 * number,
                time_base=Fraction(1, 90_000),
                damaged=number == 1,
            )
        match self._then:
            case "hang_read":
                hang()
            case "hang_read_holding":
                hang(holding=True)
            case "program":
                subprocess.Popen(["sleep", settings["sleep"]], process_group=0)
                hang()
            case "crash":
                os.kill(os.getpid(), 11)
            case "fault":
                raise ZeroDivisionError("oops")
            case "wait":
                while not self._closed:
                    time.sleep(0.002)

    def close(self) -> None:
        self._closed = True
        if self._then == "hang_close":
            hang()
        if "closed" in self._settings:
            with open(self._settings["closed"], "a") as file:
                file.write("closed\n")


def open_device(address: str, options: GrabOptions) -> Device:
    return Device(dict(part.split("=", 1) for part in address.partition(":")[2].split(",") if part))


if __name__ == "__main__":
    sys.argv = sys.argv[-3:]
    main(open_device)
