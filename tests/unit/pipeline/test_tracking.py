"""Which nodule is which in a stream: two that cross, one that leaves and comes back, a cut, and dropped frames."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import cv2
import numpy as np
import pytest

from tests.samples import make_frame
from tests.unit.pipeline.test_association import _scores
from tests.unit.pipeline.test_stream import FakeEngine, Run, _null
from usassist.bus import TrackingClock
from usassist.calibrate import DEFAULT_POINT, load_score_calibration
from usassist.engine import find_engine, open_engine
from usassist.phantom import PhantomConfig, PhantomScanner
from usassist.phantom.config import NodulePlan
from usassist.pipeline import StreamAssociation, make_association
from usassist.records import Frame, Result, SignalState

HW_PX = (192, 288)
DARK, PERIOD_NS = 8, 33_333_333
Center = tuple[float, float]


class DarkEngine(FakeEngine):
    """Finds every dark region of its input, which is of 64 x 96 px."""

    def infer(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        outputs = super().infer(inputs)
        for array in outputs.values():
            array[:] = 0.0
        dark = (inputs["image"][0, 0] < 0.15).astype(np.uint8)
        count, _, stats, centers = cv2.connectedComponentsWithStats(dark)
        for (x, y, width, height, area), (column_px, row_px) in zip(stats[1:count], centers[1:count], strict=True):
            if area < 30:
                continue
            column, row = int((column_px + 0.5) // 8), int((row_px + 0.5) // 8)
            outputs["center_score"][0, 0, row, column] = 0.95
            middle_x, middle_y = (column + 0.5) * 8, (row + 0.5) * 8
            sides = (middle_x - x, middle_y - y, x + width - middle_x, y + height - middle_y)
            outputs["box_ltrb_px"][0, :, row, column] = sides
        outputs["mask_prob"][0, 0] = cv2.resize(dark.astype(np.float32), (48, 32), interpolation=cv2.INTER_AREA)
        return outputs


@cache
def _tissue(seed: int) -> np.ndarray:
    """A neck of the phantom in which nothing is dark, uint8 (192, 288)."""
    scanner = PhantomScanner(PhantomConfig(seed=seed, scan_hw_px=HW_PX, nodules=()))
    scan = cv2.resize(scanner.render_scan(1.0).scan, HW_PX[::-1])
    return np.asarray(np.minimum(50.0 + 1.4 * scan, 255.0), np.uint8)


def _image(centers: Sequence[Center | None], seed: int = 3) -> np.ndarray:
    """Tissue with a dark nodule at each centre; None = it is out of the plane."""
    image = _tissue(seed).copy()
    for center in centers:
        if center is not None:
            place = tuple(round(16 * value) for value in center)
            cv2.ellipse(image, place, (16 * 18, 16 * 15), 0, 0, 360, DARK, -1, cv2.LINE_AA, 4)
    return image


def _crossing() -> list[np.ndarray]:
    """Two pass each other within two seconds."""
    return [_image([(60 + 3 * step, 72), (228 - 3 * step, 106)]) for step in range(56)]


def _leaving() -> list[np.ndarray]:
    """Of two, one is out of the plane for 0.7 s."""
    return [_image([(90, 90), None if 5 <= step < 26 else (200, 100)]) for step in range(32)]


def _cut() -> list[np.ndarray]:
    """The same places in another neck, from the fifth frame on."""
    return [_image([(90, 90), (200, 100)], seed=3 if step < 5 else 8) for step in range(10)]


def _run(bus_address: str, images: Sequence[np.ndarray], left_out: Sequence[int] = (), **options: Any) -> Run:
    """Through a stream, on frames of 30 a second; those left out are as dropped."""
    source = _null(len(images))

    def frames() -> Iterator[Frame]:
        for number, image in enumerate(images):
            if number not in left_out:
                yield make_frame(
                    number,
                    HW_PX,
                    session_id="s",
                    image=image,
                    roi_xyxy_px=(0, 0, HW_PX[1], HW_PX[0]),
                    t_capture_ns=(number + 1) * PERIOD_NS,
                )

    source.frames = frames
    run = Run(bus_address, DarkEngine(), source, scores=_scores(), **options)
    run()
    return run


def _by_place(result: Result) -> list[int]:
    """Track ids from left to right."""
    found = result.detections
    return found.track_id[np.argsort(found.xyxy_px[:, 0])].tolist()


def test_two_that_cross_keep_their_identities(bus_address: str) -> None:
    for left_out in ((), (4, 5, 12, 13, 14, 20)):
        results = _run(bus_address, _crossing(), left_out).results
        assert all(len(result.detections) == 2 for result in results)
        above = [result.detections.track_id[result.detections.xyxy_px[:, 1].argmin()] for result in results]
        assert len(set(above)) == 1, above
        first, last = _by_place(results[0]), _by_place(results[-1])
        assert sorted(first) == [1, 2]
        assert last == first[::-1], "they have changed sides"


def test_one_that_leaves_and_returns_keeps_its_identity_and_nothing_is_drawn_while_it_is_gone(bus_address: str) -> None:
    for left_out in ((), (4, 8, 9, 10, 26)):
        results = _run(bus_address, _leaving(), left_out).results
        names = {result.frame_id: _by_place(result) for result in results}
        assert sorted(names[0]) == [1, 2]
        for number, found in names.items():
            assert found == (names[0][:1] if 5 <= number < 26 else names[0]), number


def test_after_a_cut_all_are_new(bus_address: str) -> None:
    names = [_by_place(result) for result in _run(bus_address, _cut()).results]
    assert [sorted(found) for found in names] == [[1, 2]] * 5 + [[3, 4]] * 5
    assert len({tuple(found) for found in names[5:]}) == 1


@pytest.mark.parametrize("change", ["roi_xyxy_px", "source_id"])
def test_in_another_place_of_the_screen_or_from_another_source_all_are_new(change: str) -> None:
    association = _Associated()
    first = make_frame(0, HW_PX, image=_image([(90, 90)]), roi_xyxy_px=(0, 0, HW_PX[1], HW_PX[0]))
    other = {"roi_xyxy_px": (9, 0, 9 + HW_PX[1], HW_PX[0]), "source_id": "us1"}[change]
    task = association.task
    ids = []
    for frame in (
        first,
        dataclasses.replace(first, frame_id=1),
        dataclasses.replace(first, frame_id=2, **{change: other}),
    ):
        answer, _ = association.complete(frame, task(frame, DarkEngine()))
        ids.append(answer.detections.track_id.tolist())
    assert ids == [[1], [1], [2]]


def test_after_a_frozen_picture_time_decides(bus_address: str) -> None:
    for gone, expected in ((20, [1]), (70, [2])):
        source = _null(gone + 2)

        def frames(gone: int = gone) -> Iterator[Frame]:
            still = {"picture": SignalState.FROZEN, "picture_reason": "the scanner is frozen"}
            for number in range(gone + 2):
                frame = make_frame(number, HW_PX, session_id="s", image=_image([(90, 90)]))
                yield dataclasses.replace(frame, **still) if 0 < number <= gone else frame

        source.frames = frames
        run = Run(bus_address, DarkEngine(), source, scores=_scores())
        run()
        assert [run.results[place].detections.track_id.tolist() for place in (0, -1)] == [[1], expected]
        assert all(not len(result.detections) for result in run.results[1:-1])


def test_a_rerun_of_a_stream_with_drops_gives_the_same_identities(bus_address: str) -> None:
    images = [*_leaving(), *_crossing(), *_cut()]
    left_out = [number for number in range(len(images)) if number % 5 in (1, 2) or 40 <= number < 44]
    live = _run(bus_address, images, left_out, realtime=False)
    answered = [result for result in live.results if result.state.is_answer]
    recorded = {result.frame_id: result.follows_frame_id for result in answered}
    again = _run(bus_address, images, recorded=recorded)
    assert len(again.results) == len(images)
    by_frame = {result.frame_id: result.detections.track_id.tolist() for result in again.results}
    assert [by_frame[result.frame_id] for result in answered] == [r.detections.track_id.tolist() for r in answered]
    assert {number for frame_id in left_out for number in by_frame[frame_id]} == {-1}, "no nodule is numbered there"
    assert max(number for numbers in by_frame.values() for number in numbers) >= 4
    assert live.engines[-1].tracking.clock is TrackingClock.FRAME_NUMBER


def test_each_frame_alone_numbers_nothing(bus_address: str) -> None:
    run = _run(bus_address, _crossing()[:5], each_frame_alone=True)
    assert all((result.detections.track_id == -1).all() and len(result.detections) for result in run.results)
    assert run.engines[-1].tracking is None


class _Associated(StreamAssociation):
    """An association over the frames of a stream, with its task."""

    def __init__(self) -> None:
        made = make_association(DarkEngine().spec, _scores(), DEFAULT_POINT, None)
        assert made is not None
        super().__init__(made, realtime=False)
        self.task = made.make_task()


@pytest.mark.slow
def test_the_engine_that_ships_numbers_the_nodules_of_a_probe_that_rocks_and_of_another_neck() -> None:
    solid = NodulePlan(kind="hypo", center_xze_mm=(0.0, 14.6, 0.0), axes_xze_mm=(12.0, 9.5, 13.0), echo_db=-9.0)
    here = PhantomConfig(seed=31, scan_hw_px=(420, 480), nodules=(solid,), sweep_mm=(-2.0, 9.0), sweep_s=1.0)
    scanners = [PhantomScanner(here), PhantomScanner(dataclasses.replace(here, seed=5, view="left_lobe"))]
    spec = find_engine("thyroid_nodule")
    made = make_association(spec, load_score_calibration(spec.engine_id), DEFAULT_POINT, None)
    assert made is not None
    stream, task = StreamAssociation(made, realtime=True), made.make_task()
    ids: list[list[int]] = []
    with open_engine(spec, "openvino", 2, "fp32") as engine:
        for number in range(66):
            if number % 4 == 2:
                continue  # dropped
            shown = scanners[number >= 56].render_scan(number / 30.0)
            height, width = shown.scan.shape
            frame = make_frame(
                number, image=shown.scan, roi_xyxy_px=(0, 0, width, height), t_capture_ns=number * PERIOD_NS
            )
            answer, _ = stream.complete(frame, task(frame, engine))
            overlap = [shown.labelmap[round(y), round(x)] for x, y in _middles(answer.detections.xyxy_px)]
            ids.append([i for i, hit in zip(answer.detections.track_id.tolist(), overlap, strict=True) if hit])
    assert ids[0] == [1]
    seen = [numbers[0] for numbers in ids[:42] if numbers]
    assert set(seen) == {1}, seen
    gone = [not numbers for numbers in ids[:42]]
    assert any(gone[5:]), "it has left the plane, or this test shows nothing"
    assert not gone[-1], "it has come back"
    assert {number for numbers in ids[42:] for number in numbers}.isdisjoint({1})


def _middles(xyxy_px: np.ndarray) -> list[tuple[float, float]]:
    return [((x1 + x2) / 2, (y1 + y2) / 2) for x1, y1, x2, y2 in xyxy_px.tolist()]
