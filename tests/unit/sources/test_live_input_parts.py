"""The parts of live inputs: backlog, stamps, the screen, and what the machine has."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.virtual_display import virtual_display
from usassist.app.commands.main import app
from usassist.errors import SourceError
from usassist.sources.inputs import screen
from usassist.sources.inputs.address import GrabOptions, open_grabber
from usassist.sources.inputs.devices import find_inputs
from usassist.sources.inputs.stream import Backlog, StreamGrabber, StreamHooks

PERIOD_NS = 40_000_000
LEVEL = 120


# Backlog


def test_caller_that_keeps_up_is_given_everything() -> None:
    backlog = Backlog(25)
    for _ in range(10):
        backlog.away(PERIOD_NS - 1, 0)
        assert not backlog.is_old(0)


def test_all_but_the_last_queued_frame_are_old() -> None:
    backlog = Backlog(25)
    backlog.away(4 * PERIOD_NS + 1, 0)
    assert [backlog.is_old(0) for _ in range(5)] == [True, True, True, False, False]


def test_a_short_stall_skips_no_frame_but_a_second_one_soon_after_does() -> None:
    backlog, old = Backlog(25), []
    for now_ns in (0, 1_900_000_000, 4_000_000_000):
        backlog.away(3 * PERIOD_NS + 1, now_ns)
        old.append([backlog.is_old(0) for _ in range(3)])
    assert old == [[False] * 3, [True, True, False], [False] * 3]


def test_frame_that_had_to_be_waited_for_is_new() -> None:
    backlog = Backlog(25)
    backlog.away(10 * PERIOD_NS, 0)
    assert not backlog.is_old(PERIOD_NS)
    assert not backlog.is_old(0)


# Stamps


class OneFrame:
    """A container that gives one frame, with the stamp of a driver."""

    def __init__(self, pts: Callable[[], int], *, sizes: tuple[int, ...] = (1,), pix_fmt: str = "gray") -> None:
        from usassist.common.pyav import av

        self.read_timeout = None
        self.closed = 0
        context = SimpleNamespace(name="rawvideo", codec=SimpleNamespace(intra_only=True), field_order=0)
        rates = {"average_rate": None, "guessed_rate": Fraction(90000)}
        size = {"width": 62, "height": 34, "sample_aspect_ratio": None}
        stream = SimpleNamespace(codec_context=context, thread_type="", **rates, **size)
        self.streams = SimpleNamespace(video=[stream])
        self._pts, self._sizes = pts, sizes
        self._frame = av.VideoFrame.from_ndarray(np.full((34, 62), LEVEL, np.uint8), "gray").reformat(format=pix_fmt)

    def demux(self, _stream: Any) -> Iterator[Any]:
        for size in self._sizes:
            packet = SimpleNamespace(size=size, pts=self._pts(), is_corrupt=False, is_keyframe=True)
            packet.decode = lambda packet=packet: [self._decoded(packet.pts)]
            yield packet

    def _decoded(self, pts: int) -> Any:
        self._frame.pts, self._frame.time_base = pts, Fraction(1, 1_000_000)
        return self._frame

    def close(self) -> None:
        self.closed += 1


def grabber_of(container: Any, **more: Any) -> StreamGrabber:
    return StreamGrabber(container, scheme="v4l2", hooks=StreamHooks(driver_stamps=True, **more))


def test_stamp_of_the_driver_is_taken_where_it_is_plausible() -> None:
    stamp_us = time.monotonic_ns() // 1000 - 5
    (grab,) = grabber_of(OneFrame(lambda: stamp_us)).grabs()
    assert (grab.stamp, grab.t_capture_ns) == ("driver", 1000 * stamp_us)


@pytest.mark.parametrize("offset_us", [-3_000_000, 60_000_000])
def test_stamp_on_another_clock_is_not_taken(offset_us: int) -> None:
    before_ns = time.monotonic_ns()
    (grab,) = grabber_of(OneFrame(lambda: time.monotonic_ns() // 1000 + offset_us)).grabs()
    assert grab.stamp == "arrival"
    assert before_ns <= grab.t_capture_ns <= time.monotonic_ns()


def test_buffer_that_the_driver_could_not_fill_marks_the_next_frame() -> None:
    container = OneFrame(lambda: time.monotonic_ns() // 1000, sizes=(16, 0, 16, 16))
    assert [grab.damaged for grab in grabber_of(container).grabs()] == [False, True, False]


@pytest.mark.parametrize("pix_fmt", ["yuyv422", "uyvy422", "nv12", "yuv420p", "bgr24", "rgb24", "bgr0"])
def test_formats_of_devices_give_the_same_image(pix_fmt: str) -> None:
    (grab,) = grabber_of(OneFrame(lambda: 0, pix_fmt=pix_fmt)).grabs()
    assert grab.screen.image.shape == (34, 62, 3)
    assert np.abs(grab.screen.image.astype(int) - LEVEL).max() <= 2


def test_grey_stays_grey_and_is_no_view_of_the_buffer_of_the_driver() -> None:
    (grab,) = grabber_of(OneFrame(lambda: 0)).grabs()
    assert grab.screen.image.shape == (34, 62)
    assert grab.screen.image.base is None


def test_rate_that_cannot_be_true_is_not_reported() -> None:
    assert grabber_of(OneFrame(lambda: 0)).rate_hz is None


def test_device_is_released_once() -> None:
    released: list[int] = []
    container = OneFrame(lambda: 0)
    grabber = grabber_of(container, release=lambda: released.append(1))
    grabber.close()
    grabber.close()
    assert (container.closed, released) == (1, [1])
    assert list(grabber.grabs()) == []


def test_container_without_video_is_closed_and_refused() -> None:
    container = OneFrame(lambda: 0)
    container.streams.video.clear()
    with pytest.raises(SourceError, match="no video that can be decoded"):
        grabber_of(container)
    assert container.closed == 1


# Screen


@pytest.fixture
def display() -> Iterator[str]:
    with virtual_display((240, 320)) as name:
        yield name


def test_part_of_the_screen_is_read(display: str) -> None:
    grabber = open_grabber(f"screen:10,20,160,120,rate=50,display={display}", GrabOptions())
    assert grabber.description == "screen, rawvideo, 160 x 120 px, 50 Hz"
    assert grabber.rate_hz == 50
    grabs = list(islice(grabber.grabs(), 3))
    grabber.close()
    assert [grab.number for grab in grabs] == [0, 1, 2]
    assert {grab.screen.image.shape for grab in grabs} == {(120, 160, 3)}
    assert not any(grab.screen.image.any() for grab in grabs)


_WINDOW = """
import cv2, numpy as np
cv2.namedWindow("w", cv2.WINDOW_NORMAL | cv2.WINDOW_FREERATIO | cv2.WINDOW_GUI_NORMAL)
cv2.resizeWindow("w", 320, 240)
cv2.moveWindow("w", 0, 0)
while True:
    cv2.imshow("w", np.full((240, 320, 3), (40, 120, 200), np.uint8))  # blue, green, red
    cv2.waitKey(50)
