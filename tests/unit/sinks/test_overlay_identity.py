"""What window and video show belongs to one frame: the picture, the outline and the number in words."""

from __future__ import annotations

import threading
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

from tests.encoded_frames import HW, encoded_frame, encoded_result, outline_share, read_id
from tests.samples import ENGINE, SESSION
from usassist.bus import TOPICS, Message, Publisher, SessionState, decode
from usassist.bus.codec import encode, encode_frame, encode_result
from usassist.common.clock import FakeClock, MonotonicClock
from usassist.common.pyav import av
from usassist.records import ResultState
from usassist.sinks.overlay.layout import Layout, native_layout, window_layout
from usassist.sinks.overlay.screen import OverlayScreen
from usassist.sinks.overlay.text import DIM, PAPER, Pen
from usassist.sinks.overlay.video import OverlayVideo
from usassist.sinks.view import STATE_COLOR_RGB

WINDOW_HW_PX = (540, 960)
STREAM = msgspec.structs.replace(SESSION, realtime=False, image_hw_px=HW)  # without an age, which nobody can predict


def _event(name: str, body: msgspec.Struct) -> Message:
    return decode(encode(TOPICS[name], "us0", 0, 0, body, {}))


def _number_in_words(canvas: np.ndarray, layout: Layout, candidates: range) -> int:
    """The number in the upper bar: that whose text, written anew, is most like what stands there."""
    pen, height, width = Pen(layout.unit), layout.upper_px, canvas.shape[1]
    differences = {}
    for number in candidates:
        text = f"frame {number}"
        x = width - pen.px(10) - pen.width(text, 12)
        wanted = np.full((height, width, 3), PAPER, np.uint8)
        pen.write(wanted, text, (x, height - pen.px(7)), DIM, 12)
        place = np.s_[height - pen.px(20) :, width - pen.px(90) :]
        differences[number] = int(cv2.absdiff(wanted[place], canvas[:height][place]).sum())
    return min(differences, key=differences.__getitem__)


def _check(canvas: np.ndarray, layout: Layout, frame_id: int) -> None:
    """Picture and words are of this frame; an outline too, where one is drawn."""
    x1, y1, x2, y2 = layout.image_xyxy_px
    image = canvas[y1:y2, x1:x2]
    assert read_id(image) == frame_id
    near = range(max(0, frame_id - 3), frame_id + 4)
    assert _number_in_words(canvas, layout, near) == frame_id
    if tuple(canvas[3, 3]) == STATE_COLOR_RGB[ResultState.FINDING]:
        assert outline_share(image, frame_id) > 0.9
        assert max(outline_share(image, other) for other in near if other != frame_id) < 0.6


@pytest.mark.parametrize(("count", "drawn"), [(120, 40), pytest.param(2500, 1000, marks=pytest.mark.long)])
def test_the_window_shows_picture_outline_and_number_of_one_frame(count: int, drawn: int) -> None:
    """Results come late, in any order, or never; frames are lost."""
    random, clock = np.random.default_rng(7), FakeClock(10**9)
    screen = OverlayScreen(clock)
    screen.take(_event("engine", ENGINE))
    screen.take(_event("session", STREAM))
    layout = window_layout(WINDOW_HW_PX, HW, (0.1, 0.1))
    due: list[tuple[int, int]] = []  # when a result comes, and of which frame
    findings = without = 0
    for frame_id in range(count):
        clock.advance_ms(33)
        if random.random() > 0.03:
            screen.take(decode(encode_frame(encoded_frame(frame_id), 0, 0)))
        if random.random() > 0.05:
            due.append((frame_id + int(random.integers(0, 4)), frame_id))
        random.shuffle(due)
        for item in [item for item in due if item[0] <= frame_id]:
            due.remove(item)
            screen.take(decode(encode_result(encoded_result(item[1]), 0, 0)))
        canvas = screen.render(WINDOW_HW_PX)
        if canvas is None:
            continue
        shown = screen.shown
        assert shown is not None
        _check(canvas, layout, shown.frame_id)
        is_finding = tuple(canvas[3, 3]) == STATE_COLOR_RGB[ResultState.FINDING]
        findings, without = findings + is_finding, without + (not is_finding)
    assert findings >= drawn, "enough was drawn for this to mean something"
    assert without > 0, "results were lost"


@pytest.mark.parametrize("count", [120, pytest.param(1000, marks=pytest.mark.long)])
def test_every_picture_of_the_video_is_of_one_frame(count: int, bus_address: str, tmp_path: Path) -> None:
    publisher = Publisher(bus_address, "us0", MonotonicClock(), lossless=True)
    video = OverlayVideo(bus_address, tmp_path / "overlay.mkv", lambda: False)
    thread = threading.Thread(target=video.run)
    thread.start()
    without = set(range(17, count, 41))
    try:
        assert publisher.wait_for_archives(1, 10, lambda: True)
        publisher.event("engine", ENGINE)
        publisher.event("session", STREAM)
        for frame_id in range(count):
            publisher.frame(encoded_frame(frame_id))
            if frame_id not in without:
                publisher.result(encoded_result(frame_id))
        publisher.event("session", msgspec.structs.replace(STREAM, state=SessionState.ENDED, last_frame_id=count - 1))
        thread.join(100)
    finally:
        publisher.close()
    assert not thread.is_alive()
    layout, drawn = native_layout(HW), 0
    with av.open(str(tmp_path / "overlay.mkv")) as container:
        for frame_id, picture in enumerate(container.decode(video=0)):
            canvas = picture.to_ndarray(format="rgb24")[: layout.canvas_hw_px[0]]
            x1, y1, x2, y2 = layout.image_xyxy_px
            image = canvas[y1:y2, x1:x2]
            assert read_id(image) == frame_id
            assert _number_in_words(canvas, layout, range(max(0, frame_id - 3), frame_id + 4)) == frame_id
            assert (outline_share(image, frame_id) > 0.8) == (frame_id not in without)
            drawn += 1
    assert drawn == count
