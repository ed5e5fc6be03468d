"""The window itself, on a virtual display without a window manager, as on a kiosk."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

from tests.encoded_frames import HW, RADIUS_PX, center_of, encoded_frame, encoded_result, outline_share, read_id
from tests.samples import ENGINE, SESSION
from tests.virtual_display import virtual_display
from usassist.bus import ControlAction, ControlBody, Publisher
from usassist.common.clock import MonotonicClock
from usassist.sinks.overlay.desktop import pixel_rgb
from usassist.sinks.overlay.layout import window_layout
from usassist.sinks.overlay.text import PAPER
from usassist.sources.inputs.address import GrabOptions, open_grabber

SCREEN_HW_PX = (540, 960)
STREAM = msgspec.structs.replace(SESSION, realtime=False, image_hw_px=HW)
_WITHIN_S = 60.0
_CROSS = """
import ctypes, sys
x11 = ctypes.CDLL("libX11.so.6")
x11.XOpenDisplay.restype, x11.XInternAtom.restype = ctypes.c_void_p, ctypes.c_ulong
display, window = ctypes.c_void_p(x11.XOpenDisplay(None)), int(sys.argv[1])
class Message(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int), ("serial", ctypes.c_ulong), ("sent", ctypes.c_int),
                ("display", ctypes.c_void_p), ("window", ctypes.c_ulong), ("kind", ctypes.c_ulong),
                ("format", ctypes.c_int), ("data", ctypes.c_long * 5), ("rest", ctypes.c_long * 12)]
