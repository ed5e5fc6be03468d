from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.samples import make_frame, make_result
from usassist.bus import decode
from usassist.bus.codec import encode_frame, encode_result
from usassist.common.clock import FakeClock
from usassist.frames.burnt_text import find_text_boxes
from usassist.sinks.panel.scene import Scene
from usassist.sinks.panel.text_watch import TextWatch

STEP_NS = 150_000_000


def _image(number: int, text: str = "") -> np.ndarray:
    rng = np.random.default_rng(number)
    speckle = cv2.GaussianBlur(rng.rayleigh(30, (300, 400)).astype(np.float32), (5, 5), 0)
    image = np.clip(speckle * 1.6, 0, 255).astype(np.uint8)
    if text:
        cv2.putText(image, text, (120, 150), cv2.FONT_HERSHEY_SIMPLEX, 0.6, 255, 1, cv2.LINE_AA)
    return image


def _play(watch: TextWatch, count: int, text: str, start: int = 0) -> None:
    for number in range(start, start + count):
        watch.offer(_image(number, text), number * STEP_NS)
        watch.wait()


def test_burnt_text_is_found_beside_the_stream() -> None:
    watch = TextWatch(find_text_boxes)
    assert watch.boxes_xyxy_px == ()
    _play(watch, 5, "MUELLER")
    boxes = watch.boxes_xyxy_px
    assert boxes
    covered = np.zeros((300, 400), bool)
    for x1, y1, x2, y2 in boxes:
        covered[y1:y2, x1:x2] = True
    blank, written = np.zeros((2, 300, 400), np.uint8)
    cv2.putText(written, "MUELLER", (120, 150), cv2.FONT_HERSHEY_SIMPLEX, 0.6, 255, 1, cv2.LINE_AA)
    assert covered[written > 100].mean() > 0.95
    assert covered[blank == written].mean() < 0.1


def test_text_is_found_where_some_frames_are_grey_and_some_have_colour() -> None:
    watch = TextWatch(find_text_boxes)
    for number in range(5):
        image = _image(number, "MUELLER")
        watch.offer(np.dstack([image] * 3) if number % 2 else image, number * STEP_NS)
        watch.wait()
    assert watch.boxes_xyxy_px


def test_what_was_found_the_time_before_is_still_covered() -> None:
    watch = TextWatch(find_text_boxes)
    _play(watch, 5, "MUELLER")
    found = set(watch.boxes_xyxy_px)
    _play(watch, 5, "", start=5)
    assert found <= set(watch.boxes_xyxy_px)
    _play(watch, 5, "", start=10)
    assert not found & set(watch.boxes_xyxy_px)


def test_frames_faster_than_the_sampling_are_skipped() -> None:
    watch = TextWatch(find_text_boxes)
    for number in range(100):
        watch.offer(_image(number, "TEXT"), number * 1_000_000)
    watch.wait()
    assert watch.boxes_xyxy_px == ()


@pytest.mark.parametrize("covers", [False, True])
def test_the_page_covers_text_where_that_is_asked_for(covers: bool) -> None:
    box = (100, 120, 220, 160)
    watch = TextWatch(lambda frames: (box,))
    clock = FakeClock(10**9)
    scene = Scene(clock, 95, watch if covers else None)
    for number in range(8):
        shot = make_frame(number, (300, 400), image=_image(number, "MUELLER"), t_capture_ns=clock.now_ns())
        scene.add(decode(encode_frame(shot, number, 0)))
        scene.add(decode(encode_result(make_result(number, hw=(300, 400)), number, 0)))
        scene.advance()
        clock.advance_ms(200)
        watch.wait()
    shown = cv2.imdecode(np.frombuffer(scene.jpeg(), np.uint8), cv2.IMREAD_GRAYSCALE)
    x1, y1, x2, y2 = box
    assert (np.ptp(shown[y1 + 8 : y2 - 8, x1 + 8 : x2 - 8]) < 10) == covers
