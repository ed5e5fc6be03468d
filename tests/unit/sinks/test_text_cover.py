"""Frames are held back until it is known where text is burnt into them."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import cv2
import numpy as np
import pytest

from tests.samples import make_frame
from usassist.errors import SessionError
from usassist.frames.burnt_text import find_text_boxes
from usassist.records import Frame
from usassist.sinks.covering import Box
from usassist.sinks.text_cover import TextCover

HW = (240, 320)
PERIOD_NS = 33_333_333


def _written(text: str = "MUELLER, ANNA") -> np.ndarray:
    strokes = np.zeros(HW, np.uint8)
    cv2.putText(strokes, text, (60, 120), cv2.FONT_HERSHEY_SIMPLEX, 0.6, 255, 1, cv2.LINE_AA)
    return strokes


STROKES = _written()


def _frame(number: int, *, text: bool, t_ns: int | None = None) -> Frame:
    rng = np.random.default_rng(number)
    speckle = cv2.GaussianBlur(rng.rayleigh(30, HW).astype(np.float32), (5, 5), 0)
    image = np.clip(speckle * 1.6, 0, 255).astype(np.uint8)
    if text:
        image = np.maximum(image, STROKES)
    return make_frame(number, HW, image=image, t_capture_ns=number * PERIOD_NS if t_ns is None else t_ns)


def _left(boxes: Sequence[Box]) -> float:
    """Share of the text's strokes outside the boxes."""
    outside = np.ones(HW, bool)
    for x1, y1, x2, y2 in boxes:
        outside[y1:y2, x1:x2] = False
    return float(outside[STROKES > 100].mean())


@pytest.mark.parametrize("media_hz", [None, 30.0])
@pytest.mark.parametrize(("first", "last"), [(0, 99), (37, 99), (30, 61), (44, 75), (90, 99)])
def test_a_text_is_covered_from_its_first_frame_to_its_last(first: int, last: int, media_hz: float | None) -> None:
    cover = TextCover(find_text_boxes)
    given = []
    for number in range(100):
        frame = _frame(number, text=first <= number <= last, t_ns=None if media_hz is None else number)
        given += cover.add(frame, media_hz)
    given += cover.flush()
    cover.close()
    assert [frame.frame_id for frame, _ in given] == list(range(100))
    left = [frame.frame_id for frame, boxes in given if first <= frame.frame_id <= last and _left(boxes) > 0.02]
    assert left == []
    far = [frame.frame_id for frame, boxes in given if not first - 45 <= frame.frame_id <= last + 45 and boxes]
    assert far == []


def test_frames_wait_for_about_a_second_and_no_longer() -> None:
    cover = TextCover(lambda frames: ())
    ready = threading.Event()
    longest = 0
    for number in range(100):
        for _ in cover.add(_frame(number, text=False)):
            ready.set()
        if cover._closed:
            cover._closed[-1].looked.wait(10)  # else the test would measure this machine
        longest = max(longest, len(cover.held))
    cover.close()
    assert ready.is_set()
    assert 30 <= longest <= 34


def test_large_pictures_wait_for_less() -> None:
    size = HW[0] * HW[1]
    cover = TextCover(lambda frames: (), most_bytes=12 * size)
    given: list[Frame] = []
    for number in range(60):
        given += [frame for frame, _ in cover.add(_frame(number, text=False))]
        assert sum(frame.image.nbytes for frame in cover.held) <= 12 * size
    given += [frame for frame, _ in cover.flush()]
    cover.close()
    assert [frame.frame_id for frame in given] == list(range(60))


def test_a_change_of_size_or_colour_holds_nothing_up() -> None:
    cover = TextCover(find_text_boxes)
    frames = [_frame(number, text=True) for number in range(20)]
    grey = frames[10].image
    frames[10:] = [make_frame(n, HW, 3, image=np.dstack([grey] * 3), t_capture_ns=n * PERIOD_NS) for n in range(10, 20)]
    frames += [make_frame(n, (32, 48), image=np.zeros((32, 48), np.uint8)) for n in range(20, 25)]
    given = [item for frame in frames for item in cover.add(frame)]
    assert [frame.frame_id for frame, _ in given][:20] == list(range(20))
    given += cover.flush()
    cover.close()
    assert [frame.frame_id for frame, _ in given] == list(range(25))
    assert all(_left(boxes) <= 0.02 for _, boxes in given[:20])
    assert not any(boxes for _, boxes in given[20:])


def test_what_was_not_looked_through_is_not_given() -> None:
    def fail(frames: Sequence[np.ndarray]) -> tuple[Box, ...]:
        raise ValueError("no room")

    cover = TextCover(fail)
    for number in range(10):
        assert not list(cover.add(_frame(number, text=False)))
    with pytest.raises(SessionError, match="the search for text failed"):
        list(cover.flush())
    assert cover.held[0].frame_id == 0
    cover.close()


def test_without_a_search_what_the_source_knows_of_is_covered_and_nothing_waits() -> None:
    cover = TextCover(None)
    frame = make_frame(3, text_xyxy_px=((1, 2, 3, 4),))
    assert list(cover.add(frame)) == [(frame, ((1, 2, 3, 4),))]
    assert list(cover.flush()) == []
