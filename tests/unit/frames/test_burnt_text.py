from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from usassist.errors import RecordError
from usassist.frames.burnt_text import count_suspected_text, find_burnt_text, mask_text
from usassist.phantom import PhantomConfig, PhantomScanner

UInt8Array = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def clip() -> list[UInt8Array]:
    scanner = PhantomScanner(PhantomConfig(seed=11, scan_hw_px=(480, 480)))
    return [np.array(scanner.render_scan(2.0 + 0.2 * index).scan) for index in range(6)]


def written(frame: UInt8Array, ink: int = 230) -> UInt8Array:
    out = frame.copy()
    for line, words in enumerate(("DOE JANE", "RT TRV", "1 D 12.4mm")):
        place = (30 + 60 * line, 90 + 110 * line)
        cv2.putText(out, words, place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, ink, 1, cv2.LINE_AA)
    return out


def recall(marks: npt.NDArray[np.bool_], before: UInt8Array, after: UInt8Array) -> float:
    return float(marks[np.abs(after.astype(int) - before) > 20].mean())


def test_text_is_found_on_one_frame_and_little_else(clip: list[UInt8Array]) -> None:
    after = written(clip[0])
    marks = find_burnt_text([after])
    assert recall(marks, clip[0], after) > 0.9
    assert marks.mean() < 0.04


def test_fainter_text_is_found_in_a_moving_image(clip: list[UInt8Array]) -> None:
    after = [written(frame, ink=170) for frame in clip]
    assert recall(find_burnt_text(after), clip[0], after[0]) > 0.95


def test_speckle_is_not_taken_for_text(clip: list[UInt8Array]) -> None:
    assert find_burnt_text([clip[0]]).mean() < 0.002
    assert find_burnt_text(clip).mean() < 0.002


def test_calipers_are_found() -> None:
    config = PhantomConfig(seed=11, scan_hw_px=(480, 480))
    plain = np.array(PhantomScanner(config).render_scan(3.0).scan)
    marked = np.array(PhantomScanner(dataclasses.replace(config, calipers=True)).render_scan(3.0).scan)
    assert recall(find_burnt_text([marked]), plain, marked) > 0.7


def test_colour_on_a_grey_image_is_a_mark(clip: list[UInt8Array]) -> None:
    colour = np.repeat(clip[0][:, :, None], 3, axis=2)
    cv2.drawMarker(colour, (240, 200), (90, 170, 170), cv2.MARKER_CROSS, 11, 1)
    assert find_burnt_text([colour])[196:205, 236:245].mean() > 0.8


def test_masked_text_is_not_found_again_and_the_rest_is_unchanged(clip: list[UInt8Array]) -> None:
    after = written(clip[0])
    marks = find_burnt_text([after])
    covered = mask_text(after, marks)
    assert not find_burnt_text([covered]).any()
    assert np.array_equal(covered[~marks], after[~marks])
    assert covered.dtype == np.uint8


def test_fill_has_the_brightness_of_the_surroundings_in_every_channel() -> None:
    image = np.full((120, 160, 3), (40, 80, 120), np.uint8)
    marks = np.zeros((120, 160), np.bool_)
    marks[30:60, 20:120] = True
    image[marks] = 255
    assert np.array_equal(mask_text(image, marks), np.full((120, 160, 3), (40, 80, 120), np.uint8))


def test_an_image_that_is_all_mark_becomes_black() -> None:
    assert not mask_text(np.full((40, 50), 200, np.uint8), np.ones((40, 50), np.bool_)).any()


def test_recorded_frames_with_text_are_counted(clip: list[UInt8Array]) -> None:
    dim = [cv2.blur(frame, (5, 5)) for frame in clip]
    assert count_suspected_text([np.asarray(frame, np.uint8) for frame in dim]) == (0, 6)
    assert count_suspected_text([written(frame) for frame in clip]) == (6, 6)


def test_frames_and_marks_must_fit() -> None:
    with pytest.raises(RecordError, match="one size"):
        find_burnt_text([])
    with pytest.raises(RecordError, match="do not fit"):
        mask_text(np.zeros((4, 5), np.uint8), np.zeros((5, 4), np.bool_))