"""


@contextmanager
def _window(display: str) -> Iterator[None]:
    window = subprocess.Popen(
        [sys.executable, "-c", _WINDOW],
        env={**os.environ, "DISPLAY": display, "QT_QPA_PLATFORM": "xcb"},
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        window.kill()
        window.wait()


@pytest.mark.slow
def test_the_colours_of_a_window_come_through(display: str) -> None:
    grabber = open_grabber(f"screen:0,0,320,240,rate=10,display={display}", GrabOptions())
    grabs = grabber.grabs()
    for _ in range(6):  # on a display without a window manager Qt's window stays black now and then
        with _window(display):
            image = next((grab.screen.image for grab in islice(grabs, 50) if grab.screen.image.any()), None)
        if image is not None:
            break
    grabber.close()
    assert image is not None
    colours, counts = np.unique(image.reshape(-1, 3), axis=0, return_counts=True)
    assert tuple(colours[counts.argmax()]) == (200, 120, 40)
    assert counts.max() > 0.7 * counts.sum()


def test_part_outside_the_screen_is_refused(display: str) -> None:
    with pytest.raises(SourceError, match="check that an X11 display runs"):
        open_grabber(f"screen:200,0,160,120,display={display}", GrabOptions())


def test_without_a_display_the_screen_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screen, "has_display", lambda: False)
    with pytest.raises(SourceError, match="no X11 display here; set DISPLAY"):
        open_grabber("screen:0,0,64,48", GrabOptions())


# What the machine has


def test_nodes_that_cannot_be_used_are_listed_with_the_reason(tmp_path: Path) -> None:
    for name in ("video10", "video2", "videoless", "null"):
        (tmp_path / name).write_bytes(b"")
    inputs = find_inputs(tmp_path)
    assert [device.address for device in inputs.devices] == [f"v4l2:{tmp_path}/video2", f"v4l2:{tmp_path}/video10"]
    assert all("this is not a device" in device.problem for device in inputs.devices)
    assert inputs.protocols["tcp"]


def test_machine_without_a_grabber_is_reported_without_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from usassist.sources.inputs import devices

    nothing = find_inputs(tmp_path)
    monkeypatch.setattr(devices, "find_inputs", lambda: nothing)
    outcome = CliRunner().invoke(app, ["sources", "list"])
    assert outcome.exit_code == 0
    assert "none here" in outcome.stdout
    document = json.loads(CliRunner().invoke(app, ["sources", "list", "--json"]).stdout)
    assert document["devices"] == []
    assert set(document["protocols"]) == {"rtsp", "udp", "tcp", "srt"}
