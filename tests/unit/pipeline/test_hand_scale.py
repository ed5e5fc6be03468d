"""Marks of kind scale: the stream gives them to its source, and recordings hold what followed."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.pipeline.test_stream import FakeEngine, Run, _null, _post_all, _spec
from usassist.bus import Inbox, MarkBody, MarkKind
from usassist.records import Measurements, Result
from usassist.session import open_session
from usassist.sinks.record import Recorder
from usassist.sources import open_source

POINTS = ((10.0, 10.0), (90.0, 10.0))


def scale_mark(frame_id: int, mm: float = 40.0, points: Any = POINTS) -> MarkBody:
    return MarkBody(
        session_id="s", frame_id=frame_id, kind=MarkKind.SCALE, t_mark_ns=1, points_xy_px=points, distance_mm=mm
    )


def play(address: str, source: Any, *marks: MarkBody, archives: int = 1) -> Run:
    """Run a stream whose engine waits, at its sixth frame, until the marks are sent, and then until they are judged."""
    posted = threading.Event()

    def wait(call: int) -> None:
        if call == 5:
            assert posted.wait(20)
        if call >= 5 and not run.marks and not any("not set" in body.scale_note for body in run.sessions):
            time.sleep(0.05)

    engine = FakeEngine(wait)
    engine.spec = _spec(diameter_rel_sd=0.05)  # without it nothing is measured in millimetres
    run = Run(address, engine, source)

    assert run.publisher.wait_for_archives(archives, 10, lambda: True)

    def post(inbox: Inbox) -> None:
        deadline = time.monotonic() + 20
        while not run.frames and time.monotonic() < deadline:
            time.sleep(0.01)
        _post_all(inbox, *marks)
        posted.set()

    with Inbox(address) as inbox:
        thread = threading.Thread(target=post, args=(inbox,))
        thread.start()
        run()
        thread.join()
    return run


def sizes(results: list[Result]) -> dict[int, Measurements]:
    return {result.frame_id: result.measurements for result in results}


def test_a_scale_by_hand_reaches_the_frames_and_the_millimetres_of_their_results(bus_address: str) -> None:
    run = play(bus_address, _null(60), scale_mark(0))
    assert [(mark.kind, mark.distance_mm) for mark in run.marks] == [(MarkKind.SCALE, 40.0)]
    names = [run.frames[number].calibration_id for number in range(60)]
    first = names.index("scale_by_hand")
    assert 1 <= first <= 20
    assert set(names[:first]) == {None}
    assert set(names[first:]) == {"scale_by_hand"}
    last = run.frames[59]
    assert last.spacing_rc_mm == (0.5, 0.5)
    assert last.spacing_rel_sd == pytest.approx(np.hypot(np.sqrt(2) * 1.5 / 80, 0.01), rel=0.01)
    measured = sizes(run.results)
    assert not measured[0].calibrated
    assert measured[59].calibrated
    np.testing.assert_allclose(measured[59].major_mm, 0.5 * measured[59].major_px, rtol=1e-5)
    assert (measured[59].major_u95_mm > 2 * 0.02 * measured[59].major_mm).all()
    assert run.results[59].calibration_id == "scale_by_hand"


def test_a_refused_scale_is_not_published_and_its_reason_is(bus_address: str) -> None:
    run = play(bus_address, _null(60), scale_mark(0, points=((10.0, 10.0), (30.0, 10.0))))
    assert not run.marks
    assert {frame.calibration_id for frame in run.frames.values()} == {None}
    said = [body.scale_note for body in run.sessions]
    assert "the scale was not set: the points are 20 px apart; choose two that are 40 px apart or more" in said


def test_a_recording_holds_the_scale_and_the_same_engine_gives_the_same_millimetres_again(
    bus_address: str, tmp_path: Path
) -> None:
    folder = tmp_path / "session"
    recorder = Recorder(bus_address, folder, lambda: False)
    thread = threading.Thread(target=recorder.run)
    thread.start()
    run = play(bus_address, _null(60), scale_mark(0), archives=2)
    thread.join(30)
    recorded = open_session(folder)
    assert [(line.kind, line.points_xy_px, line.distance_mm) for line in recorded.marks] == [("scale", POINTS, 40.0)]
    spacings = {line.frame_id: (line.spacing_rc_mm, line.calibration_id) for line in recorded.frames}
    assert spacings == {number: (frame.spacing_rc_mm, frame.calibration_id) for number, frame in run.frames.items()}
    assert {None, "scale_by_hand"} == {name for _, name in spacings.values()}

    again = play(bus_address, open_source(f"session:{folder}", session_id="s", fast=True), scale_mark(0, mm=60.0))
    assert not again.marks
    assert any("carry the scale that they were recorded with" in body.scale_note for body in again.sessions)
    first, second = sizes(run.results), sizes(again.results)
    assert sorted(first) == sorted(second)
    assert sum(measured.calibrated for measured in first.values()) >= 40
    for number, measured in first.items():
        assert measured.calibrated == second[number].calibrated
        if measured.calibrated:
            np.testing.assert_array_equal(measured.major_mm, second[number].major_mm)
            np.testing.assert_array_equal(measured.major_u95_mm, second[number].major_u95_mm)


class WithoutScale:
    """A source of another package, which takes no scale."""

    def __init__(self, source: Any) -> None:
        self.info, self.signal, self.decode_errors = source.info, None, 0
        self.frames, self.close = source.frames, source.close


def test_a_source_that_takes_no_scale_says_so(bus_address: str) -> None:
    run = play(bus_address, WithoutScale(_null(60)), scale_mark(0))
    assert not run.marks
    assert "the scale was not set: this source takes no scale" in [body.scale_note for body in run.sessions]