message = Message(type=33, sent=1, window=window, kind=x11.XInternAtom(display, b"WM_PROTOCOLS", 0), format=32)
message.data[0] = x11.XInternAtom(display, b"WM_DELETE_WINDOW", 0)
x11.XSendEvent(display, ctypes.c_ulong(window), 0, 0, ctypes.byref(message))
x11.XFlush(display)
x11.XCloseDisplay(display)
"""


def _program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    with virtual_display(SCREEN_HW_PX) as name:
        yield name


class Sender:
    """A stream that sends frames with their numbers in the picture, and their results."""

    def __init__(self, address: str) -> None:
        self.publisher = Publisher(address, "us0", MonotonicClock())
        self.asked: list[msgspec.Struct] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        frame_id = 0
        while not self._stop.wait(0.03):
            if frame_id % 10 == 0:
                self.publisher.event("engine", ENGINE)
                self.publisher.event("session", STREAM)
            self.publisher.frame(encoded_frame(frame_id))
            self.publisher.result(encoded_result(frame_id))
            self.asked += [body for _, body in self.publisher.received()]
            frame_id += 1

    def close(self) -> None:
        self._stop.set()
        self._thread.join(10)
        self.publisher.close()


class Window:
    """The process of a window, what is on its screen, and its keys."""

    def __init__(self, display: str, address: str, folder: Path) -> None:
        self._display = display
        self.environment = os.environ | {"DISPLAY": display}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "usassist", "overlay", "--bus", address], env=self.environment, cwd=folder
        )
        self.layout = window_layout(SCREEN_HW_PX, HW, (0.1, 0.1))

    def screen(self) -> np.ndarray:
        """What is on the screen, uint8 (H, W, 3) RGB."""
        height, width = SCREEN_HW_PX
        address = f"screen:0,0,{width},{height},rate=30,display={self._display}"
        grabber = open_grabber(address, GrabOptions())
        try:
            return next(iter(grabber.grabs())).screen.image.copy()
        finally:
            grabber.close()

    def image(self) -> np.ndarray:
        """The image of the frame on the screen."""
        x1, y1, x2, y2 = self.layout.image_xyxy_px
        return self.screen()[y1:y2, x1:x2]

    def wait_for(self, what: Callable[[], bool]) -> None:
        """Wait until it holds."""
        deadline_s = time.monotonic() + _WITHIN_S
        while not what():
            assert self.process.poll() is None, "the window has ended"
            assert time.monotonic() < deadline_s
            time.sleep(0.05)

    def shows_a_frame(self) -> bool:
        """A whole frame is on the screen, with its outline."""
        try:
            image = self.image()
            return outline_share(image, read_id(image)) > 0.85
        except AssertionError:
            return False

    def press(self, key: str) -> None:
        """Press a key in the window."""
        command = [_program("xdotool"), "key", "--window", self._id(), key]
        subprocess.run(command, env=self.environment, check=True)

    def close_by_cross(self) -> None:
        """Do what a window manager does when its cross is clicked."""
        subprocess.run([sys.executable, "-c", _CROSS, self._id()], env=self.environment, check=True)

    def _id(self) -> str:
        command = [_program("xdotool"), "search", "--name", "^usassist$"]
        found = subprocess.run(command, env=self.environment, capture_output=True, check=True, text=True)
        return found.stdout.split()[-1]


@pytest.fixture(scope="module")
def window(display: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Window, Sender, Path]]:
    folder, socket_folder = tmp_path_factory.mktemp("window"), tempfile.mkdtemp(prefix="usa")  # whose path is short
    address = f"ipc://{socket_folder}"
    sender = Sender(address)
    opened = Window(display, address, folder)
    try:
        opened.wait_for(opened.shows_a_frame)
        yield opened, sender, folder
    finally:
        opened.process.terminate()
        opened.process.wait(10)
        sender.close()
        shutil.rmtree(socket_folder, ignore_errors=True)


def test_the_window_fills_the_screen_and_what_is_round_is_round(window: tuple[Window, Sender, Path]) -> None:
    opened, _, _ = window
    screen = opened.screen()
    x1, y1, x2, y2 = opened.layout.image_xyxy_px
    assert (screen[:3, :3] != 0).any(), "it begins in the corner of the screen"
    assert (screen[-2, -2] != 0).any(), "and ends in the other"
    image = screen[y1:y2, x1:x2]
    frame_id = read_id(image)
    scale = (x2 - x1) / HW[1]
    x, y = (value * scale for value in center_of(frame_id))
    reach = round((RADIUS_PX + 1) * scale)
    near = image[round(y) - reach : round(y) + reach, round(x) - reach : round(x) + reach].max(axis=2)
    dark = near < 75
    middle = near.shape[0] // 2
    height, width = dark[:, middle - 12].sum(), dark[middle - 12].sum()
    assert abs(int(height) - int(width)) <= 3


def test_what_is_on_the_screen_can_be_asked(
    window: tuple[Window, Sender, Path], display: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, _, _ = window
    monkeypatch.setenv("DISPLAY", display)
    height, width = SCREEN_HW_PX
    assert pixel_rgb(width - 1, height - 1) == tuple(opened.screen()[-1, -1].tolist()) == PAPER
    assert pixel_rgb(width, 0) is None, "beyond the desktop"
    monkeypatch.setenv("DISPLAY", ":9871")
    assert pixel_rgb(0, 0) is None


def test_picture_and_outline_on_the_screen_are_of_one_frame(window: tuple[Window, Sender, Path]) -> None:
    opened, _, _ = window
    seen: dict[int, float] = {}

    def enough_seen() -> bool:
        image = opened.image()
        frame_id = read_id(image)
        seen[frame_id] = outline_share(image, frame_id)
        others = [
            outline_share(image, other) for other in range(max(0, frame_id - 3), frame_id + 4) if other != frame_id
        ]
        assert seen[frame_id] > 0.85 or seen[frame_id] == 0, "on a busy machine a frame may be without its result"
        assert max(others) < 0.6
        return sum(share > 0 for share in seen.values()) >= 5

    opened.wait_for(enough_seen)


def test_keys_are_obeyed(window: tuple[Window, Sender, Path]) -> None:
    opened, sender, folder = window
    opened.press("o")
    opened.wait_for(lambda: outline_share(image := opened.image(), read_id(image)) < 0.3)
    opened.press("o")
    opened.wait_for(lambda: outline_share(image := opened.image(), read_id(image)) > 0.85)
    opened.press("f")
    opened.wait_for(lambda: len({read_id(opened.image()) for _ in range(3)}) == 1)
    held = read_id(opened.image())
    opened.press("p")
    opened.wait_for(lambda: len(list(folder.glob("*.png"))) == 1 and next(folder.glob("*.png")).stat().st_size > 9000)
    (path,) = folder.glob("*.png")
    assert path.stem.endswith(f"-frame-{held:06d}")
    with Image.open(path) as picture:
        assert (picture.text["Frame"], picture.size) == (str(held), SCREEN_HW_PX[::-1])
    opened.press("f")
    opened.wait_for(lambda: read_id(opened.image()) != held)
    opened.press("b")
    opened.press("v")
    opened.wait_for(lambda: any(isinstance(body, ControlBody) for body in sender.asked))
    (request,) = (body for body in sender.asked if isinstance(body, ControlBody))
    assert (request.action, request.value, request.sender) == (ControlAction.RECORD, "on", "window")


def test_the_cross_of_a_window_manager_ends_it_without_an_error(window: tuple[Window, Sender, Path]) -> None:
    opened, _, _ = window
    opened.close_by_cross()
    assert opened.process.wait(_WITHIN_S) == 0


@pytest.mark.parametrize(("display_name", "says"), [("", "has no display"), (":9871", "cannot be opened")])
def test_without_a_display_there_is_one_clear_line(display_name: str, says: str, tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key not in ("DISPLAY", "WAYLAND_DISPLAY")}
    done = subprocess.run(
        [sys.executable, "-m", "usassist", "overlay", "--bus", f"ipc://{tmp_path}/s"],
        env=environment | ({"DISPLAY": display_name} if display_name else {}),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert says in line
